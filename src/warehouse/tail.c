/*
 * tail - rows in memory: append, hold, release. See tail.h; the sorted order is tail_order.c.
 *
 * Layer 4. Loader's thread for appending, any thread for holding and reading what is published.
 */
#include "warehouse/tail.h"
#include "base/mem.h"
#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#define PIECE_BYTES_FIRST ((size_t)4 << 10)
#define PIECE_BYTES_LARGEST ((size_t)1 << 20)
#define ROW_FIXED_BYTES 40

/* Memory for texts, in a list, freed with the tail. */
struct tail_piece {
    struct tail_piece *next;
    size_t bytes;
    char memory[];
};

enum err
tail_new(struct tail **ret_tail)
{
    struct tail *tail = MEM_NEW(struct tail, 1);

    if (tail == NULL)
        return ERR_NOMEM;
    atomic_init(&tail->references, 1);
    pthread_mutex_init(&tail->order_lock, NULL);
    *ret_tail = tail;
    return ERR_OK;
}

struct tail *
tail_hold(struct tail *tail)
{
    atomic_fetch_add_explicit(&tail->references, 1, memory_order_relaxed);
    return tail;
}

void
tail_release(struct tail **tail_place)
{
    struct tail *tail = *tail_place;

    *tail_place = NULL;
    if (tail == NULL || atomic_fetch_sub_explicit(&tail->references, 1, memory_order_acq_rel) != 1)
        return;
    for (struct tail_block *block = tail->first, *next; block != NULL; block = next) {
        next = block->next;
        mem_free(block);
    }
    for (struct tail_piece *piece = tail->pieces, *next; piece != NULL; piece = next) {
        next = piece->next;
        mem_free(piece);
    }
    tail_order_release(&tail->order);
    pthread_mutex_destroy(&tail->order_lock);
    mem_free(tail);
}

uint32_t
tail_block_of(uint32_t index)
{
    const uint32_t unit =
        index / TAIL_BLOCK_FIRST + 1; /* block k < 7 holds units 2^k … 2^(k+1)−1 */
    const uint32_t doublings_rows = TAIL_BLOCK_FIRST * ((1u << TAIL_BLOCK_DOUBLINGS) - 1);

    if (index < doublings_rows)
        return 31u - (uint32_t)__builtin_clz(unit);
    return TAIL_BLOCK_DOUBLINGS + (index - doublings_rows) / TAIL_BLOCK_LARGEST;
}

/* One allocation a block: its head, then the columns, widest first, so that each is aligned. */
static enum err
block_add(struct tail *tail, bool has_places)
{
    const uint32_t number = tail->last == NULL ? 0 : tail_block_of(tail->rows);
    const uint32_t doublings = number < TAIL_BLOCK_DOUBLINGS ? number : TAIL_BLOCK_DOUBLINGS;
    const size_t capacity = (size_t)TAIL_BLOCK_FIRST << doublings;
    const size_t place_bytes = has_places ? sizeof(struct tail_place) : 0;
    const size_t bytes = sizeof(struct tail_block) + capacity * (4 * 8 + 2 * 4 + place_bytes);
    struct tail_block *block = mem_alloc(bytes);

    if (block == NULL)
        return ERR_NOMEM;
    block->next = NULL;
    block->first_row = tail->rows;
    block->capacity = (uint32_t)capacity;
    block->occurred_at_us = (int64_t *)(void *)(block + 1);
    block->received_at_us = block->occurred_at_us + capacity;
    block->seq = (uint64_t *)(void *)(block->received_at_us + capacity);
    block->row = (const struct tail_row **)(void *)(block->seq + capacity);
    block->place = has_places ? (struct tail_place *)(void *)(block->row + capacity) : NULL;
    block->person = (uint32_t *)(void *)((char *)(block->row + capacity) + place_bytes * capacity);
    block->type_id = block->person + capacity;
    if (tail->last == NULL)
        tail->first = block;
    else
        tail->last->next = block;
    tail->last = block;
    tail->bytes += bytes;
    return ERR_OK;
}

static char *
piece_take(struct tail *tail, size_t bytes)
{
    char *taken = NULL;

    bytes = (bytes + 3) & ~(size_t)3;
    if (tail->piece_room < bytes) {
        size_t size = tail->pieces == NULL ? PIECE_BYTES_FIRST : tail->pieces->bytes * 2;
        struct tail_piece *piece = NULL;

        size = size > PIECE_BYTES_LARGEST ? PIECE_BYTES_LARGEST : size;
        while (size < bytes)
            size *= 2;
        piece = mem_alloc(sizeof(*piece) + size);
        if (piece == NULL)
            return NULL;
        piece->next = tail->pieces;
        piece->bytes = size > PIECE_BYTES_LARGEST ? PIECE_BYTES_LARGEST : size;
        tail->pieces = piece;
        tail->piece_next = piece->memory;
        tail->piece_room = size;
        tail->bytes += size;
    }
    taken = tail->piece_next;
    tail->piece_next += bytes;
    tail->piece_room -= bytes;
    return taken;
}

static char *
put_text(char *place, struct slice text)
{
    if (text.ptr == NULL)
        return place;
    memcpy(place, text.ptr, text.len);
    return place + text.len;
}

static struct tail_row *
row_put(struct tail *tail, const struct event *event)
{
    const size_t bytes = sizeof(struct tail_row) + event->event_id.len + event->user_id.len +
                         event->anonymous_id.len + event->session_id.len + event->properties.len;
    struct tail_row *row = (struct tail_row *)(void *)piece_take(tail, bytes);
    char *place = NULL;

    assert(event->event_id.len <= UINT8_MAX && event->user_id.len <= UINT8_MAX);
    assert(event->anonymous_id.len <= UINT8_MAX && event->session_id.len <= UINT8_MAX);
    assert(event->properties.len <= UINT32_MAX);
    if (row == NULL)
        return NULL;
    row->properties_bytes = (uint32_t)event->properties.len;
    row->event_id_bytes = (uint8_t)event->event_id.len;
    row->user_id_bytes = (uint8_t)event->user_id.len;
    row->anonymous_id_bytes = (uint8_t)event->anonymous_id.len;
    row->session_id_bytes = (uint8_t)event->session_id.len;
    place = put_text(row->bytes, event->event_id);
    place = put_text(place, event->user_id);
    place = put_text(place, event->anonymous_id);
    place = put_text(place, event->session_id);
    put_text(place, event->properties);
    tail->input_bytes += bytes + ROW_FIXED_BYTES;
    return row;
}

enum err
tail_append(struct tail *tail, const struct event *event, uint64_t seq, uint32_t person,
            uint32_t type_id, const struct store_position *position)
{
    struct tail_block *block = tail->last;
    struct tail_row *row = NULL;
    uint32_t offset = 0;

    if (tail->rows == TAIL_ROWS_MAX)
        return ERR_FULL;
    if (block == NULL || tail->rows == block->first_row + block->capacity) {
        if (block_add(tail, position != NULL) != ERR_OK)
            return ERR_NOMEM;
        block = tail->last;
    }
    row = row_put(tail, event);
    if (row == NULL)
        return ERR_NOMEM;
    offset = tail->rows - block->first_row;
    block->person[offset] = person;
    block->type_id[offset] = type_id;
    block->occurred_at_us[offset] = event->occurred_at_us;
    block->received_at_us[offset] = event->received_at_us;
    block->seq[offset] = seq;
    block->row[offset] = row;
    if (position != NULL)
        block->place[offset] = (struct tail_place){position->generation, position->major};
    if (tail->rows == 0) {
        tail->seq_min = seq;
        tail->received_min_us = event->received_at_us;
    } else if (event->received_at_us < tail->received_min_us) {
        tail->received_min_us = event->received_at_us;
    }
    tail->seq_max = seq;
    tail->rows++;
    return ERR_OK;
}

uint32_t
tail_rows_before(const struct tail *tail, uint32_t rows, struct store_position position)
{
    uint32_t count = 0;

    for (const struct tail_block *block = tail->first; count < rows; block = block->next) {
        const uint32_t left = rows - block->first_row;
        const uint32_t in_block = left < block->capacity ? left : block->capacity;

        for (uint32_t i = 0; i < in_block; i++) {
            const struct tail_place *place = &block->place[i];

            if (place->generation > position.generation ||
                (place->generation == position.generation && place->major >= position.major))
                return count;
            count++;
        }
    }
    return count;
}

static const char *
take_text(const char *place, size_t len, struct slice *ret_text)
{
    *ret_text = len != 0 ? slice_of(place, len) : SLICE_NONE;
    return place + len;
}

void
tail_row_event(const struct tail_block *block, uint32_t offset, struct event *ret_event)
{
    const struct tail_row *row = block->row[offset];
    const char *place = row->bytes;

    *ret_event = (struct event){.occurred_at_us = block->occurred_at_us[offset],
                                .received_at_us = block->received_at_us[offset]};
    place = take_text(place, row->event_id_bytes, &ret_event->event_id);
    place = take_text(place, row->user_id_bytes, &ret_event->user_id);
    place = take_text(place, row->anonymous_id_bytes, &ret_event->anonymous_id);
    place = take_text(place, row->session_id_bytes, &ret_event->session_id);
    take_text(place, row->properties_bytes, &ret_event->properties);
}
