/* How many rows a user means: "5%", "0.1 %" or "500", without rounding on the way. */
#ifndef PLUMB_BASE_AMOUNT_H
#define PLUMB_BASE_AMOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* A decimal number: digits / 10^places, a percentage or a count (places = 0). */
typedef struct plumb_amount {
    uint64_t digits;
    int places; /* at most 15 */
    bool is_percent;
} plumb_amount;

/* "5%", "0.1 %" (0..100, up to 15 decimals) or "500". */
plumb_status plumb_amount_parse(const char *text, plumb_amount *out) PLUMB_MUST_USE;

/* Digits with at most one point, as an exact decimal; *end is what follows. False when there are too many. */
bool plumb_amount_decimal(const char *text, const char **end, plumb_amount *out);
uint64_t plumb_power_of_ten(int exponent);

/* How many of n rows an amount is, at most n; a percentage is rounded up or down. */
int64_t plumb_amount_count(const plumb_amount *amount, int64_t n, bool up);

/* The rank of the quantile at `amount` percent among n >= 1 rows: round-half-even(q (n - 1)). */
int64_t plumb_amount_rank(const plumb_amount *amount, int64_t n);

#endif
