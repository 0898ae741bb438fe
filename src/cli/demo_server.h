/*
 * demo_server - a server of one's own for `potik demo`: this very program, on a temporary folder
 * and a free port, ended and cleaned away at the end.
 *
 * Layer 8, the main thread. The folder is in TMPDIR, else /tmp; the server's log is server.log in
 * it. If the demo dies, the kernel ends the server (PR_SET_PDEATHSIG).
 */
#ifndef POTIK_CLI_DEMO_SERVER_H
#define POTIK_CLI_DEMO_SERVER_H

#include "base/diag.h"
#include "base/err.h"

struct demo_server;
/* Listening when it returns. Any error: nothing is left behind; `diag` has the server's last words.
 */
MUST_USE enum err demo_server_start(struct demo_server **ret_server, struct diag *diag);
/* "http://127.0.0.1:40123" and the folder with its first-run.txt. */
const char *demo_server_address(const struct demo_server *server);
const char *demo_server_data_dir(const struct demo_server *server);
/* SIGTERM, waits (SIGKILL after 10 s), removes the folder. Takes NULL. */
void demo_server_stop(struct demo_server **server);

#endif
