/* Classes of words (affirmation, denial, refusal, ...), which of them are opposites, and which token of a vocabulary
 * belongs to which: to tell whether probability mass went to words of the same meaning or of the opposite one.
 *
 * A word covers its spellings: tokens are compared by the text they decode to, white space around it removed (so
 * "ĠYes", "▁yes" and " YES" are all `yes`), upper and lower case alike (Unicode case folding), a typographic apostrophe
 * as '. A word that a vocabulary splits has no token of its own there. A word may stand in several classes; its tokens
 * then count in each of them.
 *
 * A groups file is YAML or JSON, a flat mapping from class names to words:
 *
 *     fruit: [apple, pear]
 *     stone:
 *       - granite
 *     denial: [nay]             # adds to a built-in class
 *     opposites: [fruit/stone]  # pairs of classes, both ways; those built in stay
 *     builtin: false            # leaves the built-in classes and opposites out; without this line they are there too
 *
 * A word of the file is in the classes that the file gives it and in no built-in one. */
#ifndef PLUMB_STUDY_TOKEN_GROUPS_H
#define PLUMB_STUDY_TOKEN_GROUPS_H

#include "text/tokenizer.h"

enum { PLUMB_CLASSES = 32 };
typedef uint32_t plumb_classes; /* a set of classes: bit c is class number c */

typedef struct plumb_token_groups plumb_token_groups;

/* path: a groups file, or NULL for the built-in classes alone. PLUMB_E_INPUT with file:line for a class name other than
 * letters, digits, - and _ (and `none`), more than PLUMB_CLASSES classes, no words, a value that is no word, and
 * opposites that are not two different known classes. */
plumb_status plumb_token_groups_open(const char *path, plumb_token_groups **out) PLUMB_MUST_USE;
void plumb_token_groups_free(plumb_token_groups *g); /* NULL is fine */

/* The classes, those of the built-in table first. */
int plumb_token_groups_count(const plumb_token_groups *g);
const char *plumb_token_groups_name(const plumb_token_groups *g, int c);

/* All classes that are opposites of one in the set. */
plumb_classes plumb_token_groups_opposites(const plumb_token_groups *g, plumb_classes of);

/* The classes of a token by the n bytes of text that it decodes to; 0: none. Bytes that are not UTF-8 have none. */
plumb_status plumb_token_groups_find(const plumb_token_groups *g, const char *text, size_t n,
                                     plumb_classes *out) PLUMB_MUST_USE;

/* The same for every id of a vocabulary: out [vocab]. Ids without a token and special tokens have none. */
plumb_status plumb_token_groups_map(const plumb_token_groups *g, const plumb_tokenizer *t, int vocab,
                                    plumb_classes *out) PLUMB_MUST_USE;

/* Appends the names of a set: "denial", "affirmation+compliance"; "none" for the empty set. */
plumb_status plumb_token_groups_label(const plumb_token_groups *g, plumb_classes set, plumb_text *t) PLUMB_MUST_USE;

#endif
