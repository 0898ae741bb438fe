/*
 * piece - see piece.h.
 */
#include "codec/piece.h"

#define CAPACITY_KEPT (64 * 1024)

void
piece_init(struct piece *piece, size_t bytes_max)
{
    buf_init(&piece->kept, bytes_max);
    piece->bytes_max = bytes_max;
    piece->seen = 0;
    piece->trimmed = 0;
}

void
piece_fini(struct piece *piece)
{
    buf_fini(&piece->kept);
}

void
piece_clear(struct piece *piece)
{
    if (piece->kept.capacity > CAPACITY_KEPT) {
        buf_fini(&piece->kept);
        buf_init(&piece->kept, piece->bytes_max);
    }
    buf_clear(&piece->kept);
    piece->seen = 0;
    piece->trimmed = 0;
}

enum err
piece_add(struct piece *piece, const char *bytes, size_t len, size_t *ret_overflow)
{
    size_t room = 0;
    size_t end = 0;

    if (piece->seen == 0) {
        while (len > 0 && piece_is_space(*bytes)) {
            bytes++;
            len--;
        }
    }
    room = piece->bytes_max - piece->kept.len;
    if (room > len)
        room = len;
    if (room > 0)
        buf_add(&piece->kept, bytes, room);
    if (buf_failed(&piece->kept))
        return ERR_NOMEM;
    for (end = len; end > 0 && piece_is_space(bytes[end - 1]); end--)
        ;
    if (end > 0)
        piece->trimmed = piece->seen + end;
    piece->seen += len;
    if (ret_overflow != NULL)
        *ret_overflow = len - room;
    return ERR_OK;
}

struct slice
piece_text(const struct piece *piece)
{
    struct slice text = buf_slice(&piece->kept);

    if (text.len > piece->trimmed)
        text.len = (size_t)piece->trimmed;
    return text;
}
