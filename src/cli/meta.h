/* The record of a run beside its output, FILE.meta.json:
 *
 *     {"plumb": "0.1.0", "command": "score",
 *      "options": {...}, "run": {...}, "sources": {...},         (base/options.h)
 *      "model": {"path": "...", "hash": "..."},                  if the command has one
 *      "data": [{"path": "...", "rows": 1000, "hash": "..."}],   and other inputs under their own names
 *      "counts": {"kept": 950, ...}}
 *
 * While the output is FILE.partial the record is FILE.partial.meta.json, without what is known only at the end. A run
 * is continued only when plumb's version, the command, its options (not "run"), the hashes of the model, its
 * tokenizer and the chat template and of other files with one, and the paths of its inputs are the same. The record is
 * a jansson object that the command holds and frees with json_decref. */
#ifndef PLUMB_CLI_META_H
#define PLUMB_CLI_META_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/options.h"
#include "base/status.h"

plumb_status plumb_meta_new(const plumb_usage *usage, const plumb_options *options, json_t **out) PLUMB_MUST_USE;
plumb_status plumb_meta_model(json_t *meta, const char *path, const char *hash) PLUMB_MUST_USE;

/* Adds an input to the list `role` ("data", "scores"), or completes the one with the same path; rows < 0: not known
 * yet. hash: of the rows that were used (base/row_hash.h). */
plumb_status plumb_meta_input(json_t *meta, const char *role, const char *path, int64_t rows,
                              uint64_t hash) PLUMB_MUST_USE;
plumb_status plumb_meta_count(json_t *meta, const char *name, int64_t count) PLUMB_MUST_USE;

/* XXH3-64 over the files of a model's folder that decide which tokens a row becomes, and over chat_template (NULL:
 * none), as 16 hex digits. The weights are not read, so this is not the hash of the model. */
plumb_status plumb_meta_text_hash(const char *folder, const char *chat_template, char hash[17]) PLUMB_MUST_USE;

/* Puts {"path": ..., "hash": ...} under that name; the hash is compared when a run goes on. */
plumb_status plumb_meta_file(json_t *meta, const char *name, const char *path, const char *hash) PLUMB_MUST_USE;

/* The same with the hash of a folder's weights: of a checkpoint plumb_model_hash of samples, of an adapter or a
 * checkpoint-N of its files. */
plumb_status plumb_meta_weights(json_t *meta, const char *name, const char *folder) PLUMB_MUST_USE;

/* The same with the hash of a file's bytes; nothing for NULL. */
plumb_status plumb_meta_contents(json_t *meta, const char *name, const char *path) PLUMB_MUST_USE;

/* Writes FILE.meta.json beside FILE (the path of an output, or of a partial output). */
plumb_status plumb_meta_write(const json_t *meta, const char *path) PLUMB_MUST_USE;
/* Removes it; a missing one is fine. */
void plumb_meta_remove(const char *path);

/* Is this file (the whole name, with .meta.json) a record that plumb wrote? */
bool plumb_meta_is_record(const char *record);

/* An integer that the record of FILE holds, so that a run that goes on can take it over; *out stays where there is
 * none. */
plumb_status plumb_meta_recorded(const char *path, const char *name, int64_t *out) PLUMB_MUST_USE;

/* Compares FILE.meta.json with this run; the first difference is PLUMB_E_INPUT: "FILE.partial: was made with --by ches,
 * now it is ln_ches". A missing or damaged record is an error too. */
plumb_status plumb_meta_compare(const json_t *meta, const char *path) PLUMB_MUST_USE;

#endif
