/*
 * err - the rows of the error table, looked up. See err.h.
 */
#include "base/err.h"

struct err_row {
    const char *name;
    const char *code;
    const char *sentence;
    int status;
    bool is_retryable;
};

static const struct err_row rows[ERR_COUNT] = {
#define ERR_ROW_(name_, code_, status_, retryable_, sentence_)                                     \
    {.name = #name_,                                                                               \
     .code = code_,                                                                                \
     .sentence = sentence_,                                                                        \
     .status = status_,                                                                            \
     .is_retryable = retryable_},
    ERR_TABLE(ERR_ROW_)
#undef ERR_ROW_
};

static const struct err_row *
row_of(enum err err)
{
    return &rows[(unsigned)err < (unsigned)ERR_COUNT ? err : ERR_INTERNAL_ERROR];
}

const char *
err_name(enum err err)
{
    return row_of(err)->name;
}

const char *
err_code(enum err err)
{
    return row_of(err)->code;
}

const char *
err_sentence(enum err err)
{
    return row_of(err)->sentence;
}

int
err_status(enum err err)
{
    return row_of(err)->status;
}

bool
err_is_retryable(enum err err)
{
    return row_of(err)->is_retryable;
}
