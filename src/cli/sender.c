/*
 * sender - see sender.h. One curl multi handle; a slot for each batch that may be under way.
 */
#include "cli/sender.h"

#include "base/mem.h"
#include "codec/json.h"
#include <assert.h>
#include <string.h>

#define TRIES_MAX_DEFAULT 12
#define BACKOFF_NS (NS_PER_S / 4)
#define BACKOFF_NS_MAX (10 * NS_PER_S)
#define RETRY_AFTER_MAX_S 60
#define TURN_MS 100
#define REPLY_BYTES_MAX (64u * 1024 * 1024)
#define STALLED_S 60L

enum slot_state { SLOT_FREE, SLOT_FILLING, SLOT_SENDING, SLOT_WAITING };

struct slot {
    enum slot_state state;
    struct sender_batch batch;
    CURL *easy;
    struct buf reply;
    uint32_t tries;
    int64_t due_ns; /* WAITING: when it goes out again */
};

struct sender {
    struct sender_config config;
    CURLM *multi;
    char url[CLIENT_URL_BYTES + 48];
    struct curl_slist *headers;
    struct json_document *document;
    struct sender_totals totals;
    char position[256];
    bool is_silent; /* told, and no reply since */
    enum err err;   /* the first that is final */
    struct diag diag;
    struct slot slots[]; /* config.in_flight of them */
};

static void
fail(struct sender *sender, enum err err, const char *message)
{
    if (sender->err != ERR_OK)
        return;
    sender->err = err;
    if (message != NULL)
        diag_set(&sender->diag, "%s", message);
}

static bool
copy_headers(struct sender *sender)
{
    struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/x-ndjson");

    /* No "Expect: 100-continue": on a loopback it only costs a turn. */
    for (const struct curl_slist *h = sender->config.client->headers; list != NULL; h = h->next) {
        struct curl_slist *longer = curl_slist_append(list, h != NULL ? h->data : "Expect:");

        if (longer == NULL)
            curl_slist_free_all(list);
        list = longer;
        if (h == NULL)
            break;
    }
    sender->headers = list;
    return list != NULL;
}

enum err
sender_new(const struct sender_config *config, struct sender **ret_sender, struct diag *diag)
{
    CLEANUP(sender_free) struct sender *sender = NULL;

    assert(config->in_flight >= 1 && config->in_flight <= SENDER_IN_FLIGHT_MAX);
    sender =
        (struct sender *)mem_zalloc(1, sizeof(*sender) + config->in_flight * sizeof(struct slot));
    if (sender == NULL)
        return ERR_NOMEM;
    sender->config = *config;
    if (config->tries_max == 0)
        sender->config.tries_max = TRIES_MAX_DEFAULT;
    (void)snprintf(sender->url, sizeof(sender->url), "%s/v1/events%s%s", config->client->base,
                   config->client->project[0] != '\0' ? "?" : "", config->client->project);
    for (uint32_t i = 0; i < config->in_flight; i++) {
        buf_init(&sender->slots[i].batch.body, SENDER_BATCH_BYTES_MAX);
        buf_init(&sender->slots[i].batch.originals, SENDER_BATCH_BYTES_MAX * 2);
        buf_init(&sender->slots[i].reply, REPLY_BYTES_MAX);
    }
    sender->multi = curl_multi_init();
    if (sender->multi == NULL || !copy_headers(sender))
        return ERR_NOMEM;
    for (uint32_t i = 0; i < config->in_flight; i++) {
        sender->slots[i].easy = curl_easy_init();
        if (sender->slots[i].easy == NULL)
            return ERR_NOMEM;
    }
    if (json_document_new(&sender->document, diag) != ERR_OK)
        return ERR_NOMEM;
    *ret_sender = MOVE(sender);
    return ERR_OK;
}

void
sender_free(struct sender **sender)
{
    struct sender *s = *sender;

    if (s == NULL)
        return;
    for (uint32_t i = 0; i < s->config.in_flight; i++) {
        if (s->slots[i].state == SLOT_SENDING)
            (void)curl_multi_remove_handle(s->multi, s->slots[i].easy);
        curl_easy_cleanup(s->slots[i].easy);
        buf_fini(&s->slots[i].batch.body);
        buf_fini(&s->slots[i].batch.originals);
        buf_fini(&s->slots[i].reply);
    }
    (void)curl_multi_cleanup(s->multi);
    curl_slist_free_all(s->headers);
    json_document_free(&s->document);
    mem_free(s);
    *sender = NULL;
}

static size_t
take_reply(char *bytes, size_t size, size_t count, void *state)
{
    struct slot *slot = (struct slot *)state;

    buf_add(&slot->reply, bytes, size * count);
    return buf_failed(&slot->reply) ? 0 : size * count;
}

static void
send_slot(struct sender *sender, struct slot *slot)
{
    CURL *easy = slot->easy;

    buf_clear(&slot->reply);
    client_prepare(sender->config.client, easy, sender->url);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, sender->headers);
    (void)curl_easy_setopt(easy, CURLOPT_POST, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, buf_slice(&slot->batch.body).ptr);
    (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)slot->batch.body.len);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_reply);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot);
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, slot);
    /* A server that says nothing for a minute will say nothing: the retry tells. */
    (void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, STALLED_S);
    slot->state = SLOT_SENDING;
    slot->tries++;
    if (curl_multi_add_handle(sender->multi, easy) != CURLM_OK) {
        slot->state = SLOT_FREE;
        fail(sender, ERR_NOMEM, "out of memory");
    }
}

static void
retry_later(struct sender *sender, struct slot *slot, long retry_after_s, const char *reason)
{
    int64_t wait_ns = BACKOFF_NS_MAX;

    if (slot->tries >= sender->config.tries_max) {
        char message[400];

        (void)snprintf(message, sizeof(message), "gave up after %u tries: %.300s", slot->tries,
                       reason);
        fail(sender, ERR_IO, message);
        slot->state = SLOT_FREE;
        return;
    }
    sender->totals.retries++;
    if (slot->tries <= 6 && BACKOFF_NS << (slot->tries - 1) < BACKOFF_NS_MAX)
        wait_ns = BACKOFF_NS << (slot->tries - 1);
    if (retry_after_s > RETRY_AFTER_MAX_S)
        retry_after_s = RETRY_AFTER_MAX_S;
    if (retry_after_s > 0)
        wait_ns = retry_after_s * NS_PER_S;
    slot->due_ns = clock_steady_ns(sender->config.clock) + wait_ns;
    slot->state = SLOT_WAITING;
}

static uint64_t
number_of(struct json_value object, const char *key)
{
    struct json_value value;
    uint64_t number = 0;

    if (!json_get(object, key, &value) || !json_as_u64(value, &number))
        return 0;
    return number;
}

static struct slice
text_of(struct json_value object, const char *key)
{
    struct json_value value;
    struct slice text = SLICE_NONE;

    if (!json_get(object, key, &value) || !json_as_text(value, &text))
        return SLICE_NONE;
    return text;
}

static void
tell_refusals(struct sender *sender, const struct slot *slot, struct json_value root)
{
    struct json_value errors, error;
    struct json_items items;
    struct slice key;

    if (sender->config.refused == NULL || !json_get(root, "errors", &errors))
        return;
    items = json_items_of(errors);
    while (json_items_next(&items, &key, &error)) {
        uint64_t index = number_of(error, "index");
        struct sender_refusal refusal = {.batch = &slot->batch,
                                         .index = (uint32_t)index,
                                         .code = text_of(error, "code"),
                                         .message = text_of(error, "message")};

        if (index < slot->batch.events)
            sender->config.refused(sender->config.state, &refusal);
    }
}

/* 200, or 400 with verdicts: the counts must add up to what was sent, else the other side is no
 * Potik. */
static bool
take_verdicts(struct sender *sender, const struct slot *slot)
{
    struct json_value root;
    struct slice position;
    uint64_t accepted, duplicates, rejected;

    if (json_parse(sender->document, buf_slice(&slot->reply), &root, NULL) != ERR_OK)
        return false;
    accepted = number_of(root, "accepted");
    duplicates = number_of(root, "duplicates");
    rejected = number_of(root, "rejected");
    if (accepted + duplicates + rejected != slot->batch.events)
        return false;
    sender->totals.accepted += accepted;
    sender->totals.duplicates += duplicates;
    sender->totals.rejected += rejected;
    tell_refusals(sender, slot, root);
    position = text_of(root, "position");
    if (position.len != 0 && position.len < sizeof(sender->position)) {
        memcpy(sender->position, position.ptr, position.len);
        sender->position[position.len] = '\0';
    }
    return true;
}

/* The month's quota is used up, and nothing comes free while an import waits: each of these events
 * is told as refused, and the rest is not sent. */
static bool
is_out_of_quota(struct sender *sender, const struct slot *slot, long status, long retry_after_s)
{
    struct json_value root, error;

    if (status != err_status(ERR_QUOTA_EXCEEDED) || retry_after_s <= RETRY_AFTER_MAX_S ||
        json_parse(sender->document, buf_slice(&slot->reply), &root, NULL) != ERR_OK ||
        !json_get(root, "error", &error) ||
        !slice_equal(text_of(error, "code"), slice_of_text(err_code(ERR_QUOTA_EXCEEDED))))
        return false;
    return take_verdicts(sender, slot);
}

static void
finish_slot(struct sender *sender, struct slot *slot, CURLcode code)
{
    curl_off_t retry_after_s = 0;
    long status = 0;

    (void)curl_multi_remove_handle(sender->multi, slot->easy);
    if (code != CURLE_OK) {
        struct diag diag = DIAG_INIT;

        client_explain_silence(sender->config.client, code, &diag);
        if (client_is_distrusted(code)) { /* will not be trusted the next time either */
            slot->state = SLOT_FREE;
            fail(sender, ERR_IO, diag.message);
            return;
        }
        retry_later(sender, slot, 0, diag.message);
        if (sender->err == ERR_OK && !sender->is_silent && sender->config.silent != NULL)
            sender->config.silent(sender->config.state, curl_easy_strerror(code));
        sender->is_silent = true;
        return;
    }
    sender->is_silent = false;
    (void)curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(slot->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    slot->state = SLOT_FREE;
    if ((status == 200 || status == 400) && take_verdicts(sender, slot))
        return;
    if (is_out_of_quota(sender, slot, status, (long)retry_after_s)) {
        struct diag diag = DIAG_INIT;

        client_explain(status, buf_slice(&slot->reply), &diag);
        fail(sender, ERR_QUOTA_EXCEEDED, diag.message);
        return;
    }
    if (status == 408 || status == 429 || status >= 500) {
        struct diag diag = DIAG_INIT;

        client_explain(status, buf_slice(&slot->reply), &diag);
        retry_later(sender, slot, (long)retry_after_s, diag.message);
        return;
    }
    if (sender->err != ERR_OK)
        return;
    sender->err = ERR_BAD_REQUEST;
    if (status == 200)
        diag_set(&sender->diag,
                 "the reply does not count the events that were sent; is this Potik?");
    else
        client_explain(status, buf_slice(&slot->reply), &sender->diag);
}

static bool
is_busy(const struct sender *sender)
{
    for (uint32_t i = 0; i < sender->config.in_flight; i++) {
        if (sender->slots[i].state == SLOT_SENDING || sender->slots[i].state == SLOT_WAITING)
            return true;
    }
    return false;
}

/* One round: what is due goes out, what has come is taken; waits up to wait_ms for something to
 * happen. */
static void
turn(struct sender *sender, int wait_ms)
{
    int64_t now = clock_steady_ns(sender->config.clock);
    CURLMsg *message;
    int running, left;

    for (uint32_t i = 0; i < sender->config.in_flight; i++) {
        if (sender->slots[i].state == SLOT_WAITING && sender->slots[i].due_ns <= now)
            send_slot(sender, &sender->slots[i]);
    }
    (void)curl_multi_perform(sender->multi, &running);
    if (wait_ms != 0) {
        (void)curl_multi_poll(sender->multi, NULL, 0, wait_ms, NULL);
        (void)curl_multi_perform(sender->multi, &running);
    }
    while ((message = curl_multi_info_read(sender->multi, &left)) != NULL) {
        CURL *easy = message->easy_handle;
        CURLcode code = message->data.result; /* the message goes with the handle */
        char *place = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &place);
        finish_slot(sender, (struct slot *)(void *)place, code);
    }
    if (client_is_interrupted())
        fail(sender, ERR_CANCELLED, "interrupted");
    if (sender->config.turn != NULL)
        sender->config.turn(sender->config.state);
}

struct sender_batch *
sender_take(struct sender *sender)
{
    turn(sender, 0);
    while (sender->err == ERR_OK) {
        for (uint32_t i = 0; i < sender->config.in_flight; i++) {
            struct slot *slot = &sender->slots[i];

            if (slot->state != SLOT_FREE)
                continue;
            slot->state = SLOT_FILLING;
            slot->tries = 0;
            slot->batch.events = 0;
            buf_clear(&slot->batch.body);
            buf_clear(&slot->batch.originals);
            return &slot->batch;
        }
        turn(sender, TURN_MS);
    }
    return NULL;
}

void
sender_submit(struct sender *sender, struct sender_batch *batch)
{
    struct slot *slot = (struct slot *)(void *)((char *)batch - offsetof(struct slot, batch));

    assert(slot->state == SLOT_FILLING);
    if (buf_failed(&batch->body) || buf_failed(&batch->originals))
        fail(sender, ERR_NOMEM, "out of memory");
    if (batch->events == 0 || sender->err != ERR_OK) {
        slot->state = SLOT_FREE;
        return;
    }
    send_slot(sender, slot);
}

enum err
sender_finish(struct sender *sender, struct diag *diag)
{
    while (sender->err == ERR_OK && is_busy(sender))
        turn(sender, TURN_MS);
    if (sender->err != ERR_OK && diag != NULL)
        *diag = sender->diag;
    return sender->err;
}

const struct sender_totals *
sender_totals(const struct sender *sender)
{
    return &sender->totals;
}

const char *
sender_position(const struct sender *sender)
{
    return sender->position;
}
