/* plumb tokenize: texts to token ids and back. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/progress.h"
#include "base/row_hash.h"
#include "cli/cli.h"
#include "cli/meta.h"
#include "io/json.h"
#include "io/open_file.h"
#include "io/rows.h"
#include "text/encoder.h"

typedef struct tokenize_values {
    plumb_common common;
    plumb_list file;
    const char *tokenizer, *chat_template;
    bool jsonl, no_special, generation_prompt;
} tokenize_values;

static const plumb_option options[] = {
    {.name = "tokenizer",
     .kind = PLUMB_OPTION_STRING,
     .offset = offsetof(tokenize_values, tokenizer),
     .metavar = "FILE|MODEL",
     .help =
         "a tokenizer.json, or a checkpoint folder, which conversations need for its chat template and special tokens"},
    {.name = "jsonl",
     .kind = PLUMB_OPTION_FLAG,
     .offset = offsetof(tokenize_values, jsonl),
     .help = "read and write JSON rows: text, ids or messages"},
    {.name = "no-special",
     .kind = PLUMB_OPTION_FLAG,
     .offset = offsetof(tokenize_values, no_special),
     .help =
         "add no special tokens (BOS and the like) to the ids of a text, and leave special tokens out of the text of "
         "ids. Conversations stay as the template renders them"},
    PLUMB_OPTION_CHAT_TEMPLATE(tokenize_values),
    {.name = "add_generation_prompt",
     .kind = PLUMB_OPTION_FLAG,
     .offset = offsetof(tokenize_values, generation_prompt),
     .help = "end each conversation with the beginning of the assistant's next turn"},
    PLUMB_OPTION_OUTPUT(tokenize_values),
    PLUMB_OPTION_LIMIT(tokenize_values),
    {.name = "range",
     .kind = PLUMB_OPTION_RANGE,
     .offset = offsetof(tokenize_values, common.range),
     .metavar = "A:B",
     .help =
         "only rows A to B - 1 of the file, counted from 0; A: and :B work too. Blank lines count in plain text, and "
         "do not with --jsonl"},
    PLUMB_OPTION_ON_ERROR(tokenize_values),
    PLUMB_OPTION_QUIET(tokenize_values),
};

static const plumb_positional positionals[] = {
    {"FILE", "plain text, or JSONL with --jsonl (plain or .gz); without it, or -: stdin", 0, 1,
     offsetof(tokenize_values, file)},
};

const plumb_usage plumb_usage_tokenize = {
    .name = "tokenize",
    .summary = "turn texts and conversations into token ids, and ids into text",
    .description =
        "Every row of the input gives one row of the output, in the same order.\n\n"
        "Plain text: each line is one text, an empty line too. Its row is the ids, a tab and the tokens, both "
        "separated by "
        "spaces, so that cut -f1 gives the ids alone. Tokens are spelled as in the vocabulary, with control "
        "characters, "
        "quotes and backslashes written as in JSON.\n\n"
        "With --jsonl each row holds one of these (other keys are ignored) and gives:\n"
        "  {\"text\": \"...\"}       {\"ids\": [...], \"tokens\": [...]}\n"
        "  {\"ids\": [...]}        {\"text\": \"...\"}\n"
        "  {\"messages\": [...]}   {\"text\": \"...\", \"ids\": [...]}  (rendered by the chat template)\n\n"
        "A text gets the special tokens that its tokenizer adds (BOS). A rendered conversation gets none, since the "
        "template "
        "writes them. With --on_error skip a bad row gives {\"skipped\": \"bad_row\"}, or an empty line in plain text.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = sizeof positionals / sizeof *positionals,
    .example = "  echo 'Hello, world' | plumb tokenize --tokenizer OLMo-1B-hf\n"
               "  plumb tokenize --tokenizer gemma-2b-it --jsonl chats.jsonl -o tokens.jsonl",
};

/* ---- lines of plain text ---- */

/* Lines as they stand: unlike the rows of a data file blank ones count, and nothing is taken for another format. */
typedef struct lines {
    const char *name;
    int fd;
    int64_t size, end, index; /* size of the file, -1: unknown; rows before `end` are wanted, < 0: all */
    char *buffer;
    size_t capacity, first, last;
    int64_t bytes_read;
} lines;

enum { CHUNK = 1 << 16, LONGEST_LINE = 256 << 20 };

static plumb_status open_lines(const char *path, int64_t end, lines *l)
{
    struct stat about;
    bool is_stdin = strcmp(path, "-") == 0;
    *l = (lines){.name = plumb_input_name(path), .fd = STDIN_FILENO, .size = -1, .end = end};
    if (!is_stdin) return plumb_open_file(path, &l->fd, &l->size);
    if (!fstat(l->fd, &about) && S_ISREG(about.st_mode)) l->size = about.st_size;
    return PLUMB_OK;
}

static void close_lines(lines *l)
{
    if (l->fd > STDIN_FILENO) close(l->fd);
    free(l->buffer);
}

/* More bytes behind buffer[first..last); none at the end of the file. */
static plumb_status fill_lines(lines *l, size_t *got)
{
    if (l->first) memmove(l->buffer, l->buffer + l->first, l->last - l->first);
    l->last -= l->first;
    l->first = 0;
    if (l->last > LONGEST_LINE)
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "%s:%" PRId64 ": the line is longer than 256 MiB", l->name, l->index + 1),
            "cut the text into lines");
    PLUMB_TRY(plumb_reserve(&l->buffer, &l->capacity, l->last + CHUNK + 1, 1));
    ssize_t n = read(l->fd, l->buffer + l->last, l->capacity - l->last - 1);
    if (n < 0 && errno == EINTR) return plumb_fail(PLUMB_E_INTERRUPTED, "interrupted");
    if (n < 0)
        return plumb_fail(PLUMB_E_IO, "%s:%" PRId64 ": reading failed: %s", l->name, l->index + 1, strerror(errno));
    l->last += (size_t)n;
    l->bytes_read += n;
    *got = (size_t)n;
    if (l->bytes_read == n && n > 1 && memcmp(l->buffer, "\x1F\x8B", 2) == 0)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: is compressed; expected plain text", l->name),
                          "decompress it into a pipe: gzip -dc FILE | plumb tokenize ...");
    return PLUMB_OK;
}

static plumb_status next_line(lines *l, plumb_row *row, bool *found)
{
    char *newline = NULL;
    size_t seen = 0, got = 1;
    *found = false;
    if (l->end >= 0 && l->index >= l->end) return PLUMB_OK;
    for (;;) {
        size_t held = l->last - l->first;
        newline = held > seen ? memchr(l->buffer + l->first + seen, '\n', held - seen) : NULL;
        if (newline || !got) break;
        seen = held;
        PLUMB_TRY(fill_lines(l, &got));
    }
    const char *line = l->buffer + l->first;
    size_t size = newline ? (size_t)(newline - line) : l->last - l->first;
    if (!newline && !size) return PLUMB_OK;
    l->first += size + (newline ? 1 : 0);
    if (newline && size && newline[-1] == '\r') size--;
    *row = (plumb_row){
        .index = l->index, .line = l->index + 1, .bytes = line, .size = size, .hash = XXH3_64bits(line, size)};
    l->index++;
    *found = true;
    return PLUMB_OK;
}

/* ---- the run ---- */

typedef struct run {
    plumb_cli *cli;
    const tokenize_values *v;
    const char *path;
    int64_t begin, end;
    bool is_live;                     /* stdin: each row is answered before the next one is waited for */
    const plumb_tokenizer *tokenizer; /* of the encoder, or alone */
    plumb_encoder *encoder;           /* --tokenizer is a checkpoint folder */
    plumb_tokenizer *alone;           /* --tokenizer is a file */
    plumb_rows *rows;                 /* --jsonl */
    lines text;                       /* plain text */
    plumb_output *output;
    json_t *meta;
    plumb_ids ids;
    plumb_text decoded, line;
    int64_t given, skipped, tokens;
    uint64_t hash;
} run;

static void free_run(run *r)
{
    plumb_encoder_close(r->encoder);
    plumb_tokenizer_free(r->alone);
    plumb_rows_close(r->rows);
    close_lines(&r->text);
    plumb_ids_free(&r->ids);
    plumb_text_free(&r->decoded);
    plumb_text_free(&r->line);
    json_decref(r->meta);
}

/* eos_token_id of config.json, for folders in which no tokenizer file names the EOS token; the model itself need not be
 * one that plumb can run. */
static plumb_status read_eos(const char *folder, int64_t *out)
{
    plumb_text path = {0};
    json_t *config = NULL;
    *out = -1;
    plumb_status s = plumb_path_join(&path, folder, "config.json");
    if (!s && plumb_path_exists(path.data)) s = plumb_json_load(path.data, 1 << 24, &config);
    const json_t *id = json_object_get(config, "eos_token_id");
    if (json_is_array(id)) id = json_array_get(id, 0);
    if (json_is_integer(id)) *out = json_integer_value(id);
    json_decref(config);
    plumb_text_free(&path);
    return s;
}

static plumb_status open_tokenizer(run *r)
{
    const char *path = r->v->tokenizer;
    struct stat about;
    int64_t eos_id;
    if (!path)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--tokenizer is missing: which tokenizer shall it be?"),
                          "give a tokenizer.json or a checkpoint folder: plumb tokenize --tokenizer MODEL");
    if (stat(path, &about) == 0 && S_ISDIR(about.st_mode)) {
        PLUMB_TRY(read_eos(path, &eos_id));
        PLUMB_TRY(plumb_encoder_open(path, r->v->chat_template, eos_id, &r->encoder));
        r->tokenizer = r->encoder->tokenizer;
        return PLUMB_OK;
    }
    if (r->v->chat_template)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--chat_template: %s is not a checkpoint folder", path),
                          "templates use the checkpoint's BOS and EOS; give its folder with --tokenizer");
    PLUMB_TRY(plumb_tokenizer_open(path, &r->alone));
    r->tokenizer = r->alone;
    return PLUMB_OK;
}

/* ---- one row ---- */

static plumb_status write_ids(run *r, const char *separator)
{
    for (size_t i = 0; i < r->ids.count; i++)
        PLUMB_TRY(plumb_text_printf(&r->line, "%s%" PRId32, i ? separator : "", r->ids.data[i]));
    r->tokens += (int64_t)r->ids.count;
    return PLUMB_OK;
}

static plumb_status write_token(run *r, int32_t id)
{
    size_t n = 0;
    const char *token = plumb_tokenizer_token(r->tokenizer, id, &n);
    return plumb_json_quote(&r->line, token ? token : "", n);
}

/* {"text"} -> {"ids", "tokens"} */
static plumb_status text_row(run *r, const json_t *text)
{
    if (!json_is_string(text))
        return plumb_fail(PLUMB_E_INPUT, "\"text\" is %s; expected a string", plumb_json_kind(text));
    PLUMB_TRY(plumb_tokenizer_encode(r->tokenizer, json_string_value(text), json_string_length(text), !r->v->no_special,
                                     &r->ids));
    PLUMB_TRY(plumb_text_string(&r->line, "{\"ids\": ["));
    PLUMB_TRY(write_ids(r, ", "));
    PLUMB_TRY(plumb_text_string(&r->line, "], \"tokens\": ["));
    for (size_t i = 0; i < r->ids.count; i++) {
        if (i) PLUMB_TRY(plumb_text_string(&r->line, ", "));
        PLUMB_TRY(write_token(r, r->ids.data[i]));
    }
    return plumb_text_string(&r->line, "]}\n");
}

/* {"ids"} -> {"text"} */
static plumb_status ids_row(run *r, const json_t *list)
{
    if (!json_is_array(list))
        return plumb_fail(PLUMB_E_INPUT, "\"ids\" is %s; expected a list of numbers", plumb_json_kind(list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *id = json_array_get(list, i);
        if (!json_is_integer(id))
            return plumb_fail(PLUMB_E_INPUT, "\"ids\"[%zu] is %s; expected a token id", i, plumb_json_kind(id));
        if (json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
            return plumb_fail(PLUMB_E_INPUT,
                              "\"ids\"[%zu] is %" JSON_INTEGER_FORMAT "; token ids run from 0 to %" PRId32, i,
                              json_integer_value(id), plumb_tokenizer_size(r->tokenizer) - 1);
        PLUMB_TRY(plumb_ids_push(&r->ids, (int32_t)json_integer_value(id)));
    }
    r->tokens += (int64_t)r->ids.count;
    PLUMB_TRY(plumb_tokenizer_decode(r->tokenizer, r->ids.data, r->ids.count, r->v->no_special, &r->decoded));
    PLUMB_TRY(plumb_text_string(&r->line, "{\"text\": "));
    PLUMB_TRY(plumb_json_quote(&r->line, r->decoded.data ? r->decoded.data : "", r->decoded.size));
    return plumb_text_string(&r->line, "}\n");
}

/* {"messages"} -> {"text", "ids"} */
static plumb_status messages_row(run *r, const json_t *messages)
{
    if (!json_is_array(messages) || !json_array_size(messages))
        return plumb_fail(PLUMB_E_INPUT, "\"messages\" is %s; expected a list of messages",
                          json_is_array(messages) ? "empty" : plumb_json_kind(messages));
    if (!r->encoder)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT,
                                     "the row is a conversation, and %s is no checkpoint folder with a chat "
                                     "template",
                                     r->v->tokenizer),
                          "give the checkpoint's folder with --tokenizer");
    PLUMB_TRY(plumb_encoder_render(r->encoder, messages, r->v->generation_prompt, &r->decoded));
    const char *text = r->decoded.data ? r->decoded.data : "";
    PLUMB_TRY(plumb_tokenizer_encode(r->tokenizer, text, r->decoded.size, false, &r->ids));
    PLUMB_TRY(plumb_text_string(&r->line, "{\"text\": "));
    PLUMB_TRY(plumb_json_quote(&r->line, text, r->decoded.size));
    PLUMB_TRY(plumb_text_string(&r->line, ", \"ids\": ["));
    PLUMB_TRY(write_ids(r, ", "));
    return plumb_text_string(&r->line, "]}\n");
}

static plumb_status json_row(run *r, const plumb_row *row)
{
    static const struct {
        const char *key;
        plumb_status (*answer)(run *r, const json_t *value);
    } forms[] = {{"text", text_row}, {"ids", ids_row}, {"messages", messages_row}};
    enum { FORMS = sizeof forms / sizeof *forms };
    json_t *json = NULL;
    int form = -1;
    PLUMB_TRY(plumb_json_parse(row->bytes, row->size, false, NULL, &json));
    plumb_status s = PLUMB_OK;
    if (!json_is_object(json))
        s = plumb_fail(PLUMB_E_INPUT, "the row is %s; expected an object", plumb_json_kind(json));
    for (int i = 0; i < FORMS && !s; i++) {
        const json_t *value = json_object_get(json, forms[i].key);
        if (!value || json_is_null(value)) continue; /* tables with several kinds of rows have null columns */
        if (form >= 0)
            s = plumb_fail(PLUMB_E_INPUT, "the row has \"%s\" and \"%s\"; expected one of them", forms[form].key,
                           forms[i].key);
        form = i;
    }
    if (!s && form < 0)
        s = plumb_cure(plumb_fail(PLUMB_E_INPUT, "the row has none of \"text\", \"ids\" and \"messages\""),
                       "preference pairs are shown as tokens by plumb score --write-out");
    if (!s) s = forms[form].answer(r, json_object_get(json, forms[form].key));
    json_decref(json);
    return s;
}

/* A line of text: ids, tab, tokens. */
static plumb_status plain_row(run *r, const plumb_row *row)
{
    PLUMB_TRY(plumb_tokenizer_encode(r->tokenizer, row->bytes, row->size, !r->v->no_special, &r->ids));
    PLUMB_TRY(write_ids(r, " "));
    for (size_t i = 0; i < r->ids.count; i++) {
        PLUMB_TRY(plumb_text_string(&r->line, i ? " " : "\t"));
        size_t quote = r->line.size;
        PLUMB_TRY(write_token(r, r->ids.data[i]));
        memmove(r->line.data + quote, r->line.data + quote + 1, r->line.size - quote - 2);
        r->line.size -= 2;
    }
    return plumb_text_string(&r->line, "\n");
}

/* What a row gives into r->line; a bad one is an error with its place, or with --on_error skip a row that says so. */
static plumb_status answer(run *r, const plumb_row *row)
{
    int64_t tokens = r->tokens;
    r->ids.count = 0;
    plumb_text_clear(&r->decoded);
    plumb_text_clear(&r->line);
    plumb_status s = r->v->jsonl ? json_row(r, row) : plain_row(r, row);
    if (!s) return PLUMB_OK;
    s = plumb_context(s, "%s:%" PRId64, r->v->jsonl ? plumb_rows_name(r->rows) : r->text.name, row->line);
    if (r->v->common.on_error != PLUMB_ON_ERROR_SKIP || plumb_status_code(s) != PLUMB_E_INPUT) return s;
    plumb_note(&r->cli->sink, "passed over: %s", plumb_status_message(s));
    plumb_status_free(s);
    r->skipped++;
    r->tokens = tokens;
    plumb_text_clear(&r->line);
    return plumb_text_string(&r->line, r->v->jsonl ? "{\"skipped\": \"bad_row\"}\n" : "\n");
}

/* ---- all rows ---- */

static plumb_status next_row(run *r, plumb_row *row, bool *found)
{
    if (r->v->jsonl) return plumb_rows_next(r->rows, row, found);
    do {
        PLUMB_TRY(next_line(&r->text, row, found));
    } while (*found && row->index < r->begin);
    return PLUMB_OK;
}

static void show_progress(const run *r)
{
    int64_t consumed = r->text.bytes_read - (int64_t)(r->text.last - r->text.first), size = r->text.size;
    if (r->v->jsonl) plumb_rows_position(r->rows, &consumed, &size);
    plumb_progress(&r->cli->sink, "bytes", (double)consumed, (double)size);
}

static plumb_status tokenize_rows(run *r)
{
    plumb_row row;
    bool found;
    for (;;) {
        PLUMB_TRY(plumb_check_interrupt(&r->cli->sink));
        PLUMB_TRY(next_row(r, &row, &found));
        if (!found) break;
        PLUMB_TRY(answer(r, &row));
        PLUMB_TRY(plumb_output_write(r->output, r->line.data, r->line.size));
        if (r->is_live) PLUMB_TRY(plumb_output_flush(r->output));
        r->given++;
        r->hash = plumb_add_row_hash(r->hash, row.hash);
        if (!r->is_live) show_progress(r);
    }
    if (r->given) return PLUMB_OK;
    return plumb_fail(PLUMB_E_INPUT, "%s: there are no rows %s", plumb_input_name(r->path),
                      plumb_options_given(r->cli->options, "range") ? "in this range" : "in it");
}

static plumb_status start_meta(run *r)
{
    PLUMB_TRY(plumb_meta_new(r->cli->usage, r->cli->options, &r->meta));
    return plumb_meta_input(r->meta, "data", r->path, -1, 0);
}

static plumb_status finish_meta(run *r)
{
    PLUMB_TRY(plumb_meta_input(r->meta, "data", r->path, r->given, r->hash));
    PLUMB_TRY(plumb_meta_count(r->meta, "rows", r->given));
    PLUMB_TRY(plumb_meta_count(r->meta, "bad_row", r->skipped));
    return plumb_meta_count(r->meta, "tokens", r->tokens);
}

static plumb_status tokenize_into(run *r)
{
    bool resumed;
    PLUMB_TRY(start_meta(r));
    PLUMB_TRY(plumb_cli_open_output(r->cli, r->meta, &r->output, &resumed));
    plumb_status s = tokenize_rows(r);
    if (!s) s = finish_meta(r);
    bool is_file = plumb_output_is_file(r->output);
    s = plumb_cli_close_output(r->cli, r->meta, r->output, false, s);
    if (s || !(is_file || r->skipped)) return s; /* beside rows on a terminal a summary is noise */
    char rows[32], tokens[32];
    plumb_format_count((double)r->given, rows, sizeof rows);
    plumb_format_count((double)r->tokens, tokens, sizeof tokens);
    plumb_cli_say(r->cli, "%s row%s, %s token%s", rows, r->given == 1 ? "" : "s", tokens, r->tokens == 1 ? "" : "s");
    if (r->skipped) plumb_cli_say(r->cli, "%" PRId64 " bad row%s passed over", r->skipped, r->skipped == 1 ? "" : "s");
    return PLUMB_OK;
}

static plumb_status tokenize(plumb_cli *cli, void *values)
{
    const tokenize_values *v = values;
    run r = {.cli = cli, .v = v, .path = v->file.count ? v->file.items[0] : "-"};
    plumb_cli_rows(&v->common, &r.begin, &r.end);
    r.is_live = strcmp(r.path, "-") == 0;
    const char *inputs[] = {r.path, v->tokenizer, v->chat_template};
    plumb_status s = plumb_cli_check_output(cli, v->tokenizer, inputs, 3);
    if (!s) s = open_tokenizer(&r);
    if (!s) s = v->jsonl ? plumb_rows_open(r.path, r.begin, r.end, &r.rows) : open_lines(r.path, r.end, &r.text);
    if (!s) s = tokenize_into(&r);
    free_run(&r);
    return s;
}

int plumb_command_tokenize(int argc, char **argv)
{
    tokenize_values v = {0};
    return plumb_cli_run(&plumb_usage_tokenize, argc, argv, &v, &v.common, tokenize);
}
