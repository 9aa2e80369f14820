#include "base/amount.h"

#include <ctype.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide;

enum { MOST_PLACES = 15, MOST_DIGITS = 18 };

static plumb_status bad_amount(const char *text)
{
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"%s\" is neither a percentage nor a number of rows", text),
                      "write a percentage like 5%% or 0.5%%, or a whole number of rows like 500");
}

uint64_t plumb_power_of_ten(int exponent)
{
    uint64_t power = 1;
    while (exponent-- > 0) power *= 10;
    return power;
}

bool plumb_amount_decimal(const char *text, const char **end, plumb_amount *out)
{
    int digits = 0;
    bool point = false;
    *out = (plumb_amount){0};
    for (; isdigit((unsigned char)*text) || (*text == '.' && !point); text++) {
        if (*text == '.') {
            point = true;
            continue;
        }
        if (out->digits) digits++; /* zeros in front do not count */
        out->digits = 10 * out->digits + (uint64_t)(*text - '0');
        out->places += point;
        if (digits >= MOST_DIGITS || out->places > MOST_PLACES) return false;
    }
    *end = text;
    return text[-1] != '.' || isdigit((unsigned char)text[-2]);
}

plumb_status plumb_amount_parse(const char *text, plumb_amount *out)
{
    const char *end;
    plumb_amount amount;
    if (!isdigit((unsigned char)*text) && !(*text == '.' && isdigit((unsigned char)text[1]))) return bad_amount(text);
    if (!plumb_amount_decimal(text, &end, &amount)) return bad_amount(text);
    bool has_point = memchr(text, '.', (size_t)(end - text)) != NULL;
    while (*end == ' ') end++;
    amount.is_percent = *end == '%';
    if (amount.is_percent) end++;
    if (*end || (!amount.is_percent && has_point)) return bad_amount(text);
    if (amount.is_percent && amount.digits > 100 * plumb_power_of_ten(amount.places))
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s is more than 100 %%", text), "a number of rows has no %% sign");
    *out = amount;
    return PLUMB_OK;
}

/* amount percent of n, as a fraction. */
static wide fraction_of(const plumb_amount *amount, int64_t n, wide *denominator)
{
    *denominator = (wide)100 * plumb_power_of_ten(amount->places);
    return (wide)amount->digits * (wide)n;
}

static int64_t round_half_even(wide numerator, wide denominator)
{
    wide quotient = numerator / denominator, twice = 2 * (numerator % denominator);
    if (twice > denominator || (twice == denominator && quotient % 2 == 1)) quotient++;
    return (int64_t)quotient;
}

int64_t plumb_amount_count(const plumb_amount *amount, int64_t n, bool up)
{
    if (!amount->is_percent) return amount->digits < (uint64_t)n ? (int64_t)amount->digits : n;
    wide denominator, numerator = fraction_of(amount, n, &denominator);
    return (int64_t)((numerator + (up ? denominator - 1 : 0)) / denominator);
}

int64_t plumb_amount_rank(const plumb_amount *amount, int64_t n)
{
    wide denominator, numerator = fraction_of(amount, n - 1, &denominator);
    return round_half_even(numerator, denominator);
}
