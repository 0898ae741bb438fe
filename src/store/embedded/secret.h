/*
 * secret - the key of the hash that names ids: made once per data folder, kept in
 * <data_dir>/secret.
 *
 * Layer 3 (store/embedded). At start. The file (32 bytes, mode 0600) belongs to every backup:
 * tombstones cannot be made again without it. Bytes: magic "potikkey", version (4), the key (16),
 * CRC32C of the 28 before (4).
 */
#ifndef POTIK_STORE_EMBEDDED_SECRET_H
#define POTIK_STORE_EMBEDDED_SECRET_H

#include "base/diag.h"
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

#define SECRET_BYTES 16

/* ERR_ABSENT: there is none. ERR_CORRUPT, ERR_TOO_NEW, ERR_IO. */
MUST_USE enum err
secret_read(const char *data_dir, uint8_t ret_secret[SECRET_BYTES], struct diag *diag);
/* Makes a new one, durable when it returns. */
MUST_USE enum err
secret_make(const char *data_dir, uint8_t ret_secret[SECRET_BYTES], struct diag *diag);

#endif
