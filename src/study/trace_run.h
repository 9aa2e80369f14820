/* The course of a run, for study/trace.h: what its folder records, the models along it, and its ledger. */
#ifndef PLUMB_STUDY_TRACE_RUN_H
#define PLUMB_STUDY_TRACE_RUN_H

#include <jansson.h>

#include "align/pair_reader.h"
#include "model/adapter.h"
#include "study/ledger_reader.h"
#include "study/trace.h"

/* ---- run.json ---- */

/* What a run with a ledger of pairs was made from: of plumb dpo, of plumb kto (whose ledger tells whether it has
 * pairs), of rloo, grpo and ppo with --ledger_data. Paths stand as they were given then. */
typedef struct plumb_run_record {
    json_t *json;          /* owns the strings */
    const char *model;     /* the checkpoint that it began with */
    int64_t template_time; /* what its chat template took for now; -1: not recorded */
    const char *hash;      /* plumb_model_hash of it then, over all bytes if full_hash */
    bool full_hash;
    const char *data; /* of the pairs */
    plumb_preference_keys keys;
    const char *chat_template; /* NULL: the checkpoint's */
    int max_length;            /* 0: no cut; -1: not given, the default of the model */
    bool skip_bad_rows;
    bool completed;
    bool is_adapter;     /* LoRA: only an adapter was trained */
    const char *adapter; /* the one that it began with; NULL: a fresh one */
} plumb_run_record;

/* PLUMB_E_INPUT when the folder holds no such run. *out must be {0}. */
plumb_status plumb_run_record_read(const char *folder, plumb_run_record *out) PLUMB_MUST_USE;
void plumb_run_record_free(plumb_run_record *r);

/* PLUMB_E_INPUT when `model` is not the checkpoint that the run began with. */
plumb_status plumb_run_check_start(const plumb_run_record *r, const char *model) PLUMB_MUST_USE;

/* ---- models ---- */

/* A model that shares what it can with a base: an adapter over it, or the masters of a checkpoint in its place. */
typedef struct plumb_derived_model {
    plumb_model *model;
    plumb_adapter *adapter;
    plumb_tensors *tensors;
} plumb_derived_model;

void plumb_derived_model_close(plumb_derived_model *m);

/* Opens FOLDER beside `base`, which must outlive it: a checkpoint of its own, an adapter of PEFT for base, or a
 * checkpoint-N of a full training run, whose masters take the place of base's weights. */
plumb_status plumb_derived_model_open(const plumb_model *base, const char *folder,
                                      plumb_derived_model *out) PLUMB_MUST_USE;

/* PLUMB_E_INPUT, naming what differs, unless FOLDER has the same tokenizer as the folder of its base
 * (plumb_tokenizer_compare); an adapter or a checkpoint-N without a tokenizer means that of its base. */
plumb_status plumb_derived_same_tokenizer(const char *base, const char *folder) PLUMB_MUST_USE;

/* PLUMB_E_INPUT when `before` is what training made of `after`, so that the two are swapped: it is only an adapter or a
 * checkpoint-N and `after` a whole model, or its run.json has the hash of `after` as that of the model it began with.
 * Folders that do not tell pass. */
plumb_status plumb_check_order(const char *before, const char *after) PLUMB_MUST_USE;

/* checkpoint-STEP of a run whose start is `base` (without the adapter it may have begun with). */
plumb_status plumb_run_model_open(const plumb_run_record *r, const plumb_model *base, const char *run, int64_t step,
                                  plumb_derived_model *out) PLUMB_MUST_USE;

/* ---- the ledger ---- */

/* Where the mass went in the last evaluation of the ledger, pair by pair in the order of plumb_ledger_file. */
typedef struct plumb_ledger_tokens {
    plumb_traced_place *places; /* [count of the ledger]; `chosen` and the gains are not set */
    bool *there;
    int most; /* the longest of the lists */
    plumb_arena arena;
} plumb_ledger_tokens;

/* Reads RUN/ledger.jsonl again. Rows without tokens are passed over. *out must be {0}. */
plumb_status plumb_ledger_tokens_read(const char *run, const plumb_ledger_file *ledger,
                                      const plumb_token_groups *groups, const plumb_sink *sink,
                                      plumb_ledger_tokens *out) PLUMB_MUST_USE;
void plumb_ledger_tokens_free(plumb_ledger_tokens *t);

/* The course of pair number `pair` from the ledger, into *out [*count] of the arena, together with points (steps
 * ascending) that models gave: at steps of the ledger they tell only of the first token, which the ledger knows of
 * chosen responses of one token (`one_token`). Evaluations that the pair is not in are left out. */
plumb_status plumb_ledger_course(const plumb_ledger_file *ledger, size_t pair, bool one_token,
                                 const plumb_course_point *points, size_t point_count, plumb_arena *arena,
                                 plumb_course_point **out, size_t *count) PLUMB_MUST_USE;

/* A row from the ledger alone: log-probs at its first and last evaluation, tokens as listed there (NULL: none), gains
 * summed over those listed. `pair` is what the data's row became; another position of the first differing token than
 * the ledger's is PLUMB_E_INPUT. */
plumb_status plumb_ledger_trace(const plumb_ledger_file *ledger, const plumb_ledger_tokens *tokens, size_t number,
                                const plumb_pair *pair, const plumb_trace_options *options, plumb_arena *arena,
                                plumb_trace_row *out) PLUMB_MUST_USE;

#endif
