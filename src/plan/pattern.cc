/*
 * pattern - see pattern.h. RE2 behind C calls, nothing else.
 *
 * RE2 gives no exceptions of its own, but its containers may run out of memory: that is caught here
 * and told as a value.
 */
extern "C" {
#include "base/diag.h"
}
#include "plan/pattern.h"
#include <new>
#include <re2/re2.h>

static constexpr int64_t memory_bytes = 256 * 1024; /* program and states, as RE2 counts them */

struct pattern {
    re2::RE2 re;

    pattern(const re2::StringPiece &expression, const re2::RE2::Options &options)
        : re(expression, options)
    {
    }
};

enum err
pattern_new(struct slice expression, struct pattern **ret_pattern, struct diag *diag)
{
    try {
        re2::RE2::Options options;
        struct pattern *made;

        options.set_max_mem(memory_bytes);
        options.set_log_errors(false);
        options.set_never_capture(true);
        made = new struct pattern(re2::StringPiece(expression.ptr, expression.len), options);
        if (!made->re.ok()) {
            diag_set(diag, "%s", made->re.error().c_str());
            delete made;
            return ERR_INVALID;
        }
        *ret_pattern = made;
        return ERR_OK;
    } catch (const std::bad_alloc &) {
        return ERR_NOMEM;
    }
}

void
pattern_free(struct pattern **pattern)
{
    delete *pattern;
    *pattern = nullptr;
}

enum pattern_found
pattern_find(const struct pattern *pattern, struct slice text)
{
    try {
        const re2::StringPiece piece(text.ptr, text.len);

        return pattern->re.Match(piece, 0, piece.size(), re2::RE2::UNANCHORED, nullptr, 0)
                   ? PATTERN_FOUND
                   : PATTERN_ABSENT;
    } catch (const std::bad_alloc &) {
        return PATTERN_NOMEM;
    }
}
