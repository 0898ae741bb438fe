/*
 * account_token_keys - see account_token_keys.h.
 *
 * The file is changed first, the audit line written then: a rotation without its line is told, a
 * line without its rotation would be a lie.
 */
#include "cli/account_token_keys.h"

#include "account/audit.h"
#include "account/key_ring.h"
#include "base/mem.h"
#include "cli/command.h"
#include <stdio.h>

/* The new key is of the kind that signs now. */
static enum err
rotate(struct admin *admin, int64_t keep_s, int64_t now_s, struct key_ring **ret_ring,
       struct diag *diag)
{
    struct key_ring_config config = {
        .dir = admin->folder, .may_create = false, .random = random_system()};
    CLEANUP(key_ring_close) struct key_ring *old = NULL;
    enum err err = key_ring_open(&config, now_s, &old, diag);

    if (err == ERR_ABSENT)
        diag_set(diag,
                 "%s has no " KEY_RING_FILE " yet: a server makes them at its first start there "
                 "(with PostgreSQL each node has its own: name its folder by --data-dir)",
                 admin->folder);
    if (err != ERR_OK)
        return err == ERR_INVALID ? ERR_IO : err;
    config.alg = key_ring_signer(old)->alg;
    return key_ring_rotate(&config, keep_s, now_s, ret_ring, diag);
}

static int
tell(const struct admin *admin, const struct key_ring *ring, int64_t now_s, bool is_leaked)
{
    const struct token_key *signer = key_ring_signer(ring);
    struct buf buf;

    fprintf(stderr,
            "tokens are signed with a new key, %s; %s; the server on %s knows it within 1 "
            "s\n",
            signer->kid,
            is_leaked
                ? "access tokens made before are refused, sessions go on (refresh tokens give "
                  "new ones); to end those of an account change its password"
                : "nobody is logged out",
            admin->folder);
    if (!admin->is_json)
        return COMMAND_DONE;
    buf_init(&buf, 64 * 1024);
    buf_add_text(&buf, "{\"keys\":[");
    for (uint32_t i = 0; i < ring->key_count; i++) {
        const struct token_key *key = &ring->keys[i];

        if (key->retire_at_s != 0 && key->retire_at_s <= now_s)
            continue;
        admin_json_item(&buf);
        buf_add_char(&buf, '{');
        admin_json_text(&buf, "kid", key->kid);
        admin_json_key(&buf, "alg");
        buf_printf(&buf, "\"%.*s\"", SLICE_ARGS(token_alg_name(key->alg)));
        admin_json_time(&buf, "created_at", key->created_at_s * US_PER_S);
        admin_json_time(&buf, "retires_at", key->retire_at_s * US_PER_S);
        buf_add_char(&buf, '}');
    }
    buf_add_text(&buf, "]}");
    return admin_print_json(admin, &buf);
}

int
account_rotate_token_keys(struct admin *admin, bool is_leaked)
{
    CLEANUP(key_ring_close) struct key_ring *ring = NULL;
    const int64_t now_s = clock_wall_us(clock_system()) / US_PER_S;
    struct audit_line line = {.actor = admin->actor, .action = "token_keys.rotated"};
    struct diag diag = DIAG_INIT;
    enum err err = rotate(admin, is_leaked ? 0 : KEY_RING_KEEP_S_MAX, now_s, &ring, &diag);

    if (err != ERR_OK)
        return admin_fail(admin, err, &diag);
    (void)snprintf(line.target, sizeof(line.target), "token key %s", key_ring_signer(ring)->kid);
    (void)snprintf(line.detail, sizeof(line.detail), "%s",
                   is_leaked ? "leaked: all before it ended at once" : "");
    err = audit_add(admin->account, &line, &diag);
    if (err != ERR_OK)
        fprintf(stderr,
                "potik account: the keys were rotated, but the audit log has no line of "
                "it: %s\n",
                diag.message[0] != '\0' ? diag.message : err_sentence(err));
    return err == ERR_OK ? tell(admin, ring, now_s, is_leaked) : COMMAND_FAILED;
}
