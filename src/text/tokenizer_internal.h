/* What the files of the tokenizer share: its tables, the steps of its pipeline and the scratch of one call. */
#ifndef PLUMB_TEXT_TOKENIZER_INTERNAL_H
#define PLUMB_TEXT_TOKENIZER_INTERNAL_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "text/tokenizer.h"
#include "text/tokenizer_pattern.h"

/* Ids from here on are taken for damage: the largest vocabularies have a quarter of a million. */
enum { PLUMB_IDS_END = 1 << 24 };

/* The largest published tokenizer.json has 35 MB. */
#define PLUMB_TOKENIZER_BYTES ((size_t)512 << 20)

/* The path of the tokenizer.json that `path`, a folder or a file, means. */
plumb_status plumb_tokenizer_file(const char *path, plumb_text *file) PLUMB_MUST_USE;

/* --- vocabulary (tokenizer_vocabulary.c) --- */

/* A token's place in the vocabulary's text. offset 0: no token has this id (the text begins with an unused byte). */
typedef struct plumb_token {
    uint32_t offset;
    uint32_t size;
} plumb_token;

/* Strings to ids, open addressing. */
typedef struct plumb_token_slot {
    uint32_t hash;
    int32_t id; /* -1: free */
} plumb_token_slot;

/* Single characters up to U+07FF (all that byte-level text has) find their ids without hashing. */
enum { PLUMB_DIRECT_CHARACTERS = 0x800 };

typedef struct plumb_vocabulary {
    plumb_text text;
    plumb_token *tokens; /* [size] by id */
    int32_t size;
    size_t count;
    plumb_token_slot *slots; /* a power of two, at most half full */
    size_t slot_mask;
    int32_t direct[PLUMB_DIRECT_CHARACTERS];
} plumb_vocabulary;

/* Makes room for `count` tokens with ids below `size` and `bytes` of text. */
plumb_status plumb_vocabulary_reserve(plumb_vocabulary *v, size_t count, int32_t size, size_t bytes) PLUMB_MUST_USE;
/* Adds a token within that room. An id or a string that is there already is PLUMB_E_INPUT. */
plumb_status plumb_vocabulary_add(plumb_vocabulary *v, const char *token, size_t n, int32_t id) PLUMB_MUST_USE;
/* Fills `direct`, once all tokens are there. */
void plumb_vocabulary_finish(plumb_vocabulary *v);
void plumb_vocabulary_free(plumb_vocabulary *v);
int32_t plumb_vocabulary_find(const plumb_vocabulary *v, const char *token, size_t n); /* -1: none */
const char *plumb_vocabulary_token(const plumb_vocabulary *v, int32_t id, size_t *n);  /* NULL: none */

/* --- BPE (tokenizer_bpe.c) --- */

typedef struct plumb_merge_slot {
    uint64_t pair; /* left << 32 | right */
    uint32_t rank; /* UINT32_MAX: free */
} plumb_merge_slot;

typedef struct plumb_bpe {
    plumb_merge_slot *slots; /* a power of two, at most half full */
    size_t slot_mask;
    int32_t *merged; /* [ranks] the id that a merge makes */
    size_t ranks;
    char *unk_token;    /* NULL: unknown characters are dropped */
    int32_t unk_id;     /* -1: unk_token is not in the vocabulary, an error only when it is needed */
    int32_t bytes[256]; /* ids of <0x00> ... <0xFF>, -1 where there is none */
    bool byte_fallback;
    bool fuse_unk;
    bool ignore_merges;
} plumb_bpe;

typedef struct plumb_symbol {
    int32_t id; /* -1: merged into its left neighbour */
    int32_t prev;
    int32_t next;
} plumb_symbol;

/* Scratch of plumb_bpe_encode. */
typedef struct plumb_bpe_work {
    plumb_symbol *symbols;
    size_t symbol_capacity;
    uint64_t *heap; /* rank << 32 | position, the smallest first */
    size_t heap_size;
    size_t heap_capacity;
} plumb_bpe_work;

/* Reads the "model" of tokenizer.json into t->vocabulary and t->bpe. */
plumb_status plumb_bpe_read(plumb_tokenizer *t, const json_t *model) PLUMB_MUST_USE;
void plumb_bpe_free(plumb_bpe *bpe);
/* Appends the ids of one word (n > 0 bytes of UTF-8). O(n log n). */
plumb_status plumb_bpe_encode(const plumb_tokenizer *t, plumb_bpe_work *work, const char *word, size_t n,
                              plumb_ids *out) PLUMB_MUST_USE;
void plumb_bpe_work_free(plumb_bpe_work *work);

/* --- text in pieces --- */

/* A piece of pieces->text, or an added token, which has no text (begin = end). */
typedef struct plumb_piece {
    size_t begin;
    size_t end;
    size_t origin; /* this many bytes at the beginning stem from offset 0 of the input: Metaspace "first" asks for it */
    int32_t id;    /* -1: text that is still to be tokenized */
} plumb_piece;

typedef struct plumb_pieces {
    plumb_text text;
    plumb_piece *data;
    size_t count;
    size_t capacity;
} plumb_pieces;

/* Scratch of one encode or decode. */
typedef struct plumb_work {
    plumb_pieces now;  /* what the next step reads */
    plumb_pieces next; /* what it writes */
    plumb_pieces raw;  /* pieces of the input between added tokens; no text of its own */
    plumb_pieces cuts; /* the same within one normalized piece */
    plumb_text normal[2];
    plumb_spans spans;
    plumb_spans joined;
    plumb_matching matching;
    plumb_bpe_work bpe;
} plumb_work;

/* Appends a piece; an empty one with id -1 is dropped. */
plumb_status plumb_push_piece(plumb_pieces *pieces, plumb_piece piece) PLUMB_MUST_USE;
/* Makes work->next what the next step reads. Without `text` its pieces still point into the text of work->now. */
void plumb_swap_pieces(plumb_work *work, bool text);
void plumb_work_free(plumb_work *work);

/* --- steps of the pipeline (tokenizer_steps.c) --- */

typedef enum plumb_behavior {
    PLUMB_REMOVED,
    PLUMB_ISOLATED,
    PLUMB_MERGED_WITH_PREVIOUS,
    PLUMB_MERGED_WITH_NEXT,
    PLUMB_CONTIGUOUS,
} plumb_behavior;

typedef enum plumb_scheme { PLUMB_PREPEND_ALWAYS, PLUMB_PREPEND_FIRST, PLUMB_PREPEND_NEVER } plumb_scheme;

typedef struct plumb_step plumb_step;

/* Appends the normal form of text (n > 0) to *out, which is empty. *origin: see plumb_piece, before and after. */
typedef plumb_status plumb_normalize_function(const plumb_step *step, plumb_work *work, const char *text, size_t n,
                                              size_t *origin, plumb_text *out);
/* Splits or changes the pieces in work->now. */
typedef plumb_status plumb_split_function(const plumb_step *step, plumb_work *work);
/* The same for tokens on their way back to text. */
typedef plumb_status plumb_decode_function(const plumb_step *step, plumb_work *work);

typedef union plumb_step_function {
    plumb_normalize_function *normalize;
    plumb_split_function *split;
    plumb_decode_function *decode;
} plumb_step_function;

/* A row of a table of components: the type in tokenizer.json, what reads its members, what runs it. */
typedef struct plumb_component {
    const char *type;
    plumb_status (*read)(const json_t *json, plumb_step *step); /* NULL: it has none */
    plumb_step_function run;                                    /* all NULL: it does nothing */
} plumb_component;

/* A string or a pattern that text is searched for. */
typedef struct plumb_matcher {
    plumb_text literal;
    plumb_pattern *pattern; /* NULL: the literal */
} plumb_matcher;

/* A component with its members; each uses its own. */
struct plumb_step {
    plumb_step_function run;
    plumb_matcher matcher; /* Split, Replace, ByteLevel */
    plumb_text content;    /* Prepend, Replace, Strip (decoder), Metaspace's replacement */
    plumb_behavior behavior;
    plumb_scheme scheme;
    bool invert;
    bool add_prefix_space;
    bool split;      /* Metaspace */
    bool individual; /* Digits */
    bool strip_left, strip_right;
    size_t start, stop; /* Strip (decoder) */
};

typedef struct plumb_steps {
    plumb_step *data;
    size_t count;
    size_t capacity;
} plumb_steps;

/* What a list of components is called in tokenizer.json. */
typedef struct plumb_component_table {
    const char *key;  /* "normalizer" */
    const char *list; /* "normalizers": the member of a Sequence */
    const plumb_component *rows;
    size_t count;
} plumb_component_table;

extern const plumb_component_table plumb_normalizers, plumb_pre_tokenizers, plumb_decoders;

/* Reads the component under table->key of `root`, sequences flattened; null and missing are no steps. */
plumb_status plumb_steps_read(const json_t *root, const plumb_component_table *table,
                              plumb_steps *steps) PLUMB_MUST_USE;
void plumb_steps_free(plumb_steps *steps);

/* Members of an object that must be there. Errors name the key. */
plumb_status plumb_need(const json_t *object, const char *key, json_type type, const json_t **out) PLUMB_MUST_USE;
plumb_status plumb_need_text(const json_t *object, const char *key, plumb_text *out) PLUMB_MUST_USE;
plumb_status plumb_need_bool(const json_t *object, const char *key, bool *out) PLUMB_MUST_USE;
plumb_status plumb_need_index(const json_t *object, const char *key, int64_t end, int64_t *out) PLUMB_MUST_USE;
/* One character. */
plumb_status plumb_need_character(const json_t *object, const char *key, plumb_text *out) PLUMB_MUST_USE;
/* {"String": ...} or {"Regex": ...} */
plumb_status plumb_need_matcher(const json_t *object, const char *key, plumb_matcher *out) PLUMB_MUST_USE;
/* Metaspace, which is a pre-tokenizer and a decoder. */
plumb_status plumb_read_metaspace(const json_t *json, plumb_step *step) PLUMB_MUST_USE;

/* Fills work->spans as plumb_pattern_find does, n >= 0 (an empty text has no spans). */
plumb_status plumb_matcher_find(const plumb_matcher *matcher, plumb_work *work, const char *text,
                                size_t n) PLUMB_MUST_USE;

/* Runs all normalizers over text; the result is borrowed from `work`. */
plumb_status plumb_normalize(const plumb_steps *steps, plumb_work *work, const char *text, size_t n, size_t *origin,
                             const char **out, size_t *out_size) PLUMB_MUST_USE;

/* The character that byte-level text has for each byte, U+0100 and on for those without a mark of their own; and back:
 * the byte of a character, or -1. */
uint32_t plumb_byte_character(uint8_t byte);
int plumb_character_byte(uint32_t c);

/* --- added tokens (tokenizer_added.c) --- */

typedef struct plumb_added_token {
    char *content;
    size_t size;
    char *normal; /* its normal form where `normalized` and another one, else NULL */
    size_t normal_size;
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
    bool skipped; /* by decoding without special tokens */
} plumb_added_token;

/* Strings by their bytes; the children of a node are a list. */
typedef struct plumb_trie_node {
    int32_t child, sibling; /* 0: none */
    int32_t token;          /* index of the added token that ends here, -1: none */
    uint8_t byte;
} plumb_trie_node;

typedef struct plumb_trie {
    plumb_trie_node *nodes; /* the first is the root; none: the trie is empty */
    size_t count;
    size_t capacity;
    int32_t first[256]; /* the root's children, 0: none */
} plumb_trie;

typedef struct plumb_added {
    plumb_added_token *tokens; /* sorted by id once read */
    size_t count;
    size_t capacity;
    plumb_trie raw;    /* those found in the text as it comes */
    plumb_trie normal; /* those found in the normalized text */
} plumb_added;

/* Reads "added_tokens"; the vocabulary and the normalizers must be there. */
plumb_status plumb_added_read(plumb_tokenizer *t, const json_t *root) PLUMB_MUST_USE;
void plumb_added_free(plumb_added *added);
const plumb_added_token *plumb_added_find_id(const plumb_added *added, int32_t id); /* NULL: none */
int32_t plumb_added_find(const plumb_added *added, const char *content, size_t n);  /* its id; -1: none */
/* Cuts text into added tokens and normalized pieces: fills work->now. */
plumb_status plumb_added_extract(const plumb_tokenizer *t, plumb_work *work, const char *text, size_t n) PLUMB_MUST_USE;

/* --- the whole --- */

enum { PLUMB_TEMPLATE_TEXT = -1 };

struct plumb_tokenizer {
    plumb_vocabulary vocabulary;
    plumb_bpe bpe;
    plumb_steps normalizers;
    plumb_steps pre_tokenizers;
    plumb_steps decoders;
    bool has_decoder;
    plumb_added added;
    bool has_template;
    plumb_ids template; /* ids around the text, PLUMB_TEMPLATE_TEXT for the text itself */
    int32_t size;
};

#endif
