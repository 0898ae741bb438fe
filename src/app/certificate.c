/*
 * certificate - see certificate.h.
 */
#include "app/certificate.h"

#include "base/clock.h"
#include "base/counter.h"
#include "base/log.h"

#define DAY_S (INT64_C(24) * 3600)

GAUGE_DEFINE(expires, "potik_tls_certificate_expires_seconds",
             "when the server's certificate ends, unix time; 0 without TLS");

void
certificate_look(struct http_server *server, const struct config *config)
{
    const struct http_tls_facts facts = http_server_tls_facts(server);
    const int64_t now_s = clock_wall_us(clock_system()) / US_PER_S;

    gauge_set(&expires, (double)facts.valid_until_s);
    if (!facts.is_key_private)
        LOG_WARN("tls.key_not_private", LOG_TEXT("file", config->tls_key),
                 LOG_TEXT("reason", "others than its owner may read it: chmod 600"));
    if (now_s < facts.valid_from_s)
        LOG_WARN("tls.certificate_not_yet_valid", LOG_TEXT("file", config->tls_cert),
                 LOG_I64("in_s", facts.valid_from_s - now_s));
    if (now_s > facts.valid_until_s)
        LOG_WARN("tls.certificate_expired", LOG_TEXT("file", config->tls_cert),
                 LOG_I64("days_ago", (now_s - facts.valid_until_s) / DAY_S),
                 LOG_TEXT("reason", "clients refuse it"));
    else if (facts.valid_until_s - now_s < CERTIFICATE_SOON_DAYS * DAY_S)
        LOG_WARN("tls.certificate_expires_soon", LOG_TEXT("file", config->tls_cert),
                 LOG_I64("in_days", (facts.valid_until_s - now_s) / DAY_S));
}

void
certificate_reload(struct http_server *server, const struct config *config)
{
    struct diag diag = DIAG_INIT;

    if (http_server_reload_tls(server, &diag) != ERR_OK) {
        LOG_ERROR("tls.not_reloaded",
                  LOG_TEXT("reason", diag.message[0] != '\0' ? diag.message : "out of memory"),
                  LOG_TEXT("next", "the certificate and key in force stay"));
        return;
    }
    LOG_INFO("tls.reloaded", LOG_TEXT("file", config->tls_cert),
             LOG_I64("expires_s", http_server_tls_facts(server).valid_until_s));
    certificate_look(server, config);
}
