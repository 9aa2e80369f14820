/* plumb generate: completions of prompts. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "align/prompt_reader.h"
#include "base/clock.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "cli/meta.h"
#include "cli/passed_over.h"
#include "cli/work_time.h"
#include "cli/written_rows.h"
#include "io/json.h"
#include "model/adapter.h"
#include "model/eos.h"
#include "model/generation.h"

typedef struct generate_values {
    plumb_common common;
    plumb_list model, prompts, stop;
    double temperature, top_p;
    int64_t top_k, n, max_new_tokens, slots;
    const char *adapter, *prompt_key, *chat_template;
    int implicit_prompt, isa, compute;
    bool as_message;
} generate_values;

static const plumb_option options[] = {
    {.name = "temperature",
     .kind = PLUMB_OPTION_REAL,
     .offset = offsetof(generate_values, temperature),
     .fallback = "1",
     .metavar = "T",
     .low = 0,
     .high = 1000,
     .help = "divides the logits: below 1 likely tokens get likelier; 0 is greedy, always the likeliest token"},
    {.name = "top_k",
     .kind = PLUMB_OPTION_INTEGER,
     .offset = offsetof(generate_values, top_k),
     .fallback = "0",
     .metavar = "K",
     .low = 0,
     .high = INT32_MAX,
     .help = "sample from the K likeliest tokens only; 0 is off"},
    {.name = "top_p",
     .kind = PLUMB_OPTION_REAL,
     .offset = offsetof(generate_values, top_p),
     .fallback = "1",
     .metavar = "P",
     .low = 0,
     .high = 1,
     .help = "sample from the fewest likeliest tokens (of the top_k) whose probability reaches P only; 1 is off"},
    {.name = "n",
     .alias = "num_return_sequences",
     .kind = PLUMB_OPTION_INTEGER,
     .offset = offsetof(generate_values, n),
     .fallback = "1",
     .metavar = "N",
     .low = 1,
     .high = 1000000,
     .help = "completions of each prompt; the prompt is computed once for all of them"},
    {.name = "max_new_tokens",
     .kind = PLUMB_OPTION_INTEGER,
     .offset = offsetof(generate_values, max_new_tokens),
     .alias = "max_completion_length",
     .fallback = "256",
     .metavar = "N",
     .low = 1,
     .high = 1 << 24,
     .help = "tokens of a completion at the most; the model's positions are a bound too"},
    {.name = "stop",
     .kind = PLUMB_OPTION_REPEATED,
     .offset = offsetof(generate_values, stop),
     .metavar = "TEXT",
     .help = "end a completion where this text appears in it, and cut it off there; may be given several times. The "
             "text of a special token works too"},
    PLUMB_OPTION_SEED(generate_values),
    {.name = "adapter",
     .kind = PLUMB_OPTION_STRING,
     .offset = offsetof(generate_values, adapter),
     .metavar = "DIR",
     .help = "a LoRA adapter (PEFT folder) of the model"},
    PLUMB_OPTION_PROMPT_KEY(generate_values),
    {.name = "as_message",
     .kind = PLUMB_OPTION_FLAG,
     .offset = offsetof(generate_values, as_message),
     .help = "string prompts become one user message and go through the chat template; without it they are plain text "
             "that the model goes on with"},
    PLUMB_OPTION_IMPLICIT_PROMPT(generate_values),
    PLUMB_OPTION_CHAT_TEMPLATE(generate_values),
    {.name = "slots",
     .kind = PLUMB_OPTION_INTEGER,
     .offset = offsetof(generate_values, slots),
     .alias = "batch",
     .metavar = "N",
     .low = 1,
     .high = 4096,
     .changes_no_result = true,
     .help = "completions that run side by side: more are faster and need more memory. Without it 32, or as many as a "
             "cache of 2 GiB holds. Results do not depend on it"},
    PLUMB_OPTION_COMPUTE(generate_values),
    PLUMB_OPTION_ISA(generate_values),
    PLUMB_OPTION_OUTPUT(generate_values),
    PLUMB_OPTION_LIMIT(generate_values),
    PLUMB_OPTION_ROWS(generate_values),
    PLUMB_OPTION_ON_ERROR(generate_values),
    PLUMB_OPTION_THREADS(generate_values),
    PLUMB_OPTION_DRY_RUN(generate_values),
    PLUMB_OPTION_RESUME(generate_values),
    PLUMB_OPTION_QUIET(generate_values),
};

static const plumb_positional positionals[] = {
    {"MODEL", "a Hugging Face checkpoint folder: config.json, tokenizer.json, *.safetensors", 1, 1,
     offsetof(generate_values, model)},
    {"PROMPTS", "rows with prompts as JSONL, plain or .gz; - is stdin", 1, 1, offsetof(generate_values, prompts)},
};

const plumb_usage plumb_usage_generate = {
    .name = "generate",
    .summary = "sample completions of prompts from a model",
    .description =
        "Writes one JSON row for each completion, in the order of the prompts: index, row, sample, prompt, response, "
        "response_ids, finish (eos, length, stop) and seed. A completion depends on the model, its prompt, the seed, "
        "the row's number in the file and the sample's number alone, so that shards (--range) put together are what "
        "one run gives.\n\n"
        "Rows may hold a prompt as a string or a list of messages, a conversation in messages, token ids in "
        "prompt_ids, or be preference rows, whose prompt is taken. Conversations go through the checkpoint's chat "
        "template; a string stays plain text unless --as_message is given.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = sizeof positionals / sizeof *positionals,
    .example = "  plumb generate gemma-2b-it prompts.jsonl --as_message --n 2 --max_new_tokens 128 -o responses.jsonl\n"
               "  plumb generate OLMo-1B-hf prompts.jsonl --temperature 0 --stop '\n' -o greedy.jsonl",
};

#define NEAR_TIE 1e-4

/* A prompt whose completions are on the way. */
typedef struct pending {
    struct pending *next;
    int64_t index;
    uint64_t hash;
    plumb_text prompt; /* as JSON */
} pending;

/* All that a run holds; freed in one place. */
typedef struct run {
    plumb_cli *cli;
    const generate_values *v;
    plumb_compute *compute;
    plumb_model *model;
    plumb_adapter *adapter;
    plumb_encoder *encoder;
    plumb_config config;
    plumb_ids eos, stop_ids; /* stop_ids: --stop texts that are special tokens */
    plumb_prompt_reader *reader;
    plumb_generator *generator;
    plumb_generator_options how;
    plumb_output *output;
    json_t *meta;
    plumb_text line, text; /* scratch */
    pending *first, **end;
    bool resumed;
    int64_t done_index; /* of the prompt that an interrupted run left incomplete; -1: none */
    int done_samples;   /* of these so many are written */
    int64_t written, finished[3], full, ties, tie_index, usable, longest, prompt_tokens;
    int tie_sample, tie_at;
    double began, flushed_at;
    plumb_sink reader_sink;
    plumb_passed_over passed_over;
} run;

static void drop_first(run *r)
{
    pending *p = r->first;
    r->first = p->next;
    if (!r->first) r->end = &r->first;
    plumb_text_free(&p->prompt);
    free(p);
}

static void free_run(run *r)
{
    plumb_generator_free(r->generator);
    while (r->first) drop_first(r);
    plumb_prompt_reader_close(r->reader);
    plumb_encoder_close(r->encoder);
    plumb_model_close(r->model);
    plumb_adapter_free(r->adapter);
    plumb_compute_close(r->compute);
    plumb_ids_free(&r->eos);
    plumb_ids_free(&r->stop_ids);
    plumb_text_free(&r->line);
    plumb_text_free(&r->text);
    plumb_passed_over_free(&r->passed_over);
    json_decref(r->meta);
}

static plumb_status read_stops(run *r)
{
    const plumb_list *stop = &r->v->stop;
    for (size_t i = 0; i < stop->count; i++) {
        if (!*stop->items[i])
            return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--stop: the text is empty"),
                              "leave the option out to let completions run to their end");
        int32_t id = plumb_tokenizer_id(r->encoder->tokenizer, stop->items[i], strlen(stop->items[i]));
        if (id >= 0 && plumb_tokenizer_is_special(r->encoder->tokenizer, id))
            PLUMB_TRY(plumb_ids_push(&r->stop_ids, id));
    }
    return PLUMB_OK;
}

static plumb_status open_model(run *r)
{
    const char *folder = r->v->model.items[0];
    PLUMB_TRY(plumb_config_load(folder, &r->config));
    PLUMB_TRY(plumb_cli_open_compute(&r->v->common, r->v->isa, r->v->compute, &r->compute));
    PLUMB_TRY(plumb_model_open(folder, r->compute, &r->model));
    if (r->v->adapter) {
        PLUMB_TRY(plumb_adapter_load(r->v->adapter, r->model, &r->adapter));
        PLUMB_TRY(plumb_model_attach(r->model, r->adapter));
    }
    PLUMB_TRY(plumb_encoder_open(folder, r->v->chat_template, r->config.eos_id, &r->encoder));
    if (r->v->as_message && !r->encoder->chat)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--as_message: %s has no chat template", folder),
                          "give one with --chat_template FILE, or leave the option out: prompts are then plain text");
    PLUMB_TRY(plumb_eos_ids(folder, r->encoder, r->config.vocab_size, &r->eos));
    if (!r->eos.count)
        plumb_note(&r->cli->sink, "%s names no EOS token: completions end at max_new_tokens or a --stop text", folder);
    return read_stops(r);
}

static plumb_status open_reader(run *r)
{
    const generate_values *v = r->v;
    r->reader_sink = (plumb_sink){.user = &r->passed_over, .note = plumb_passed_over_note};
    plumb_prompt_source source = {
        .path = v->prompts.items[0],
        .keys = {v->prompt_key, "chosen", "rejected", (plumb_implicit_prompt)v->implicit_prompt},
        .encoder = r->encoder,
        .as_message = v->as_message,
        .vocab_size = r->config.vocab_size,
        .skip_bad_rows = v->common.on_error == PLUMB_ON_ERROR_SKIP,
        .sink = &r->reader_sink,
    };
    plumb_cli_rows(&v->common, &source.begin, &source.end);
    return plumb_prompt_reader_open(&source, &r->reader);
}

/* ---- stop texts ---- */

/* Where the first of the stop texts begins, or the size of the text. */
static size_t find_stop(const plumb_list *stop, const plumb_text *text)
{
    size_t first = text->size;
    for (size_t i = 0; i < stop->count; i++) {
        const char *at = text->size ? memmem(text->data, text->size, stop->items[i], strlen(stop->items[i])) : NULL;
        if (at && (size_t)(at - text->data) < first) first = (size_t)(at - text->data);
    }
    return first;
}

static plumb_status decode(run *r, const plumb_generated *g)
{
    plumb_text_clear(&r->text);
    return plumb_tokenizer_decode(r->encoder->tokenizer, g->ids, (size_t)g->count, true, &r->text);
}

static plumb_status should_stop(void *user, const plumb_generated *so_far, bool *stop)
{
    run *r = user;
    for (size_t i = 0; i < r->stop_ids.count; i++) *stop |= so_far->ids[so_far->count - 1] == r->stop_ids.data[i];
    if (*stop) return PLUMB_OK;
    PLUMB_TRY(decode(r, so_far));
    *stop = find_stop(&r->v->stop, &r->text) < r->text.size;
    return PLUMB_OK;
}

/* ---- rows out ---- */

static plumb_status completion_line(run *r, const plumb_generated *g)
{
    plumb_text *t = &r->line;
    plumb_text_clear(t);
    PLUMB_TRY(plumb_text_printf(t, "{\"index\": %" PRId64 ", \"row\": \"%016" PRIx64 "\", \"sample\": %d, \"prompt\": ",
                                r->first->index, r->first->hash, g->sample));
    PLUMB_TRY(plumb_text_append(t, r->first->prompt.data, r->first->prompt.size));
    PLUMB_TRY(decode(r, g));
    PLUMB_TRY(plumb_text_string(t, ", \"response\": "));
    PLUMB_TRY(plumb_json_quote(t, r->text.data ? r->text.data : "", find_stop(&r->v->stop, &r->text)));
    PLUMB_TRY(plumb_text_string(t, ", \"response_ids\": ["));
    for (int i = 0; i < g->count; i++) PLUMB_TRY(plumb_text_printf(t, "%s%" PRId32, i ? ", " : "", g->ids[i]));
    return plumb_text_printf(t, "], \"finish\": \"%s\", \"seed\": %" PRId64 "}\n", plumb_finish_name(g->finish),
                             r->v->common.seed);
}

static void count(run *r, const plumb_generated *g)
{
    r->finished[g->finish]++;
    r->full += g->count == 0;
    if (!(g->closest < NEAR_TIE)) return;
    if (r->ties++) return;
    r->tie_index = g->key;
    r->tie_sample = g->sample;
    r->tie_at = g->closest_at;
}

/* Rows leave plumb when they are there, but not more often than people notice. */
static plumb_status flush_rows(run *r)
{
    enum { A_SECOND_HAS = 10 };
    double time = plumb_clock_seconds();
    if (A_SECOND_HAS * (time - r->flushed_at) < 1) return PLUMB_OK;
    r->flushed_at = time;
    return plumb_output_flush(r->output);
}

static plumb_status write_completion(void *user, const plumb_generated *g)
{
    run *r = user;
    if (g->key != r->done_index || g->sample >= r->done_samples) {
        PLUMB_TRY(completion_line(r, g));
        PLUMB_TRY(plumb_output_write(r->output, r->line.data, r->line.size));
        count(r, g);
        r->written++;
    }
    if (g->sample == r->v->n - 1) drop_first(r);
    double prompts = plumb_prompt_reader_expected(r->reader);
    plumb_progress(&r->cli->sink, "completions", (double)r->written, prompts < 0 ? -1 : prompts * (double)r->v->n);
    return flush_rows(r);
}

/* ---- prompts in ---- */

/* The prompt as it stands in the data; of token ids their text. */
static plumb_status prompt_json(run *r, const plumb_prompt *p, plumb_text *out)
{
    if (p->row.form == PLUMB_FORM_TEXT) return plumb_json_quote(out, p->row.prompt, p->row.prompt_size);
    if (p->row.form == PLUMB_FORM_MESSAGES) {
        char *list = json_dumps(p->row.prompt_messages, 0);
        plumb_status s = list ? plumb_text_string(out, list) : plumb_no_memory();
        free(list);
        return s;
    }
    plumb_text_clear(&r->text);
    PLUMB_TRY(plumb_tokenizer_decode(r->encoder->tokenizer, p->ids.data, p->ids.count, false, &r->text));
    return plumb_json_quote(out, r->text.data ? r->text.data : "", r->text.size);
}

static plumb_status add_prompt(run *r, const plumb_row *row, const plumb_prompt *p)
{
    pending *waits;
    if (!p->usable) return PLUMB_OK;
    r->usable++;
    r->prompt_tokens += (int64_t)p->ids.count;
    if ((int64_t)p->ids.count > r->longest) r->longest = (int64_t)p->ids.count;
    if (r->v->common.dry_run) return PLUMB_OK;
    PLUMB_TRY(plumb_new(&waits, 1, sizeof *waits));
    waits->index = row->index;
    waits->hash = row->hash;
    *r->end = waits;
    r->end = &waits->next;
    PLUMB_TRY(prompt_json(r, p, &waits->prompt));
    return plumb_generator_add(r->generator, row->index, p->ids.data, (int)p->ids.count, (int)r->v->n);
}

static plumb_status run_prompts(run *r)
{
    const plumb_row *row = NULL;
    const plumb_prompt *prompt = NULL;
    bool found;
    for (;;) {
        PLUMB_TRY(plumb_check_interrupt(&r->cli->sink));
        PLUMB_TRY(plumb_prompt_reader_next(r->reader, &row, &prompt, &found));
        if (!found) break;
        PLUMB_TRY(add_prompt(r, row, prompt));
    }
    if (plumb_prompt_reader_rows(r->reader, NULL, NULL) == 0)
        return plumb_fail(PLUMB_E_INPUT, "%s: there are no rows %s", r->v->prompts.items[0],
                          plumb_options_given(r->cli->options, "range") ? "in this range" : "in it");
    return r->generator ? plumb_generator_flush(r->generator) : PLUMB_OK;
}

static plumb_status new_generator(run *r)
{
    const generate_values *v = r->v;
    r->how = (plumb_generator_options){
        .sampling = {.temperature = v->temperature,
                     .top_p = v->top_p,
                     .top_k = (int)v->top_k,
                     .max_new_tokens = (int)v->max_new_tokens,
                     .seed = (uint64_t)v->common.seed,
                     .eos = r->eos.data,
                     .eos_count = (int)r->eos.count},
        .slots = (int)v->slots,
        .stop = v->stop.count ? should_stop : NULL,
        .emit = write_completion,
        .user = r,
        .sink = &r->cli->sink,
    };
    if (v->temperature == 0 && v->n > 1)
        plumb_note(&r->cli->sink, "--temperature 0: the %" PRId64 " completions of a prompt will be the same", v->n);
    return plumb_generator_new(r->model, &r->how, &r->generator);
}

/* ---- going on with a partial output ---- */

static plumb_status other_rows(const run *r, int64_t line, const char *what)
{
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s:%" PRId64 ": %s", plumb_output_partial(r->output), line, what),
                      "the data or the file changed; delete the partial file and generate again");
}

/* One row that is there already: of the prompt that the row before it belongs to, or of a later one. */
static plumb_status pass_row(run *r, const plumb_row *written, const plumb_row **data)
{
    json_t *row = NULL;
    char hash[17];
    bool found = true;
    plumb_status s = plumb_context(plumb_json_parse(written->bytes, written->size, false, NULL, &row), "%s:%" PRId64,
                                   plumb_output_partial(r->output), written->line);
    if (s) return s;
    int64_t index = json_integer_value(json_object_get(row, "index"));
    const char *was = json_string_value(json_object_get(row, "row"));
    bool begins = r->done_index < 0 || r->done_samples == r->v->n;
    if (json_integer_value(json_object_get(row, "sample")) != (begins ? 0 : r->done_samples) ||
        (begins ? index <= r->done_index : index != r->done_index))
        s = other_rows(r, written->line, "a completion is missing before this one");
    while (!s && begins && found && (!*data || (*data)->index < index))
        s = plumb_prompt_reader_pass(r->reader, data, &found);
    if (!s && found && *data) snprintf(hash, sizeof hash, "%016" PRIx64, (*data)->hash);
    if (!s && (!found || !*data || (*data)->index != index || !was || strcmp(was, hash) != 0))
        s = other_rows(r, written->line, "was made from another row than there is in the data");
    r->done_samples = begins ? 1 : r->done_samples + 1;
    r->done_index = index;
    json_decref(row);
    return s;
}

/* Checks the rows that are there against the data. A prompt of which only some completions are there is generated
 * again, and those are left out. */
static plumb_status pass_written(run *r)
{
    plumb_rows *rows;
    plumb_row written;
    const plumb_row *data = NULL;
    const plumb_prompt *prompt;
    bool found;
    PLUMB_TRY(plumb_rows_open(plumb_output_partial(r->output), 0, -1, &rows));
    plumb_status s;
    while (!(s = plumb_rows_next(rows, &written, &found)) && found && !(s = pass_row(r, &written, &data))) r->written++;
    plumb_rows_close(rows);
    if (s) return s;
    plumb_note(&r->cli->sink, "going on after %" PRId64 " completions", r->written);
    if (!data || r->done_samples == r->v->n) return PLUMB_OK;
    PLUMB_TRY(plumb_prompt_reader_make(r->reader, &prompt));
    return add_prompt(r, data, prompt);
}

/* ---- the record ---- */

static plumb_status start_meta(run *r)
{
    char text[17] = "";
    const char *folder = r->v->model.items[0];
    PLUMB_TRY(plumb_meta_new(r->cli->usage, r->cli->options, &r->meta));
    PLUMB_TRY(plumb_cli_record_compute(r->meta, r->compute));
    PLUMB_TRY(plumb_meta_weights(r->meta, "model", folder));
    PLUMB_TRY(plumb_meta_text_hash(folder, r->v->chat_template, text));
    PLUMB_TRY(plumb_meta_file(r->meta, "tokenizer", folder, text));
    if (r->adapter) PLUMB_TRY(plumb_meta_weights(r->meta, "adapter", r->v->adapter));
    return plumb_meta_input(r->meta, "data", r->v->prompts.items[0], -1, 0);
}

static plumb_status finish_meta(run *r)
{
    uint64_t hash;
    int64_t rows = plumb_prompt_reader_rows(r->reader, &hash, NULL);
    PLUMB_TRY(plumb_meta_input(r->meta, "data", r->v->prompts.items[0], rows, hash));
    return plumb_meta_count(r->meta, "completions", r->written);
}

/* ---- what is told ---- */

static void say_plain_strings(run *r)
{
    int64_t plain;
    plumb_prompt_reader_rows(r->reader, NULL, &plain);
    if (plain && r->encoder->chat)
        plumb_note(&r->cli->sink,
                   "%" PRId64 " prompt%s taken as plain text, though the model has a chat template; --as_message makes "
                   "user messages of string prompts",
                   plain, plain == 1 ? " was" : "s were");
}

static void say_summary(run *r)
{
    int64_t prompt, generated;
    double seconds = plumb_clock_seconds() - r->began;
    plumb_generator_tokens(r->generator, &prompt, &generated);
    plumb_cli_say(r->cli,
                  "%" PRId64 " completion%s%s: %" PRId64 " ended (eos), %" PRId64 " at a stop text, %" PRId64
                  " cut at the length",
                  r->written, r->written == 1 ? "" : "s", r->resumed ? " in all; of those since" : "",
                  r->finished[PLUMB_FINISH_EOS], r->finished[PLUMB_FINISH_STOP], r->finished[PLUMB_FINISH_LENGTH]);
    plumb_cli_say(r->cli, "%" PRId64 " tokens read, %" PRId64 " generated, %.3g a second", prompt, generated,
                  seconds > 0 ? (double)generated / seconds : 0.0);
    if (r->full)
        plumb_cli_say(r->cli,
                      "plumb: warning: %" PRId64 " completion%s empty, as the prompt fills the model's %d positions",
                      r->full, r->full == 1 ? " is" : "s are", r->config.max_positions);
    if (r->ties)
        plumb_cli_say(r->cli,
                      "near ties: in %" PRId64 " completion%s the two largest logits came within 1e-4, where another "
                      "machine may choose the other token; the first is row %" PRId64 ", sample %d, new token %d",
                      r->ties, r->ties == 1 ? "" : "s", r->tie_index, r->tie_sample, r->tie_at);
    if (r->passed_over.count)
        plumb_cli_say(r->cli, "%" PRId64 " bad row%s left out", r->passed_over.count,
                      r->passed_over.count == 1 ? "" : "s");
    say_plain_strings(r);
}

static plumb_status say_plan(run *r)
{
    char time[64], bytes[64], parameters[64];
    double tokens = (double)r->usable * (double)r->v->n * (double)r->v->max_new_tokens;
    int threads = plumb_compute_threads(r->compute);
    int64_t rows = plumb_prompt_reader_rows(r->reader, NULL, NULL), weights = plumb_config_parameters(&r->config);
    /* few rows at a time: the weights are read more often than in scoring */
    PLUMB_TRY(plumb_work_time(r->compute, 1.6 * 2.0 * (double)weights * (tokens + (double)r->prompt_tokens), time,
                              sizeof time));
    plumb_format_bytes((double)plumb_generator_bytes(&r->config, &r->how, (int)r->longest), bytes, sizeof bytes);
    plumb_format_count((double)weights, parameters, sizeof parameters);
    plumb_cli_tell(r->cli, "model: %s, %s, %s parameters%s%s", r->v->model.items[0], r->config.architecture->class_name,
                   parameters, r->adapter ? ", adapter " : "", r->adapter ? r->v->adapter : "");
    plumb_cli_tell(r->cli, "prompts: %s, %" PRId64 " row%s, the longest %" PRId64 " tokens of the model's %d",
                   r->v->prompts.items[0], rows, rows == 1 ? "" : "s", r->longest, r->config.max_positions);
    plumb_cli_tell(r->cli,
                   "work: %" PRId64 " completions of at most %" PRId64 " tokens, %d thread%s of %s, at most about %s",
                   r->usable * r->v->n, r->v->max_new_tokens, threads, threads == 1 ? "" : "s",
                   plumb_compute_isa(r->compute), time);
    plumb_cli_tell(r->cli, "memory: the mapped checkpoint and at most about %s", bytes);
    plumb_passed_over_list(&r->passed_over, r->cli);
    say_plain_strings(r);
    plumb_cli_say(r->cli, "dry run: nothing was written");
    return PLUMB_OK;
}

/* ---- the work ---- */

static plumb_status generate_into(run *r)
{
    PLUMB_TRY(start_meta(r));
    PLUMB_TRY(plumb_cli_open_output(r->cli, r->meta, &r->output, &r->resumed));
    r->began = plumb_clock_seconds();
    plumb_status s = plumb_settle_time(r->meta, r->output, r->resumed, &r->encoder->now);
    if (!s && r->resumed) s = pass_written(r);
    if (!s) s = run_prompts(r);
    if (!s) s = finish_meta(r);
    /* An earlier run's rows stay in any case; an empty file is nothing to go on with. */
    s = plumb_cli_close_output(r->cli, r->meta, r->output, r->resumed || r->written > 0, s);
    plumb_passed_over_list(&r->passed_over, r->cli);
    if (!s) say_summary(r);
    return s;
}

static plumb_status generate(plumb_cli *cli, void *values)
{
    const generate_values *v = values;
    run r = {.cli = cli, .v = v, .done_index = -1};
    r.end = &r.first;
    const char *inputs[] = {v->prompts.items[0], v->chat_template};
    plumb_status s = plumb_cli_check_output(cli, v->model.items[0], inputs, 2);
    if (!s) s = open_model(&r);
    if (!s) s = open_reader(&r);
    if (!s) s = new_generator(&r);
    if (!s && v->common.dry_run) s = run_prompts(&r);
    if (!s) s = v->common.dry_run ? say_plan(&r) : generate_into(&r);
    free_run(&r);
    return s;
}

int plumb_command_generate(int argc, char **argv)
{
    generate_values v = {0};
    return plumb_cli_run(&plumb_usage_generate, argc, argv, &v, &v.common, generate);
}
