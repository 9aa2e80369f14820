#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/json.h"
#include "io/output.h"
#include "text/tokenizer_internal.h"
#include "text/tokenizer_utf8.h"

/* --- post-processors --- */

static plumb_status read_template_token(plumb_tokenizer *t, const json_t *processor, const json_t *piece)
{
    const json_t *id = NULL, *tokens = NULL, *token = NULL, *ids = NULL;
    PLUMB_TRY(plumb_need(piece, "id", JSON_STRING, &id));
    PLUMB_TRY(plumb_need(processor, "special_tokens", JSON_OBJECT, &tokens));
    PLUMB_TRY(plumb_context(plumb_need(tokens, json_string_value(id), JSON_OBJECT, &token), "special_tokens"));
    PLUMB_TRY(plumb_context(plumb_need(token, "ids", JSON_ARRAY, &ids), "special_tokens"));
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *value = json_array_get(ids, i);
        if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) >= PLUMB_IDS_END)
            return plumb_fail(PLUMB_E_INPUT, "special_tokens: \"%.40s\" has an id that is not a number from 0 to %d",
                              json_string_value(id), PLUMB_IDS_END - 1);
        PLUMB_TRY(plumb_ids_push(&t->template, (int32_t)json_integer_value(value)));
    }
    return PLUMB_OK;
}

static plumb_status read_template_piece(plumb_tokenizer *t, const json_t *processor, const json_t *json)
{
    const json_t *piece = NULL, *id = NULL;
    if (json_object_get(json, "SpecialToken")) {
        PLUMB_TRY(plumb_need(json, "SpecialToken", JSON_OBJECT, &piece));
        return read_template_token(t, processor, piece);
    }
    PLUMB_TRY(plumb_need(json, "Sequence", JSON_OBJECT, &piece));
    PLUMB_TRY(plumb_need(piece, "id", JSON_STRING, &id));
    if (strcmp(json_string_value(id), "A") != 0)
        return plumb_fail(PLUMB_E_INPUT, "the sequence \"%.40s\" where there is only \"A\"", json_string_value(id));
    return plumb_ids_push(&t->template, PLUMB_TEMPLATE_TEXT);
}

static plumb_status read_template(plumb_tokenizer *t, const json_t *processor)
{
    const json_t *single = NULL;
    if (t->has_template) return plumb_fail(PLUMB_E_INPUT, "a second TemplateProcessing, which is not built");
    PLUMB_TRY(plumb_need(processor, "single", JSON_ARRAY, &single));
    for (size_t i = 0; i < json_array_size(single); i++)
        PLUMB_TRY(plumb_context(read_template_piece(t, processor, json_array_get(single, i)), "single[%zu]", i));
    t->has_template = true;
    return PLUMB_OK;
}

/* ByteLevel moves offsets only, so ids pass it unchanged. */
static plumb_status read_processor(plumb_tokenizer *t, const json_t *json, bool nested)
{
    if (!json || json_is_null(json)) return PLUMB_OK;
    if (!json_is_object(json)) return plumb_fail(PLUMB_E_INPUT, "it is %s; expected an object", plumb_json_kind(json));
    const json_t *type = NULL, *list = NULL;
    PLUMB_TRY(plumb_need(json, "type", JSON_STRING, &type));
    const char *name = json_string_value(type);
    if (strcmp(name, "ByteLevel") == 0) return PLUMB_OK;
    if (strcmp(name, "TemplateProcessing") == 0) return plumb_context(read_template(t, json), "%s", name);
    if (strcmp(name, "Sequence") != 0 || nested)
        return plumb_fail(PLUMB_E_INPUT,
                          "the type \"%.40s\" is not built%s; there are TemplateProcessing, ByteLevel and Sequence",
                          name, nested ? " within a Sequence" : "");
    PLUMB_TRY(plumb_need(json, "processors", JSON_ARRAY, &list));
    for (size_t i = 0; i < json_array_size(list); i++)
        PLUMB_TRY(plumb_context(read_processor(t, json_array_get(list, i), true), "processors[%zu]", i));
    return PLUMB_OK;
}

/* --- opening --- */

static plumb_status check_version(const json_t *root)
{
    const json_t *version = json_object_get(root, "version");
    if (!version || (json_is_string(version) && strcmp(json_string_value(version), "1.0") == 0)) return PLUMB_OK;
    if (!json_is_string(version)) return plumb_need(root, "version", JSON_STRING, &version);
    return plumb_fail(PLUMB_E_INPUT, "\"version\" is \"%.40s\"; only 1.0 is known", json_string_value(version));
}

/* "truncation" and "padding" are not read: transformers sets them anew for every call, from its own arguments. */
static plumb_status read_tokenizer(plumb_tokenizer *t, const json_t *root)
{
    if (!json_is_object(root))
        return plumb_fail(PLUMB_E_INPUT, "it holds %s; expected an object", plumb_json_kind(root));
    const json_t *model = NULL;
    PLUMB_TRY(check_version(root));
    PLUMB_TRY(plumb_need(root, "model", JSON_OBJECT, &model));
    PLUMB_TRY(plumb_context(plumb_bpe_read(t, model), "model"));
    PLUMB_TRY(plumb_steps_read(root, &plumb_normalizers, &t->normalizers));
    PLUMB_TRY(plumb_steps_read(root, &plumb_pre_tokenizers, &t->pre_tokenizers));
    PLUMB_TRY(plumb_steps_read(root, &plumb_decoders, &t->decoders));
    PLUMB_TRY(plumb_context(read_processor(t, json_object_get(root, "post_processor"), false), "post_processor"));
    PLUMB_TRY(plumb_added_read(t, root));
    const json_t *decoder = json_object_get(root, "decoder");
    t->has_decoder = decoder && !json_is_null(decoder);
    t->size = t->vocabulary.size;
    if (t->added.count && t->added.tokens[t->added.count - 1].id >= t->size)
        t->size = t->added.tokens[t->added.count - 1].id + 1;
    return PLUMB_OK;
}

/* The file itself, or the one in a checkpoint's folder. */
plumb_status plumb_tokenizer_file(const char *path, plumb_text *file)
{
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) return plumb_text_string(file, path);
    PLUMB_TRY(plumb_path_join(file, path, "tokenizer.json"));
    if (plumb_path_exists(file->data)) return PLUMB_OK;
    plumb_text_clear(file);
    PLUMB_TRY(plumb_path_join(file, path, "tokenizer.model"));
    if (!plumb_path_exists(file->data))
        return plumb_fail(PLUMB_E_INPUT, "%s: there is no tokenizer.json in this folder", path);
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: there is a tokenizer.model, but no tokenizer.json", path),
                      "convert it once in Python: from transformers import AutoTokenizer; "
                      "AutoTokenizer.from_pretrained(\"%s\").save_pretrained(\"%s\")",
                      path, path);
}

plumb_status plumb_tokenizer_open(const char *path, plumb_tokenizer **out)
{
    plumb_text file = {0};
    plumb_tokenizer *t = NULL;
    json_t *root = NULL;
    plumb_status s = PLUMB_OK;
    PLUMB_GO(plumb_tokenizer_file(path, &file));
    PLUMB_GO(plumb_json_load(file.data, PLUMB_TOKENIZER_BYTES, &root));
    PLUMB_GO(plumb_new(&t, 1, sizeof *t));
    PLUMB_GO(plumb_context(read_tokenizer(t, root), "%s", file.data));
    *out = t;
    t = NULL;
done:
    json_decref(root);
    plumb_tokenizer_free(t);
    plumb_text_free(&file);
    return s;
}

void plumb_tokenizer_free(plumb_tokenizer *t)
{
    if (!t) return;
    plumb_vocabulary_free(&t->vocabulary);
    plumb_bpe_free(&t->bpe);
    plumb_steps_free(&t->normalizers);
    plumb_steps_free(&t->pre_tokenizers);
    plumb_steps_free(&t->decoders);
    plumb_added_free(&t->added);
    plumb_ids_free(&t->template);
    free(t);
}

/* --- encoding --- */

/* Gives both texts memory, so that there is a pointer to add offsets to even when nothing is in them. */
static plumb_status begin_work(plumb_work *work)
{
    PLUMB_TRY(plumb_text_append(&work->now.text, "", 0));
    return plumb_text_append(&work->next.text, "", 0);
}

static void free_pieces(plumb_pieces *pieces)
{
    plumb_text_free(&pieces->text);
    free(pieces->data);
}

void plumb_work_free(plumb_work *work)
{
    free_pieces(&work->now);
    free_pieces(&work->next);
    free_pieces(&work->raw);
    free_pieces(&work->cuts);
    plumb_text_free(&work->normal[0]);
    plumb_text_free(&work->normal[1]);
    free(work->spans.data);
    free(work->joined.data);
    plumb_matching_free(&work->matching);
    plumb_bpe_work_free(&work->bpe);
}

static plumb_status encode_pieces(const plumb_tokenizer *t, plumb_work *work, plumb_ids *out)
{
    for (size_t i = 0; i < work->now.count; i++) {
        plumb_piece piece = work->now.data[i];
        const char *word = work->now.text.data + piece.begin;
        PLUMB_TRY(piece.id >= 0 ? plumb_ids_push(out, piece.id)
                                : plumb_bpe_encode(t, &work->bpe, word, piece.end - piece.begin, out));
    }
    return PLUMB_OK;
}

static plumb_status encode_text(const plumb_tokenizer *t, plumb_work *work, const char *text, size_t n, plumb_ids *out)
{
    PLUMB_TRY(begin_work(work));
    PLUMB_TRY(plumb_added_extract(t, work, text, n));
    for (size_t i = 0; i < t->pre_tokenizers.count; i++)
        PLUMB_TRY(t->pre_tokenizers.data[i].run.split(&t->pre_tokenizers.data[i], work));
    return encode_pieces(t, work, out);
}

/* A template may have the text anywhere, even twice or not at all; without special tokens only the text is left of it.
 */
static plumb_status encode_template(const plumb_tokenizer *t, plumb_work *work, const char *text, size_t n,
                                    bool add_special, plumb_ids *out)
{
    for (size_t i = 0; i < t->template.count; i++) {
        int32_t id = t->template.data[i];
        plumb_status s = PLUMB_OK;
        if (id == PLUMB_TEMPLATE_TEXT)
            s = encode_text(t, work, text, n, out);
        else if (add_special)
            s = plumb_ids_push(out, id);
        PLUMB_TRY(s);
    }
    return PLUMB_OK;
}

plumb_status plumb_tokenizer_encode(const plumb_tokenizer *t, const char *text, size_t n, bool add_special,
                                    plumb_ids *out)
{
    size_t bad = plumb_utf8_invalid(text, n);
    if (bad < n) return plumb_fail(PLUMB_E_INPUT, "the text is not UTF-8 at byte %zu", bad);
    plumb_work work = {0};
    size_t before = out->count;
    plumb_status s =
        t->has_template ? encode_template(t, &work, text, n, add_special, out) : encode_text(t, &work, text, n, out);
    if (s) out->count = before;
    plumb_work_free(&work);
    return s;
}

/* --- decoding --- */

/* What decoding starts from: an added token in its normal form, as it went through the pipeline. NULL: nothing. */
static const char *token_to_decode(const plumb_tokenizer *t, int32_t id, bool skip_special, size_t *n)
{
    const plumb_added_token *added = plumb_added_find_id(&t->added, id);
    if (!added) return plumb_vocabulary_token(&t->vocabulary, id, n);
    if (skip_special && added->skipped) return NULL;
    *n = added->normal ? added->normal_size : added->size;
    return added->normal ? added->normal : added->content;
}

static plumb_status decode(const plumb_tokenizer *t, plumb_work *work, const int32_t *ids, size_t n, bool skip_special,
                           plumb_text *out)
{
    plumb_text *text = &work->now.text;
    PLUMB_TRY(begin_work(work));
    for (size_t i = 0; i < n; i++) {
        size_t size = 0, begin = text->size;
        const char *token = token_to_decode(t, ids[i], skip_special, &size);
        if (!token) continue;
        /* Without a decoder the tokens stand side by side with spaces between. */
        if (!t->has_decoder && work->now.count) PLUMB_TRY(plumb_text_append(text, " ", 1));
        PLUMB_TRY(plumb_text_append(text, token, size));
        PLUMB_TRY(plumb_push_piece(&work->now, (plumb_piece){begin, text->size, 0, 0}));
    }
    for (size_t i = 0; i < t->decoders.count; i++)
        PLUMB_TRY(t->decoders.data[i].run.decode(&t->decoders.data[i], work));
    return plumb_text_append(out, work->now.text.data, work->now.text.size);
}

plumb_status plumb_tokenizer_decode(const plumb_tokenizer *t, const int32_t *ids, size_t n, bool skip_special,
                                    plumb_text *out)
{
    plumb_work work = {0};
    plumb_status s = decode(t, &work, ids, n, skip_special, out);
    plumb_work_free(&work);
    return s;
}

/* --- single tokens --- */

int32_t plumb_tokenizer_id(const plumb_tokenizer *t, const char *token, size_t n)
{
    int32_t id = plumb_vocabulary_find(&t->vocabulary, token, n);
    return id >= 0 ? id : plumb_added_find(&t->added, token, n);
}

const char *plumb_tokenizer_token(const plumb_tokenizer *t, int32_t id, size_t *n)
{
    const plumb_added_token *added = plumb_added_find_id(&t->added, id);
    if (!added) return plumb_vocabulary_token(&t->vocabulary, id, n);
    *n = added->size;
    return added->content;
}

bool plumb_tokenizer_is_special(const plumb_tokenizer *t, int32_t id)
{
    const plumb_added_token *added = plumb_added_find_id(&t->added, id);
    return added && added->special;
}

int32_t plumb_tokenizer_size(const plumb_tokenizer *t)
{
    return t->size;
}
