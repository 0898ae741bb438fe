/*
 * client - one keep-alive connection of the load generator and the request it has under way.
 *
 * One thread. A request is rendered whole into `out`, sent, and kept until a 2xx tells that it is
 * stored; any other outcome (503, 429, a lost connection) sends the very same bytes again, so the
 * ids stay.
 */
#ifndef POTIK_BENCH_LOAD_CLIENT_H
#define POTIK_BENCH_LOAD_CLIENT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_IN_BYTES 16384
#define CLIENT_BODY_KEPT 512 /* the counts stand at the start of a reply's body */

enum client_state { CLIENT_IDLE, CLIENT_SENDING, CLIENT_WAITING, CLIENT_PAUSED };

struct client {
    int fd;
    int epoll_fd;
    struct sockaddr_in address;
    enum client_state state;
    bool wants_out; /* EPOLLOUT is asked for */
    bool is_retry;
    bool is_answered;    /* before all of `out` had left: the rest follows */
    bool is_closing;     /* the reply says that the connection ends */
    int64_t intended_ns; /* when this request was meant to leave */
    int64_t sent_ns;     /* when this try of it left */
    int64_t resume_ns;   /* CLIENT_PAUSED: not before */
    uint64_t first_new;  /* lowest counter not sent before this request */
    uint64_t *counters;  /* what the request carries, `batch` of them */
    char *room;          /* `out` lies in it */
    char *out;
    size_t out_len;
    size_t out_sent;
    char in[CLIENT_IN_BYTES];
    size_t in_len;
    bool has_head;
    int status;
    uint32_t retry_after_s;
    uint64_t body_left;
    char body[CLIENT_BODY_KEPT + 1];
    size_t body_len;
};

enum client_event {
    CLIENT_NOTHING, /* more is to come */
    CLIENT_REPLIED, /* status and body are whole */
    CLIENT_LOST,    /* the connection went; it stands again when this returns */
};

/* Connects, or ends the process: without a server there is nothing to measure. */
void client_connect(struct client *client);
/* Begins to send what stands in `out`. */
enum client_event client_send(struct client *client);
/* epoll says that the connection is ready. */
enum client_event client_ready(struct client *client, uint32_t events);
/* The number behind `"name":` (given so, with quotes and colon) in the reply's body; 0 where it is
 * absent. */
uint64_t client_reply_number(const struct client *client, const char *quoted_name);

#endif
