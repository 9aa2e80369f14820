/* clang-format off */
/* Status: what went wrong, where, and what to do about it.
 *
 * Every function that can fail returns a plumb_status: NULL for success, otherwise an error that the receiver owns and
 * passes on or frees. Each level adds what it knows:
 *
 *     plumb_status s = read_row(f, &row);
 *     if (s) return plumb_context(s, "%s:%zu", path, line);
 *
 * gives: train.jsonl:17: "chosen" is a number; expected a string or a list of messages
 *
 * The message of an error reads "where: what"; a cure, where one is known, stands on a line of its own. */
/* clang-format on */
#ifndef PLUMB_BASE_STATUS_H
#define PLUMB_BASE_STATUS_H

#include <stdarg.h>
#include <stdbool.h>

typedef enum plumb_code {
    PLUMB_E_NONE = 0,
    PLUMB_E_INPUT,       /* bad usage or input: exit code 2 */
    PLUMB_E_OUTPUT,      /* an output could not be created: exit code 2 */
    PLUMB_E_IO,          /* reading or writing failed on the way (disk full, device error): exit code 3 */
    PLUMB_E_MEMORY,      /* out of memory: exit code 3 */
    PLUMB_E_INTERNAL,    /* a broken promise inside plumb: exit code 3 */
    PLUMB_E_DIVERGED,    /* training led to numbers that are not finite: exit code 3 */
    PLUMB_E_INTERRUPTED, /* Ctrl-C or SIGTERM: exit code 130 or 143 */
} plumb_code;

typedef struct plumb_error plumb_error;
typedef plumb_error *plumb_status;

#define PLUMB_OK                    ((plumb_status)0)
#define PLUMB_PRINTF(string, first) __attribute__((format(printf, string, first)))
#define PLUMB_MUST_USE              __attribute__((warn_unused_result))

/* A new error. Never returns NULL: when memory is short it is a constant out-of-memory error. */
plumb_status plumb_fail(plumb_code code, const char *format, ...) PLUMB_PRINTF(2, 3) PLUMB_MUST_USE;

/* The constant out-of-memory error; needs no memory itself. */
plumb_status plumb_no_memory(void) PLUMB_MUST_USE;

/* Puts "format: " before the message of s. NULL stays NULL. Takes s over. */
plumb_status plumb_context(plumb_status s, const char *format, ...) PLUMB_PRINTF(2, 3) PLUMB_MUST_USE;

/* Says what the user can do; the innermost cure stays. NULL stays NULL. Takes s over. */
plumb_status plumb_cure(plumb_status s, const char *format, ...) PLUMB_PRINTF(2, 3) PLUMB_MUST_USE;

/* The code, message and cure of an error; PLUMB_E_NONE, "" and NULL for NULL. The strings live as long as s. */
plumb_code plumb_status_code(plumb_status s);
const char *plumb_status_message(plumb_status s);
const char *plumb_status_cure(plumb_status s);

/* Frees an error; NULL is fine. */
void plumb_status_free(plumb_status s);

#define PLUMB_TRY(expression)                                                                                          \
    do {                                                                                                               \
        plumb_status status_ = (expression);                                                                           \
        if (status_) return status_;                                                                                   \
    } while (0)

/* In a function with a `plumb_status s` and a label `done:` that cleans up and returns s. */
#define PLUMB_GO(expression)                                                                                           \
    do {                                                                                                               \
        s = (expression);                                                                                              \
        if (s) goto done;                                                                                              \
    } while (0)

#endif
