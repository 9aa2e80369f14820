/* Unicode as the tokenizers library has it, which is several versions at once: see tools/make_unicode_classes.py. */
#ifndef PLUMB_TEXT_UNICODE_CLASSES_H
#define PLUMB_TEXT_UNICODE_CLASSES_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "text/unicode_set.h"

bool plumb_is_space(uint32_t c);       /* White_Space: strip, lstrip, rstrip and \s */
bool plumb_is_word(uint32_t c);        /* \w of Rust: single_word and the Whitespace pre-tokenizer */
bool plumb_is_numeric(uint32_t c);     /* char::is_numeric: Digits */
bool plumb_is_punctuation(uint32_t c); /* Punctuation */
/* Can a normal form change c, move it or join it with a neighbour? Characters newer than Unicode 9 never. */
bool plumb_is_normalizable(uint32_t c);

/* Lower case of one character, as char::to_lowercase: out[2], returns how many (2 for U+0130 alone). There is no final
 * sigma rule: the library maps character by character. */
int plumb_lowercase(uint32_t c, uint32_t out[2]);

/* Adds the characters of \p{NAME} or [:NAME:] to *set and tidies it; names as Oniguruma reads them (case, spaces,
 * hyphens and underscores do not count). *known is false for a property that is not built. */
plumb_status plumb_unicode_property(const char *name, size_t n, plumb_set *set, bool *known) PLUMB_MUST_USE;

/* \w and \b of a pattern: [:word:] and, a quirk of Oniguruma's Latin-1 table that its classes do not share, the
 * superscripts and fractions U+00B2-00BE. */
plumb_status plumb_unicode_word(plumb_set *set) PLUMB_MUST_USE;

/* Adds the other cases of every character in the tidy *set, as (?i) does (s, S and U+017F). */
plumb_status plumb_set_ignore_case(plumb_set *set) PLUMB_MUST_USE;

#endif
