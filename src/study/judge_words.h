/* A response as the words that rules of a judge are compared with, and what it is made of.
 *
 * Words are lower-case runs of letters and digits; contractions are written out, with or without their apostrophe
 * ("I'm" and "im" are "i am", "can't" and "cannot" are "can not"), so that a negation is always the word "not". What
 * stands between words (commas, dashes, quotes, markdown) is dropped, except the ends of sentences: . ! ? before a
 * blank, and line ends. Special tokens of models (<|...|>, </s> ...) and characters without width count for nothing. */
#ifndef PLUMB_STUDY_JUDGE_WORDS_H
#define PLUMB_STUDY_JUDGE_WORDS_H

#include <stdint.h>

#include "base/memory.h"

typedef struct plumb_word {
    size_t text;   /* where it begins in `pool`; it ends in a zero byte. "" is the end of a sentence */
    bool is_aside; /* within double quotes or a fenced block of code: told, not said */
} plumb_word;

typedef struct plumb_words {
    plumb_text pool;
    plumb_word *data;
    size_t count, capacity; /* ends of sentences included, never two in a row and none at the beginning */
    /* Characters that are no blanks: */
    int64_t visible;
    int64_t letters; /* letters and digits */
    int64_t foreign; /* letters outside the Latin script */
    int64_t markup;  /* * # _ ` ~ > | - = + and the like, which markdown is made of */
    int64_t broken;  /* U+FFFD, what stands for bytes that are no UTF-8 */
} plumb_words;

/* Reads n bytes; bytes that are not UTF-8 count as U+FFFD. *words is {0} or was filled before (its memory is reused).
 */
plumb_status plumb_words_read(plumb_words *words, const char *text, size_t n) PLUMB_MUST_USE;
void plumb_words_free(plumb_words *words);

static inline const char *plumb_word_at(const plumb_words *words, size_t i)
{
    return words->pool.data + words->data[i].text;
}

/* Does it say the same over and over? True where it ends in at least four repetitions of at most 20 words (or of 8
 * letters) that make up 60 % of it, and where of at least 20 words (the last 100 are looked at) fewer than a quarter
 * are different ones. */
plumb_status plumb_words_loop(const plumb_words *words, bool *loops) PLUMB_MUST_USE;

/* Are most words of three and more letters (four at least) without a vowel? For the Latin script. */
bool plumb_words_lack_vowels(const plumb_words *words);

#endif
