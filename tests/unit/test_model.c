/* Opening damaged checkpoints, the hash of a checkpoint, rotary tables, and the layout of batches. */
#include "support.h"

#include <math.h>

#include "align/scorer.h"
#include "io/safetensors.h"
#include "model/layer.h"
#include "model/rope.h"
#include "scratch.h"

/* ---- checkpoints to damage: a reference checkpoint in memory, written to the scratch folder ---- */

enum { MOST_TENSORS = 128 };

typedef struct checkpoint {
    json_t *config;
    size_t count;
    plumb_tensor_spec specs[MOST_TENSORS];
    char names[MOST_TENSORS][128];
    unsigned char *data[MOST_TENSORS];
    size_t bytes[MOST_TENSORS];
    const char *type[MOST_TENSORS]; /* what the file says instead of the true type; NULL: that one */
} checkpoint;

static checkpoint *load_checkpoint(const char *name)
{
    checkpoint *c = calloc(1, sizeof *c);
    char path[600];
    const char *folder = oracle_path("models", name);
    assert_non_null(folder);
    snprintf(path, sizeof path, "%s/config.json", folder);
    c->config = json_load_file(path, 0, NULL);
    plumb_tensors *set;
    check_ok(plumb_tensors_open(folder, &set));
    const plumb_tensor *list = plumb_tensors_list(set, &c->count);
    assert_in_range(c->count, 1, MOST_TENSORS);
    for (size_t i = 0; i < c->count; i++) {
        snprintf(c->names[i], sizeof c->names[i], "%s", list[i].name);
        c->specs[i] = (plumb_tensor_spec){c->names[i], list[i].dtype, list[i].dims, {0}};
        memcpy(c->specs[i].shape, list[i].shape, sizeof list[i].shape);
        c->bytes[i] = list[i].bytes;
        c->data[i] = malloc(list[i].bytes);
        memcpy(c->data[i], list[i].data, list[i].bytes);
    }
    plumb_tensors_close(set);
    return c;
}

static void free_checkpoint(checkpoint *c)
{
    for (size_t i = 0; i < c->count; i++) free(c->data[i]);
    json_decref(c->config);
    free(c);
}

static size_t tensor_number(const checkpoint *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->names[i], name) == 0) return i;
    fail_msg("no tensor %s", name);
    return 0;
}

/* Element i of a tensor becomes a NaN or an infinity. */
static void poison(checkpoint *c, size_t tensor, size_t i, bool infinite)
{
    static const unsigned char bytes[3][2][4] = {
        {{0, 0, 0xc0, 0x7f}, {0, 0, 0x80, 0xff}}, {{0x00, 0x7e}, {0x00, 0xfc}}, {{0xc0, 0x7f}, {0x80, 0xff}}};
    size_t size = plumb_dtype_size(c->specs[tensor].dtype);
    memcpy(c->data[tensor] + i * size, bytes[c->specs[tensor].dtype][infinite], size);
}

/* Writes the checkpoint without tensor number `without` (-1: all) and returns its folder. The file is laid out here and
 * not by plumb's writer, which knows weights alone and waits for the disk. */
static const char *write_checkpoint(const checkpoint *c, int without)
{
    static char folder[600];
    static const char *const stored[] = {"F32", "F16", "BF16"};
    char path[700], size[8];
    plumb_text header = {0};
    size_t end = 0;
    snprintf(folder, sizeof folder, "%s", scratch("checkpoint"));
    mkdir(folder, 0777);
    snprintf(path, sizeof path, "%s/config.json", folder);
    assert_int_equal(json_dump_file(c->config, path, 0), 0);
    for (size_t i = 0; i < c->count; i++) {
        const plumb_tensor_spec *spec = &c->specs[i];
        if ((int)i == without) continue;
        check_ok(plumb_text_printf(&header, "%c\"%s\":{\"dtype\":\"%s\",\"shape\":[", end ? ',' : '{', spec->name,
                                   c->type[i] ? c->type[i] : stored[spec->dtype]));
        for (int k = 0; k < spec->dims; k++)
            check_ok(plumb_text_printf(&header, "%s%lld", k ? "," : "", (long long)spec->shape[k]));
        check_ok(plumb_text_printf(&header, "],\"data_offsets\":[%zu,%zu]}", end, end + c->bytes[i]));
        end += c->bytes[i];
    }
    check_ok(plumb_text_string(&header, "}"));
    while (header.size % 8) check_ok(plumb_text_string(&header, " "));
    for (int k = 0; k < 8; k++) size[k] = (char)((uint64_t)header.size >> 8 * k);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(size, 1, 8, f), 8);
    assert_int_equal(fwrite(header.data, 1, header.size, f), header.size);
    for (size_t i = 0; i < c->count; i++)
        if ((int)i != without) assert_int_equal(fwrite(c->data[i], 1, c->bytes[i], f), c->bytes[i]);
    assert_int_equal(fclose(f), 0);
    plumb_text_free(&header);
    return folder;
}

static plumb_status try_open(const char *folder)
{
    plumb_compute *compute;
    plumb_model *m = NULL;
    check_ok(plumb_compute_open("ref", 1, &compute));
    plumb_status s = plumb_model_open(folder, compute, &m);
    assert_true(s ? m == NULL : m != NULL);
    plumb_model_close(m);
    plumb_compute_close(compute);
    return s;
}

static plumb_status ignore_score(void *user, const plumb_score *score)
{
    if (user) *(plumb_score *)user = *score;
    return PLUMB_OK;
}

static plumb_status try_measures(const char *folder, const char *isa, int32_t token, uint32_t measures,
                                 plumb_score *score)
{
    plumb_compute *compute;
    plumb_model *m;
    plumb_scorer *scorer;
    plumb_pair pair = {0};
    int32_t prompt[] = {3, 4, 5, 6, token}, chosen[] = {7, 8, 9, 2}, rejected[] = {7, 10, 2};
    plumb_preference row = {
        .form = PLUMB_FORM_IDS, .prompt_ids = {prompt, 5, 5}, .response_ids = {{chosen, 4, 4}, {rejected, 3, 3}}};
    check_ok(plumb_compute_open(isa, 1, &compute));
    check_ok(plumb_model_open(folder, compute, &m));
    check_ok(plumb_scorer_new(m, &(plumb_scorer_options){.measures = measures, .emit = ignore_score, .user = score},
                              &scorer));
    check_ok(plumb_pair_make(&(plumb_pairing){.max_length = 64}, &row, &pair));
    plumb_status s = plumb_scorer_add(scorer, 17, 0, &pair);
    if (!s) s = plumb_scorer_flush(scorer);
    plumb_pair_free(&pair);
    plumb_scorer_free(scorer);
    plumb_model_close(m);
    plumb_compute_close(compute);
    return s;
}

/* Opens a checkpoint and scores one pair of tokens with all measures but the gradients. */
static plumb_status try_score(const char *folder, const char *isa, int32_t token, plumb_score *score)
{
    return try_measures(folder, isa, token, 63, score);
}

/* The message names the tensor and the folder. */
static void says_tensor(plumb_status s, const char *folder, const char *name, const char *what)
{
    char text[900];
    snprintf(text, sizeof text, "%s: %s%s", folder, name, what);
    assert_says(s, PLUMB_E_INPUT, text);
}

/* ---- missing, misshaped, of another type ---- */

static const char *const families[] = {"olmo", "gpt-neox", "phi3", "gemma3", "qwen2-bf16", "olmo2"};
enum { FAMILIES = sizeof families / sizeof *families };

static void every_missing_tensor_is_named(void **state)
{
    (void)state;
    for (int f = 0; f < FAMILIES; f++) {
        checkpoint *c = load_checkpoint(families[f]);
        check_ok(try_open(write_checkpoint(c, -1)));
        for (size_t i = 0; i < c->count; i += f == 3 ? 5 : 1) { /* gemma3 has many */
            const char *folder = write_checkpoint(c, (int)i);
            says_tensor(try_open(folder), folder, c->names[i], ": missing");
        }
        free_checkpoint(c);
    }
}

static void every_other_shape_is_named(void **state)
{
    (void)state;
    for (int f = 0; f < FAMILIES; f++) {
        checkpoint *c = load_checkpoint(families[f]);
        for (size_t i = 0; i < c->count; i += f == 3 ? 5 : 1) {
            plumb_tensor_spec was = c->specs[i], *spec = &c->specs[i];
            if (spec->dims == 1) { /* one element more dimension, the same bytes */
                spec->dims = 2;
                spec->shape[1] = 1;
            } else if (spec->shape[0] != spec->shape[1]) { /* transposed */
                spec->shape[0] = was.shape[1];
                spec->shape[1] = was.shape[0];
            } else {
                spec->dims = 1;
                spec->shape[0] = was.shape[0] * was.shape[1];
            }
            const char *folder = write_checkpoint(c, -1);
            says_tensor(try_open(folder), folder, c->names[i], ": has shape [");
            *spec = was;
        }
        free_checkpoint(c);
    }
}

static void shapes_are_told(void **state)
{
    (void)state;
    checkpoint *c = load_checkpoint("olmo");
    json_object_set_new(c->config, "vocab_size", json_integer(1024));
    const char *folder = write_checkpoint(c, -1);
    says_tensor(try_open(folder), folder, "model.embed_tokens.weight",
                ": has shape [1048, 64]; config.json implies [1024, 64]");
    json_object_set_new(c->config, "vocab_size", json_integer(1048));
    json_object_set_new(c->config, "tie_word_embeddings", json_false());
    folder = write_checkpoint(c, -1);
    says_tensor(try_open(folder), folder, "lm_head.weight", ": missing");
    json_object_set_new(c->config, "tie_word_embeddings", json_true());
    json_object_set_new(c->config, "num_hidden_layers", json_integer(4));
    folder = write_checkpoint(c, -1);
    says_tensor(try_open(folder), folder, "model.layers.3.self_attn.q_proj.weight", ": missing");
    json_object_set_new(c->config, "num_hidden_layers", json_integer(3));
    json_object_set_new(c->config, "intermediate_size", json_integer(1 << 20));
    folder = write_checkpoint(c, -1);
    says_tensor(try_open(folder), folder, "model.layers.0.mlp.gate_proj.weight",
                ": has shape [176, 64]; config.json implies [1048576, 64]");
    free_checkpoint(c);
    c = load_checkpoint("gpt-neox");
    json_object_set_new(c->config, "num_key_value_heads", json_integer(2));
    assert_says(try_open(write_checkpoint(c, -1)), PLUMB_E_INPUT, "2 key/value heads for 4 heads");
    free_checkpoint(c);
}

/* ---- more than config.json describes ---- */

static void add_tensor(checkpoint *c, const char *name, int64_t n, int64_t k)
{
    size_t i = c->count++;
    assert_in_range(i, 0, MOST_TENSORS - 1);
    snprintf(c->names[i], sizeof c->names[i], "%s", name);
    c->specs[i] = (plumb_tensor_spec){c->names[i], PLUMB_F32, k ? 2 : 1, {n, k}};
    c->bytes[i] = sizeof(float) * (size_t)(k ? n * k : n);
    c->data[i] = calloc(1, c->bytes[i]);
}

static void layers_beyond_the_configuration(void **state)
{
    (void)state;
    static const struct {
        const char *model, *tensor;
    } rows[] = {{"olmo", "model.layers.1.mlp.down_proj.weight"},
                {"gpt-neox", "gpt_neox.layers.1.attention.dense.bias"},
                {"llama2", "model.layers.1.input_layernorm.weight"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        checkpoint *c = load_checkpoint(rows[i].model);
        json_object_set_new(c->config, "num_hidden_layers", json_integer(1));
        const char *folder = write_checkpoint(c, -1);
        says_tensor(try_open(folder), folder, rows[i].tensor, ": stands beyond the 1 layers of config.json");
        assert_says(try_open(folder), PLUMB_E_INPUT, "set \"num_hidden_layers\" to the layers of the checkpoint");
        free_checkpoint(c);
    }
    static const char *const more[] = {"model.layers.11.mlp.up_proj.weight", "model.layers.3.extra",
                                       "language_model.model.layers.3.extra", "model.language_model.layers.3.extra"};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        checkpoint *c = load_checkpoint("olmo");
        add_tensor(c, more[i], 4, 0);
        const char *folder = write_checkpoint(c, -1);
        says_tensor(try_open(folder), folder, more[i], ": stands beyond the 3 layers");
        free_checkpoint(c);
    }
}

static void biases_that_are_not_described(void **state)
{
    (void)state;
    static const struct {
        const char *model, *tensor;
        int64_t n;
    } rows[] = {{"olmo", "model.layers.2.self_attn.q_proj.bias", 64},
                {"llama2", "model.layers.0.mlp.down_proj.bias", 64},
                {"llama2", "lm_head.bias", 1048},
                {"qwen2-bf16", "model.layers.0.self_attn.o_proj.bias", 64},
                {"llama2", "model.norm.bias", 64}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        checkpoint *c = load_checkpoint(rows[i].model);
        add_tensor(c, rows[i].tensor, rows[i].n, 0);
        const char *folder = write_checkpoint(c, -1);
        says_tensor(try_open(folder), folder, rows[i].tensor, ": is a bias that config.json does not describe");
        free_checkpoint(c);
    }
}

static void other_tensors_are_passed_over(void **state)
{
    (void)state;
    static const struct {
        const char *model, *tensor;
        int64_t n, k;
    } rows[] = {{"olmo", "model.layers.0.self_attn.rotary_emb.inv_freq", 8, 0},
                {"olmo", "lm_head.weight", 1048, 64},
                {"olmo", "lm_head.bias", 1048, 0},
                {"gpt-neox", "gpt_neox.layers.0.attention.bias", 64, 64},
                {"gpt-neox", "gpt_neox.layers.1.attention.masked_bias", 1, 0},
                {"gpt-neox", "gpt_neox.layers.1.attention.rotary_emb.inv_freq", 2, 0},
                {"gemma3", "vision_tower.vision_model.encoder.layers.26.self_attn.q_proj.bias", 8, 0},
                {"gemma3", "model.vision_tower.encoder.layers.26.self_attn.q_proj.weight", 8, 8},
                {"gemma3", "multi_modal_projector.mm_soft_emb_norm.weight", 8, 0},
                {"olmo", "model.layers.x", 1, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        checkpoint *c = load_checkpoint(rows[i].model);
        add_tensor(c, rows[i].tensor, rows[i].n, rows[i].k);
        check_ok(try_open(write_checkpoint(c, -1)));
        free_checkpoint(c);
    }
}

static void other_types(void **state)
{
    (void)state;
    checkpoint *c = load_checkpoint("olmo");
    size_t up = tensor_number(c, "model.layers.1.mlp.up_proj.weight"), norm;
    c->type[up] = "I32";
    const char *folder = write_checkpoint(c, -1);
    says_tensor(try_open(folder), folder, c->names[up], ": is stored as I32; supported: F32, F16, BF16");
    c->type[up] = "Q32";
    assert_says(try_open(write_checkpoint(c, -1)), PLUMB_E_INPUT, "Q32");
    c->type[up] = "I64"; /* as large as half the elements */
    assert_says(try_open(write_checkpoint(c, -1)), PLUMB_E_INPUT, "model.layers.1.mlp.up_proj.weight");
    c->specs[up].shape[0] /= 2;
    folder = write_checkpoint(c, -1);
    says_tensor(try_open(folder), folder, c->names[up], ": has shape [88, 64]; config.json implies [176, 64]");
    free_checkpoint(c);
    c = load_checkpoint("phi3");
    norm = tensor_number(c, "model.layers.1.input_layernorm.weight");
    c->specs[norm].dtype = PLUMB_F32;
    c->type[norm] = "I64";
    c->data[norm] = realloc(c->data[norm], c->bytes[norm] * 2);
    memset(c->data[norm] + c->bytes[norm], 0, c->bytes[norm]);
    c->bytes[norm] *= 2;
    folder = write_checkpoint(c, -1);
    says_tensor(try_open(folder), folder, c->names[norm], ": is stored as I64; supported: F32, F16, BF16");
    assert_says(try_open(folder), PLUMB_E_INPUT, "use a checkpoint that is not quantised");
    free_checkpoint(c);
}

static void nothing_there(void **state)
{
    (void)state;
    assert_says(try_open(scratch("nowhere")), PLUMB_E_INPUT, "nowhere/config.json: not found");
    const char *file = scratch_file("file", "x", 1);
    assert_says(try_open(file), PLUMB_E_INPUT, "file: is a file, and MODEL is a folder");
}

/* ---- values that are not finite ---- */

static void every_poisoned_tensor_is_named(void **state)
{
    (void)state;
    static const char *const models[] = {"olmo", "gpt-neox", "phi3", "llama2", "qwen2-bf16"};
    static const char *const isas[] = {"ref", NULL}; /* NULL: the best of this machine */
    size_t turn = 0;
    for (size_t k = 0; k < sizeof models / sizeof *models; k++) {
        checkpoint *c = load_checkpoint(models[k]);
        check_ok(try_score(write_checkpoint(c, -1), isas[k % 2], 11, NULL));
        for (size_t i = 0; i < c->count; i++, turn++) {
            size_t count = c->bytes[i] / plumb_dtype_size(c->specs[i].dtype), width = (size_t)c->specs[i].shape[1];
            unsigned char *good = malloc(c->bytes[i]);
            memcpy(good, c->data[i], c->bytes[i]);
            size_t places[] = {0, count / 2, count - 1}, place = places[turn % 3];
            if (strstr(c->names[i], "embed_tokens") || strstr(c->names[i], "embed_in"))
                place = 7 * width + turn % width; /* of a token that is read */
            poison(c, i, place, turn % 2);
            const char *folder = write_checkpoint(c, -1);
            if (c->specs[i].dims == 1)
                says_tensor(try_open(folder), folder, c->names[i], "");
            else
                says_tensor(try_score(folder, isas[turn % 2], 11, NULL), folder, c->names[i],
                            " holds a NaN or an infinity");
            memcpy(c->data[i], good, c->bytes[i]);
            free(good);
        }
        free_checkpoint(c);
    }
}

/* Every element of a tensor becomes `value`, in fp32. */
static void fill(checkpoint *c, size_t tensor, float value)
{
    size_t count = c->bytes[tensor] / plumb_dtype_size(c->specs[tensor].dtype);
    c->specs[tensor].dtype = PLUMB_F32;
    c->bytes[tensor] = count * sizeof value;
    c->data[tensor] = realloc(c->data[tensor], c->bytes[tensor]);
    for (size_t i = 0; i < c->bytes[tensor]; i += sizeof value) memcpy(c->data[tensor] + i, &value, sizeof value);
}

/* Finite weights of 3e38 overflow on the way: no measure is told, and the weights are not called NaN. */
static void weights_that_overflow(void **state)
{
    (void)state;
    static const struct {
        const char *tensor;
        float value;
        uint32_t measures; /* as bits of the table: ches, ln_ches, last_hidden, edit, logps, alpha, grad */
        const char *says;
    } rows[] = {
        {"model.layers.1.mlp.down_proj.weight", 3e38f, 1, "row 17: \"ches\" is not finite"},
        {"model.layers.1.mlp.down_proj.weight", 3e38f, 2, "row 17: \"ln_ches\" is not finite"},
        {"model.layers.1.mlp.down_proj.weight", 3e38f, 4 | 8, "row 17: \"last_hidden\" is not finite"},
        {"model.layers.1.mlp.down_proj.weight", 3e38f, 16, "row 17: \"logps/chosen\" is not finite"},
        {"model.layers.1.mlp.down_proj.weight", 3e38f, 32, "row 17: the states are not finite"},
        {"model.layers.1.mlp.down_proj.weight", 3e38f, 64, "row 17: \"grad_plus_plus\" is not finite"},
        {"lm_head.weight", 3e38f, 16, "row 17: \"logps/chosen\" is not finite"},
        {"lm_head.weight", 3e38f, 32, "row 17: the coefficients of the next tokens are not finite"},
        {"lm_head.weight", 3e38f, 1, NULL}, /* is not read */
        {"model.layers.1.mlp.down_proj.weight", 3e38f, 8, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        checkpoint *c = load_checkpoint("llama2");
        fill(c, tensor_number(c, rows[i].tensor), rows[i].value);
        const char *folder = write_checkpoint(c, -1);
        plumb_score score;
        plumb_status s = try_measures(folder, i % 2 ? NULL : "ref", 11, rows[i].measures, &score);
        if (!rows[i].says) {
            check_ok(s);
        } else {
            const char *cure = plumb_status_cure(s);
            if (!cure || !strstr(cure, "overflow in fp32: the checkpoint is damaged or diverged"))
                fail_msg("row %zu: %s (cure: %s)", i, plumb_status_message(s), cure ? cure : "none");
            assert_says(s, PLUMB_E_INPUT, rows[i].says);
        }
        free_checkpoint(c);
    }
}

static void poisoned_norms_tell_the_element(void **state)
{
    (void)state;
    checkpoint *c = load_checkpoint("gemma3");
    size_t i = tensor_number(c, "model.layers.2.self_attn.k_norm.weight");
    poison(c, i, 17, false);
    const char *folder = write_checkpoint(c, -1);
    says_tensor(try_open(folder), folder, c->names[i], ": element 17 is not finite");
    free_checkpoint(c);
}

/* A row of the embedding that no token reads does no harm: nothing of it enters the result. */
static void unread_embeddings_do_not_matter(void **state)
{
    (void)state;
    checkpoint *c = load_checkpoint("gpt-neox");
    plumb_score clean, with_nan;
    check_ok(try_score(write_checkpoint(c, -1), "ref", 11, &clean));
    poison(c, tensor_number(c, "gpt_neox.embed_in.weight"), 12 * 64, false);
    check_ok(try_score(write_checkpoint(c, -1), "ref", 11, &with_nan));
    assert_memory_equal(&clean, &with_nan, sizeof clean);
    assert_says(try_score(scratch("checkpoint"), "ref", 12, NULL), PLUMB_E_INPUT, "gpt_neox.embed_in.weight holds");
    free_checkpoint(c);
}

static void vocabulary_smaller_than_the_tokens(void **state)
{
    (void)state;
    checkpoint *c = load_checkpoint("olmo");
    c->specs[0].shape[0] = 11; /* the embedding is the first by name */
    assert_string_equal(c->names[0], "model.embed_tokens.weight");
    c->bytes[0] = (size_t)11 * 64 * 4;
    json_object_set_new(c->config, "vocab_size", json_integer(11));
    const char *folder = write_checkpoint(c, -1);
    check_ok(try_score(folder, "ref", 10, NULL));
    assert_says(try_score(folder, "ref", 11, NULL), PLUMB_E_INPUT,
                "token id 11 is outside the model's 11 embedding rows");
    free_checkpoint(c);
}

/* ---- multimodal checkpoints ---- */

/* The text model of a multimodal checkpoint, under the names of transformers 4 and 5, gives the same bits. */
static void multimodal_names(void **state)
{
    (void)state;
    static const char *const prefixes[] = {"language_model.model.", "model.language_model."};
    checkpoint *c = load_checkpoint("gemma3");
    plumb_score plain, nested;
    check_ok(try_score(write_checkpoint(c, -1), "ref", 11, &plain));
    json_t *outer = json_pack("{s:s, s:o}", "model_type", "gemma3", "text_config", c->config);
    c->config = outer;
    for (size_t p = 0; p < 2; p++) {
        checkpoint *renamed = load_checkpoint("gemma3");
        json_decref(renamed->config);
        renamed->config = json_incref(outer);
        for (size_t i = 0; i < c->count; i++)
            snprintf(renamed->names[i], sizeof renamed->names[i], "%s%s", prefixes[p], c->names[i] + strlen("model."));
        check_ok(try_score(write_checkpoint(renamed, -1), "ref", 11, &nested));
        assert_memory_equal(&plain, &nested, sizeof plain);
        free_checkpoint(renamed);
    }
    free_checkpoint(c);
}

/* ---- the hash ---- */

static uint64_t hash_of(const char *folder, bool full)
{
    uint64_t hash = 0;
    check_ok(plumb_model_hash(folder, full, &hash));
    return hash;
}

static void copy_text(const char *folder, const char *name, const char *text)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
}

static void hash_tells_checkpoints_apart(void **state)
{
    (void)state;
    checkpoint *c = load_checkpoint("olmo");
    size_t embed = tensor_number(c, "model.embed_tokens.weight"), small = tensor_number(c, c->names[5]);
    const char *folder = write_checkpoint(c, -1);
    uint64_t sample = hash_of(folder, false), full = hash_of(folder, true);
    assert_int_equal(hash_of(write_checkpoint(c, -1), false), sample);
    assert_int_equal(hash_of(folder, true), full);

    /* 1048 x 64 floats: 268288 bytes, of which the first, middle and last 64 KiB are sampled */
    static const struct {
        size_t byte;
        bool sampled;
    } places[] = {{0, true},      {65535, true},   {65536, false},  {101375, false}, {101376, true},
                  {166911, true}, {166912, false}, {202751, false}, {202752, true},  {268287, true}};
    assert_int_equal(c->bytes[embed], 268288);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        c->data[embed][places[i].byte] ^= 1;
        folder = write_checkpoint(c, -1);
        if ((hash_of(folder, false) != sample) != places[i].sampled)
            fail_msg("byte %zu: %s", places[i].byte, places[i].sampled ? "not seen" : "seen");
        if (hash_of(folder, true) == full) fail_msg("byte %zu is not seen by the full hash", places[i].byte);
        c->data[embed][places[i].byte] ^= 1;
    }
    c->data[small][c->bytes[small] / 3] ^= 0x80; /* small tensors are read whole */
    assert_true(hash_of(write_checkpoint(c, -1), false) != sample);
    c->data[small][c->bytes[small] / 3] ^= 0x80;

    snprintf(c->names[5], sizeof c->names[5], "another"); /* the header */
    assert_true(hash_of(write_checkpoint(c, -1), false) != sample);
    free_checkpoint(c);
    c = load_checkpoint("olmo");
    json_object_set_new(c->config, "rope_theta", json_real(20000));
    assert_true(hash_of(write_checkpoint(c, -1), false) != sample);
    free_checkpoint(c);
}

static uint64_t text_hash_of(const char *folder, const char *chat_template)
{
    uint64_t hash = 0;
    check_ok(plumb_text_hash(folder, chat_template, &hash));
    return hash;
}

/* What stands in which file, whether a file is there, and the template that is given: nothing can be moved. */
static void hash_of_the_text_side(void **state)
{
    (void)state;
    static const char *const states[][2] = {/* tokenizer.json, tokenizer_config.json; NULL: absent */
                                            {NULL, NULL},
                                            {"", NULL},
                                            {NULL, ""},
                                            {"", ""},
                                            {"{}", NULL},
                                            {NULL, "{}"},
                                            {"a", "btokenizer_config.jsonc"},
                                            {"atokenizer_config.jsonb", "c"}};
    enum { STATES = sizeof states / sizeof *states };
    uint64_t seen[2 * STATES];
    const char *folder = scratch("text-side"), *template = scratch_file("given.jinja", "", 0);
    mkdir(folder, 0777);
    for (size_t i = 0; i < STATES; i++) {
        static const char *const names[] = {"tokenizer.json", "tokenizer_config.json"};
        for (int k = 0; k < 2; k++) {
            char path[700];
            snprintf(path, sizeof path, "%s/%s", folder, names[k]);
            unlink(path);
            if (states[i][k]) copy_text(folder, names[k], states[i][k]);
        }
        seen[2 * i] = text_hash_of(folder, NULL);
        seen[2 * i + 1] = text_hash_of(folder, template);
        assert_true(text_hash_of(folder, NULL) == seen[2 * i]);
    }
    for (size_t i = 0; i < 2 * STATES; i++)
        for (size_t k = 0; k < i; k++)
            if (seen[i] == seen[k]) fail_msg("states %zu and %zu have the same hash", k, i);
}

/* The files that decide what a row's tokens are. */
static void hash_covers_the_text_side(void **state)
{
    (void)state;
    static const char *const files[] = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                                        "chat_template.jinja"};
    checkpoint *c = load_checkpoint("olmo");
    const char *folder = write_checkpoint(c, -1);
    uint64_t last = hash_of(folder, false);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        copy_text(folder, files[i], "{}");
        uint64_t with = hash_of(folder, false);
        copy_text(folder, files[i], "{ }");
        uint64_t changed = hash_of(folder, false);
        if (with == last || changed == with) fail_msg("%s does not count", files[i]);
        last = changed;
    }
    copy_text(folder, "README.md", "no part of the model");
    assert_int_equal(hash_of(folder, false), last);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) { /* the other tests have none */
        char path[700];
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    uint64_t hash;
    assert_says(plumb_model_hash(scratch("nowhere"), false, &hash), PLUMB_E_INPUT, "nowhere");
    free_checkpoint(c);
}

/* ---- rotary tables ---- */

static void close_real(const char *what, int i, double got, double want)
{
    if (!(fabs(got - want) <= 1e-14 * fabs(want))) fail_msg("%s %d: %.17g, expected %.17g", what, i, got, want);
}

/* From the formula, at 40 digits. Llama 3.2 1B: waves below 2048 positions stay, those above 8192 are 32 times as long.
 */
static void llama3_frequencies(void **state)
{
    (void)state;
    static const struct {
        int i;
        double frequency;
    } published[] = {{0, 1.0},
                     {1, 6.63601237696088475e-01},
                     {13, 4.83942134571989282e-03},
                     {14, 3.21144599475259090e-03},
                     {15, 1.29054792820926375e-03},
                     {16, 4.29556796559368208e-04},
                     {17, 9.70828780262767289e-05},
                     {18, 1.94616381848311246e-05},
                     {31, 9.41830672543491001e-08}};
    /* llama3-bf16 of the reference: 16 elements, 64 original positions, factor 8 */
    static const double small[] = {1.0,
                                   7.94030091792082005e-02,
                                   4.70075386635799165e-03,
                                   9.11583092152138666e-04,
                                   1.76776695296636878e-04,
                                   3.42810219595259124e-05,
                                   6.64786987118123540e-06,
                                   1.28917317215155745e-06};
    plumb_rope rope = {PLUMB_ROPE_LLAMA3, 500000, 32, 1, 4, 8192};
    double frequency[32];
    plumb_rope_frequencies(&rope, 64, frequency);
    for (size_t k = 0; k < sizeof published / sizeof *published; k++)
        close_real("frequency", published[k].i, frequency[published[k].i], published[k].frequency);
    rope.factor = 8;
    rope.original_positions = 64;
    plumb_rope_frequencies(&rope, 16, frequency);
    for (int i = 0; i < 8; i++) close_real("frequency", i, frequency[i], small[i]);
}

static void rotary_tables(void **state)
{
    (void)state;
    static const struct {
        plumb_rope rope;
        int rotary, positions;
    } rows[] = {{{PLUMB_ROPE_DEFAULT, 10000, 1, 0, 0, 0}, 16, 300},
                {{PLUMB_ROPE_DEFAULT, 1e6, 1, 0, 0, 0}, 2, 17},
                {{PLUMB_ROPE_LINEAR, 10000, 4, 0, 0, 0}, 24, 100},
                {{PLUMB_ROPE_LLAMA3, 500000, 8, 1, 4, 64}, 16, 129},
                {{PLUMB_ROPE_DEFAULT, 10000, 1, 0, 0, 0}, 128, 1}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        int half = rows[k].rotary / 2, positions = rows[k].positions;
        float *cosine = malloc(sizeof(float) * (size_t)half * (size_t)positions);
        float *sine = malloc(sizeof(float) * (size_t)half * (size_t)positions);
        double frequency[64];
        plumb_rope_frequencies(&rows[k].rope, rows[k].rotary, frequency);
        check_ok(plumb_rope_tables(&rows[k].rope, rows[k].rotary, positions, cosine, sine));
        for (int i = 0; i < half && rows[k].rope.kind != PLUMB_ROPE_LLAMA3; i++)
            close_real("frequency", i, frequency[i],
                       exp(-2.0 * i / rows[k].rotary * log(rows[k].rope.theta)) / rows[k].rope.factor);
        for (int p = 0; p < positions; p++)
            for (int i = 0; i < half; i++) {
                float c = cosine[p * half + i], s = sine[p * half + i];
                if (c != (float)cos(p * frequency[i]) || s != (float)sin(p * frequency[i]))
                    fail_msg("table %zu, position %d, pair %d: %.9g, %.9g", k, p, i, c, s);
            }
        free(cosine);
        free(sine);
    }
}

/* The tables grow by doubling, keep their numbers, and are one where both ropes are equal. */
static void rotations_grow(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        bool apart;
    } rows[] = {{"llama2", false}, {"gemma3", true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        plumb_compute *compute;
        plumb_model *m;
        plumb_rotations r = {0};
        check_ok(plumb_compute_open("ref", 1, &compute));
        check_ok(plumb_model_open(oracle_path("models", rows[i].model), compute, &m));
        static const int asked[] = {1, 1024, 1025, 1026, 2049, 10000, 10001},
                         want[] = {1024, 1024, 2048, 2048, 4096, 10000, 20000};
        size_t half = (size_t)m->config.rotary / 2;
        for (size_t k = 0; k < sizeof asked / sizeof *asked; k++) {
            check_ok(plumb_rotations_reserve(m, asked[k], &r));
            assert_int_equal(r.positions, want[k]);
            assert_true((r.cosine[0] != r.cosine[1]) == rows[i].apart);
            assert_true((r.sine[0] != r.sine[1]) == rows[i].apart);
            double frequency[256];
            plumb_rope_frequencies(&m->config.local_rope, m->config.rotary, frequency);
            size_t p = (size_t)asked[k] - 1;
            assert_true(r.cosine[1][p * half + 1] == (float)cos((double)p * frequency[1]));
        }
        assert_int_equal(plumb_rotations_bytes(&m->config, 5000),
                         (rows[i].apart ? 2 : 1) * 2 * 5000 * (int64_t)(half * sizeof(float)));
        plumb_rotations_free(m, &r);
        assert_null(r.cosine[0]);
        plumb_model_close(m);
        plumb_compute_close(compute);
    }
}

/* ---- batches ---- */

/* Keys that a query of position p sees in a span. */
static int visible(plumb_span keys, int p)
{
    int n = p + 1 - keys.position;
    return n < 0 ? 0 : n > keys.count ? keys.count : n;
}

/* The query at `row` of the batch, position p, sees exactly tokens 0 .. p of ids. */
static void sees(const plumb_batch *b, const plumb_segment *s, int p, const int32_t *ids)
{
    int n = visible(s->prefix, p), m = visible(s->own, p);
    assert_int_equal(n + m, p + 1);
    for (int i = 0; i < n + m; i++) {
        int row = i < n ? s->prefix.row + i : s->own.row + i - n;
        assert_int_equal(b->positions.data[row], i);
        assert_int_equal(b->ids.data[row], ids[i]);
    }
}

/* Is [row, row + count) of `total` covered once by the queries of the segments? */
static void covered_once(const plumb_segment *segments, size_t count, size_t total)
{
    unsigned char *seen = calloc(total + 1, 1);
    for (size_t i = 0; i < count; i++) {
        assert_true(segments[i].query.count > 0);
        for (int k = 0; k < segments[i].query.count; k++) {
            assert_in_range(segments[i].query.row + k, 0, total - 1);
            assert_int_equal(seen[segments[i].query.row + k]++, 0);
        }
    }
    for (size_t i = 0; i < total; i++) assert_int_equal(seen[i], 1);
    free(seen);
}

/* Follows the wanted states of each branch, as the scorer does, back to the tokens they belong to. */
static void check_group(const plumb_batch *b, const int32_t *const ids[], const int counts[], int branches, int shared,
                        int from, const plumb_group_place *place)
{
    assert_int_equal(place->prefix_wanted, shared > from ? shared - from : 0);
    for (int s = 0; s < branches; s++) {
        int own_from = shared > from ? shared : from;
        assert_int_equal(place->own_wanted[s], counts[s] - own_from);
        for (int i = 0; i < counts[s] - from; i++) {
            int state = i < place->prefix_wanted ? place->first + i : place->branch[s] + i - place->prefix_wanted;
            assert_in_range(state, 0, b->wanted.count - 1);
            int row = b->wanted.data[state];
            assert_int_equal(b->wanted_positions.data[state], from + i);
            assert_int_equal(b->positions.data[row], from + i);
            assert_int_equal(b->ids.data[row], ids[s][from + i]);
            for (size_t k = 0; k < b->wanted_segment_count; k++) { /* the wanted query sees its own past */
                const plumb_segment *segment = &b->wanted_segments[k];
                if (state < segment->query.row || state >= segment->query.row + segment->query.count) continue;
                assert_int_equal(segment->query.position + state - segment->query.row, from + i);
                sees(b, segment, from + i, ids[s]);
            }
        }
    }
}

static void add_group(plumb_batch *b, int n, int m, int shared, int from, int salt)
{
    int32_t a[32], c[32];
    for (int i = 0; i < n; i++) a[i] = i < shared ? 100 * salt + i : 100 * salt + 30 + i;
    for (int i = 0; i < m; i++) c[i] = i < shared ? 100 * salt + i : 100 * salt + 60 + i;
    plumb_group_place place;
    size_t before = b->ids.count, segments = b->segment_count;
    const int32_t *const ids[] = {a, c};
    const int counts[] = {n, m};
    check_ok(plumb_batch_add(b, ids, counts, 2, shared, from, &place));
    assert_int_equal(b->ids.count - before, n + m - shared);
    assert_int_equal(plumb_group_rows(counts, 2, shared), n + m - shared);
    check_group(b, ids, counts, 2, shared, from, &place);
    for (size_t k = segments; k < b->segment_count; k++) { /* every row sees its own past */
        const plumb_segment *s = &b->segments[k];
        bool second = s->own.count && s->own.row >= (int)before + n;
        for (int i = 0; i < s->query.count; i++) {
            assert_int_equal(b->positions.data[s->query.row + i], s->query.position + i);
            sees(b, s, s->query.position + i, second ? c : a);
        }
    }
}

static void check_whole(const plumb_batch *b)
{
    covered_once(b->segments, b->segment_count, b->ids.count);
    covered_once(b->wanted_segments, b->wanted_segment_count, b->wanted.count);
    assert_int_equal(b->positions.count, b->ids.count);
    assert_int_equal(b->wanted_positions.count, b->wanted.count);
    for (size_t i = 1; i < b->wanted.count; i++) assert_true(b->wanted.data[i - 1] < b->wanted.data[i]);
}

/* All lengths, shared beginnings (none, a whole side, both whole) and first wanted positions up to a size. */
static void batch_layouts(void **state)
{
    (void)state;
    plumb_batch alone = {0}, together = {0};
    int groups = 0;
    for (int n = 1; n <= 7; n++)
        for (int m = 1; m <= 7; m++)
            for (int shared = 0; shared <= n && shared <= m; shared++)
                for (int from = 0; from < n && from < m; from++) {
                    plumb_batch_clear(&alone);
                    add_group(&alone, n, m, shared, from, 1);
                    check_whole(&alone);
                    add_group(&together, n, m, shared, from, ++groups % 1000);
                }
    check_whole(&together);
    assert_true(groups > 500);
    plumb_batch_free(&alone);
    plumb_batch_free(&together);
}

static void single_sequences(void **state)
{
    (void)state;
    int32_t ids[] = {5, 6, 7, 8};
    for (int shared = 0; shared <= 4; shared++) {
        plumb_batch b = {0};
        plumb_group_place place;
        const int32_t *const all[] = {ids};
        const int counts[] = {4};
        check_ok(plumb_batch_add(&b, all, counts, 1, shared, 2, &place));
        check_group(&b, all, counts, 1, shared, 2, &place);
        check_whole(&b);
        int positions;
        check_ok(plumb_batch_check(&b, 9, &positions));
        assert_int_equal(positions, 4);
        assert_says(plumb_batch_check(&b, 8, &positions), PLUMB_E_INPUT,
                    "token id 8 is outside the model's 8 embedding");
        plumb_batch_free(&b);
    }
}

/* ---- reward heads ---- */

static void a_reward_model_has_one_number(void **state)
{
    (void)state;
    plumb_compute *c;
    plumb_model *m;
    bool fresh;
    check_ok(plumb_compute_open("ref", 1, &c));
    const char *folder = oracle_path("models", "reward-init");
    check_error(plumb_model_open(folder, c, &m), PLUMB_E_INPUT, "is a reward model");
    check_ok(plumb_model_open_score(folder, c, 1, &m, &fresh));
    assert_false(fresh);
    assert_int_equal(m->score.n, 1);
    assert_int_equal(m->score.k, m->config.hidden_size);
    assert_int_equal(m->config.pad_id, 4);
    assert_int_equal(m->unembed.n, 0);
    plumb_model_close(m);
    plumb_compute_close(c);
}

static void a_language_model_gets_a_fresh_head(void **state)
{
    (void)state;
    plumb_compute *c;
    plumb_model *m, *other;
    bool fresh;
    check_ok(plumb_compute_open("ref", 1, &c));
    const char *folder = oracle_path("models", "gpt-neox");
    check_ok(plumb_model_open_score(folder, c, 1, &m, &fresh));
    assert_true(fresh);
    check_ok(plumb_model_open_score(folder, c, 2, &other, &fresh));
    const float *w = m->score.weight, *v = other->score.weight;
    int same = 0;
    double squares = 0;
    for (int i = 0; i < m->config.hidden_size; i++) {
        same += w[i] == v[i];
        squares += (double)w[i] * w[i];
    }
    assert_int_equal(same, 0);
    double deviation = sqrt(squares / m->config.hidden_size);
    assert_true(deviation > 0.5 * m->config.initializer_range && deviation < 1.5 * m->config.initializer_range);
    plumb_model_close(m);
    plumb_model_close(other);
    plumb_compute_close(c);
}

static void labels_of_a_classifier(void **state)
{
    (void)state;
    plumb_config config;
    static const char three[] =
        "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForSequenceClassification\"], \"id2label\": {\"0\": "
        "\"a\", "
        "\"1\": \"b\", \"2\": \"c\"}, \"vocab_size\": 8, \"hidden_size\": 8, \"intermediate_size\": 8, "
        "\"num_hidden_layers\": 1, \"num_attention_heads\": 2}";
    check_error(plumb_config_parse(three, sizeof three - 1, "config.json", &config), PLUMB_E_INPUT, "with 3 labels");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reward_model_has_one_number),
        cmocka_unit_test(a_language_model_gets_a_fresh_head),
        cmocka_unit_test(labels_of_a_classifier),
        cmocka_unit_test(every_missing_tensor_is_named),
        cmocka_unit_test(every_other_shape_is_named),
        cmocka_unit_test(shapes_are_told),
        cmocka_unit_test(layers_beyond_the_configuration),
        cmocka_unit_test(biases_that_are_not_described),
        cmocka_unit_test(other_tensors_are_passed_over),
        cmocka_unit_test(other_types),
        cmocka_unit_test(nothing_there),
        cmocka_unit_test(every_poisoned_tensor_is_named),
        cmocka_unit_test(weights_that_overflow),
        cmocka_unit_test(poisoned_norms_tell_the_element),
        cmocka_unit_test(unread_embeddings_do_not_matter),
        cmocka_unit_test(vocabulary_smaller_than_the_tokens),
        cmocka_unit_test(multimodal_names),
        cmocka_unit_test(hash_tells_checkpoints_apart),
        cmocka_unit_test(hash_of_the_text_side),
        cmocka_unit_test(hash_covers_the_text_side),
        cmocka_unit_test(llama3_frequencies),
        cmocka_unit_test(rotary_tables),
        cmocka_unit_test(rotations_grow),
        cmocka_unit_test(batch_layouts),
        cmocka_unit_test(single_sequences),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
