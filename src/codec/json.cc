/*
 * json - see json.h. The only C++ of the house: simdjson's DOM behind C calls.
 *
 * Built without exceptions and RTTI; every call of simdjson used here is noexcept and tells its
 * error as a value. simdjson's element and iterators are a document pointer and an index, copied in
 * and out of plain structs (asserted below); the version is pinned by deps/.
 */
extern "C" {
#include "base/diag.h"
}
#include "codec/json.h"
#include <cstring>
#include <new>
#include <simdjson.h>
#include <type_traits>

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

static constexpr size_t kept_bytes = 256 * 1024;

struct json_document {
    simdjson::dom::parser parser;
    size_t parsed_bytes;
};

template <typename Inside>
static struct json_value
pack(const Inside &inside)
{
    struct json_value value;

    static_assert(sizeof(Inside) == sizeof(value), "an index into a document");
    static_assert(std::is_trivially_copyable<Inside>::value, "plain data");
    std::memcpy(&value, &inside, sizeof(value));
    return value;
}

template <typename Inside>
static Inside
unpack(struct json_value value)
{
    Inside inside;

    static_assert(sizeof(Inside) == sizeof(value), "an index into a document");
    std::memcpy(static_cast<void *>(&inside), &value, sizeof(value));
    return inside;
}

/* Iterators cannot be made empty: one is laid over the bytes instead. */
template <typename Iterator>
static Iterator
unpack_iterator(struct json_value value)
{
    alignas(Iterator) unsigned char bytes[sizeof(Iterator)];

    static_assert(sizeof(Iterator) == sizeof(value), "an index into a document");
    std::memcpy(bytes, &value, sizeof(value));
    return *std::launder(reinterpret_cast<Iterator *>(bytes));
}

enum err
json_document_new(struct json_document **ret_document, struct diag *diag)
{
    struct json_document *document = new (std::nothrow) json_document();

    if (document == nullptr) {
        diag_set(diag, "out of memory for a JSON document");
        return ERR_NOMEM;
    }
    *ret_document = document;
    return ERR_OK;
}

void
json_document_free(struct json_document **document)
{
    delete *document;
    *document = nullptr;
}

static enum err
err_of(simdjson::error_code code)
{
    switch (code) {
    case simdjson::UTF8_ERROR:
        return ERR_INVALID_UTF8;
    case simdjson::NUMBER_ERROR:
        return ERR_INVALID_NUMBER;
    case simdjson::DEPTH_ERROR:
        return ERR_TOO_DEEP;
    case simdjson::MEMALLOC:
        return ERR_NOMEM;
    default:
        return ERR_INVALID_JSON;
    }
}

enum err
json_parse(struct json_document *document, struct slice text, struct json_value *ret_value,
           struct diag *diag)
{
    element root;
    simdjson::error_code code;

    if (document->parsed_bytes > kept_bytes)
        document->parser = simdjson::dom::parser();
    document->parsed_bytes = text.len;
    code = document->parser.allocate(text.len, 64);
    if (code == simdjson::SUCCESS)
        code =
            document->parser.parse(text.ptr != nullptr ? text.ptr : "", text.len, true).get(root);
    if (code != simdjson::SUCCESS) {
        diag_set(diag, "not valid JSON: %s", simdjson::error_message(code));
        return err_of(code);
    }
    *ret_value = pack(root);
    return ERR_OK;
}

enum json_kind
json_kind(struct json_value value)
{
    switch (unpack<element>(value).type()) {
    case simdjson::dom::element_type::ARRAY:
        return JSON_ARRAY;
    case simdjson::dom::element_type::OBJECT:
        return JSON_OBJECT;
    case simdjson::dom::element_type::INT64:
        return JSON_INTEGER;
    case simdjson::dom::element_type::UINT64:
        return JSON_UNSIGNED;
    case simdjson::dom::element_type::DOUBLE:
        return JSON_DOUBLE;
    case simdjson::dom::element_type::STRING:
        return JSON_TEXT;
    case simdjson::dom::element_type::BOOL:
        return JSON_BOOLEAN;
    case simdjson::dom::element_type::NULL_VALUE:
        break;
    }
    return JSON_NULL;
}

bool
json_as_text(struct json_value value, struct slice *ret_text)
{
    std::string_view text;

    if (unpack<element>(value).get_string().get(text) != simdjson::SUCCESS)
        return false;
    ret_text->ptr = text.data();
    ret_text->len = text.size();
    return true;
}

bool
json_as_i64(struct json_value value, int64_t *ret_number)
{
    return unpack<element>(value).get_int64().get(*ret_number) == simdjson::SUCCESS;
}

bool
json_as_u64(struct json_value value, uint64_t *ret_number)
{
    return unpack<element>(value).get_uint64().get(*ret_number) == simdjson::SUCCESS;
}

bool
json_as_double(struct json_value value, double *ret_number)
{
    return unpack<element>(value).get_double().get(*ret_number) == simdjson::SUCCESS;
}

bool
json_as_bool(struct json_value value, bool *ret_bool)
{
    return unpack<element>(value).get_bool().get(*ret_bool) == simdjson::SUCCESS;
}

bool
json_get(struct json_value value, const char *key, struct json_value *ret_value)
{
    object members;
    element found;

    if (unpack<element>(value).get_object().get(members) != simdjson::SUCCESS ||
        members.at_key(key).get(found) != simdjson::SUCCESS)
        return false;
    *ret_value = pack(found);
    return true;
}

struct json_items
json_items_of(struct json_value value)
{
    struct json_items items = {value, value, false};
    array elements;
    object members;

    if (unpack<element>(value).get_object().get(members) == simdjson::SUCCESS) {
        items.at = pack(members.begin());
        items.end = pack(members.end());
        items.is_object = true;
    } else if (unpack<element>(value).get_array().get(elements) == simdjson::SUCCESS) {
        items.at = pack(elements.begin());
        items.end = pack(elements.end());
    }
    return items;
}

bool
json_items_next(struct json_items *items, struct slice *ret_key, struct json_value *ret_value)
{
    if (items->at.place == items->end.place)
        return false;
    if (items->is_object) {
        object::iterator at = unpack_iterator<object::iterator>(items->at);
        std::string_view key = at.key();

        *ret_key = {key.data(), key.size()};
        *ret_value = pack(at.value());
        items->at = pack(++at);
    } else {
        array::iterator at = unpack_iterator<array::iterator>(items->at);

        *ret_key = {nullptr, 0};
        *ret_value = pack(*at);
        items->at = pack(++at);
    }
    return true;
}
