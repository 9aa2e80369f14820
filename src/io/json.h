/* JSON through jansson, with errors that say where: line and column when parsing, the path of the key when reading.
 *
 * jansson 2.14 drops characters when its token buffer cannot grow, so shortage of memory inside it is not reported
 * reliably. A program should hand it allocation functions that end the process (json_set_alloc_funcs, once, at start).
 */
#ifndef PLUMB_IO_JSON_H
#define PLUMB_IO_JSON_H

#include <jansson.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

/* Parses one JSON text of exactly n bytes. Strings may hold \u0000; integers of any size are accepted (as doubles when
 * `reals` is set, else an error when they exceed 64 bits). A UTF-8 byte order mark before the value is passed over.
 * *out is a new reference (json_decref). `what` names the text in messages; NULL or "" when the caller adds the place
 * itself:
 *
 *     config.json: not valid JSON at line 3, column 17: the text ends too early     (several lines)
 *     train.jsonl:17: not valid JSON at column 17: invalid token near 'NaN'         (one line) */
plumb_status plumb_json_parse(const char *bytes, size_t n, bool reals, const char *what, json_t **out) PLUMB_MUST_USE;

/* The same (integers stay integers), but an object that names a key twice is an error. */
plumb_status plumb_json_parse_unique(const char *bytes, size_t n, const char *what, json_t **out) PLUMB_MUST_USE;

/* Parses a whole file of at most `limit` bytes, named by its path. */
plumb_status plumb_json_load(const char *path, size_t limit, json_t **out) PLUMB_MUST_USE;

/* Members of an object with their type checked. A missing or null member leaves *out as it is and returns OK. A wrong
 * type is PLUMB_E_INPUT: "hidden_size" is a string; expected an integer. `object` must be an object. An integer may be
 * written as 2048.0; a string with \u0000 is an error, since *out has no length. */
plumb_status plumb_json_int(const json_t *object, const char *key, int64_t *out) PLUMB_MUST_USE;
plumb_status plumb_json_number(const json_t *object, const char *key, double *out) PLUMB_MUST_USE;
plumb_status plumb_json_bool(const json_t *object, const char *key, bool *out) PLUMB_MUST_USE;
plumb_status plumb_json_string(const json_t *object, const char *key, const char **out) PLUMB_MUST_USE; /* borrowed */

/* "an object", "a number", ...: for messages. NULL is "missing". */
const char *plumb_json_kind(const json_t *value);

/* Appends a JSON string literal (quotes included; ASCII escapes for control characters, the rest as UTF-8). Bytes that
 * are not UTF-8 become U+FFFD. */
plumb_status plumb_json_quote(plumb_text *t, const char *bytes, size_t n) PLUMB_MUST_USE;

/* Sets a member of the object that the text *json is to a string, in the place of its old value or at the end; every
 * other byte stays: integers of any size, the order of keys. Text that is no JSON object is PLUMB_E_INPUT. */
plumb_status plumb_json_set_string(plumb_text *json, const char *key, const char *value) PLUMB_MUST_USE;

/* Appends a finite number with `digits` significant digits, shortest form (%.*g); NaN and infinities as null. */
plumb_status plumb_json_real(plumb_text *t, double value, int digits) PLUMB_MUST_USE;

/* An array of numbers (NULL: no memory), the caller's to release, and back, to the bit: one that is not finite is null
 * and becomes NaN, as does one that is missing. */
json_t *plumb_json_reals(const double *list, size_t count);
void plumb_json_read_reals(const json_t *array, double *list, size_t count);

#endif
