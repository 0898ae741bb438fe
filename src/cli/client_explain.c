/*
 * client_explain - why a request came to nothing, in words for a person. See client.h.
 *
 * Layer 8, the main thread.
 */
#include "cli/client.h"

#include "cli/table.h"
#include "codec/json.h"

#include <string.h>

/* The reasons of TLS that a person can do something about; NULL: another. */
static const char *
tls_cure(const struct client *client, CURLcode code)
{
    if (code == CURLE_SSL_CACERT_BADFILE)
        return "the file of --ca (or POTIK_CA) cannot be read, or holds no certificate in PEM";
    if (code == CURLE_SSL_CONNECT_ERROR && strncmp(client->base, "https://", 8) == 0)
        return "no TLS connection came about: does the server speak https there, or plain http://?";
    if (code != CURLE_PEER_FAILED_VERIFICATION)
        return NULL;
    return client->ca[0] != '\0' ? "its certificate is not trusted: it is not signed by those in "
                                   "the file of --ca, is "
                                   "not made out for this name or address, or has expired"
                                 : "its certificate is not trusted: if it is signed by an "
                                   "authority of your own, or by "
                                   "itself, pass --ca FILE (PEM; or set POTIK_CA)";
}

void
client_explain_silence(const struct client *client, CURLcode code, struct diag *diag)
{
    const char *cure = tls_cure(client, code);

    if (cure != NULL) {
        diag_set(diag, "no reply from %s: %s (%s)", client->shown, cure, curl_easy_strerror(code));
        return;
    }
    diag_set(diag, "no reply from %s%s%s: %s",
             client->unix_path[0] != '\0' ? "unix:" : client->shown, client->unix_path,
             code == CURLE_COULDNT_CONNECT ? " (is `potik serve` running?)" : "",
             curl_easy_strerror(code));
}

void
client_explain(long status, struct slice body, struct diag *diag)
{
    struct json_document *document = NULL;
    struct json_value root, error, value;
    struct slice message = SLICE_NONE, code = SLICE_NONE;
    struct buf clean;

    buf_init(&clean, 4096);
    if (json_document_new(&document, NULL) == ERR_OK &&
        json_parse(document, body, &root, NULL) == ERR_OK && json_get(root, "error", &error)) {
        if (!json_get(error, "message", &value) || !json_as_text(value, &message))
            message = SLICE_NONE;
        if (!json_get(error, "code", &value) || !json_as_text(value, &code))
            code = SLICE_NONE;
    }
    /* The other side may be anybody: its words do not reach the terminal as they are. */
    if (message.len > 400)
        message.len = 400;
    table_clean(&clean, message);
    buf_add_char(&clean, '\0');
    if (message.len != 0 && !buf_failed(&clean))
        diag_set(diag, "%s (%ld %.*s)", clean.ptr, status, code.len < 64 ? (int)code.len : 0,
                 code.ptr != NULL ? code.ptr : "");
    else
        diag_set(diag, "the server answered with status %ld", status);
    json_document_free(&document);
    buf_fini(&clean);
}
