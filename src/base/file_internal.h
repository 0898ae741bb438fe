/*
 * file_internal - what file.c and file_tree.c share, and nobody else includes.
 */
#ifndef POTIK_BASE_FILE_INTERNAL_H
#define POTIK_BASE_FILE_INTERNAL_H

#include "base/diag.h"
#include "base/err.h"

/* "verb path: words of errno" into diag; the enum err of that errno. */
MUST_USE enum err
file_failed(const char *verb, const char *path, int errno_value, struct diag *diag);

#endif
