/* plumb merge: a checkpoint with a LoRA adapter worked into its weights. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "cli/cli.h"
#include "cli/meta.h"
#include "cli/new_folder.h"
#include "io/json.h"
#include "model/checkpoint_writer.h"
#include "model/reward_model.h"
#include "train/run_folder.h"

typedef struct merge_values {
    plumb_common common;
    plumb_list base, adapter;
    int dtype; /* 0: the checkpoint's, else as plumb_dtype + 1 */
} merge_values;

static const plumb_option options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = PLUMB_OPTION_STRING,
     .offset = offsetof(merge_values, common.output),
     .metavar = "OUT",
     .changes_no_result = true,
     .help = "the folder to write; it must not exist, or be empty. It is written as OUT.partial and gets its name when "
             "it is complete"},
    {.name = "dtype",
     .kind = PLUMB_OPTION_CHOICE,
     .offset = offsetof(merge_values, dtype),
     .choices = "auto|float32|float16|bfloat16",
     .fallback = "auto",
     .help = "type of the stored weights; auto is that of BASE"},
    PLUMB_OPTION_THREADS(merge_values),
    PLUMB_OPTION_DRY_RUN(merge_values),
    PLUMB_OPTION_QUIET(merge_values),
};

static const plumb_positional positionals[] = {
    {.name = "BASE",
     .help = "the checkpoint folder that the adapter was trained on",
     .least = 1,
     .most = 1,
     .offset = offsetof(merge_values, base)},
    {.name = "ADAPTER",
     .help = "the adapter's folder, as plumb or PEFT writes it",
     .least = 1,
     .most = 1,
     .offset = offsetof(merge_values, adapter)},
};

const plumb_usage plumb_usage_merge = {
    .name = "merge",
    .summary = "write a checkpoint with a LoRA adapter worked into its weights",
    .description =
        "Every adapted matrix becomes W + scale B A, computed in fp32 and rounded once to the stored type; all other "
        "weights, config.json and the tokenizer stay as they are. The result loads wherever BASE does and needs no "
        "adapter. The adapter of a reward model (plumb reward --use_peft) makes a reward model of BASE: its head takes "
        "the place of the unembedding.\n\nIn 16 bits a part of a small B A is lost in the rounding: --dtype float32 "
        "keeps it.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = sizeof positionals / sizeof *positionals,
    .example = "  plumb merge olmo-1b run-lora -o olmo-1b-tuned --dtype bfloat16",
};

/* Where a tensor of the result comes from. */
typedef struct origin {
    const plumb_tensor *tensor;
    const plumb_adapted *adapted; /* NULL: it stays as it is */
    const float *head;            /* the adapter's reward head: there is no tensor */
} origin;

typedef struct run {
    plumb_cli *cli;
    const merge_values *v;
    plumb_compute *compute;
    plumb_reward_model reward; /* owns the two below where the adapter is that of a reward model */
    plumb_model *model;
    plumb_adapter *adapter;
    plumb_dtype dtype;
    plumb_tensor_spec *specs; /* what is written: names are the model's */
    origin *from;             /* [specs] */
    size_t count;
    uint64_t bytes, done;
    float *rows, *scratch; /* of the piece at hand: [.][k], [.][r] */
    size_t rows_capacity, scratch_capacity;
    plumb_new_folder folder;
} run;

static void free_run(run *r)
{
    free(r->specs);
    free(r->from);
    free(r->rows);
    free(r->scratch);
    plumb_new_folder_free(&r->folder);
    if (r->reward.model) {
        plumb_reward_model_close(&r->reward);
    } else {
        plumb_adapter_free(r->adapter);
        plumb_model_close(r->model);
    }
    plumb_compute_close(r->compute);
}

/* ---- the plan ---- */

/* The module whose matrix is this tensor: they share their data, whatever the checkpoint calls it. */
static plumb_status adapted_by(const run *r, const plumb_tensor *t, const plumb_adapted **out)
{
    plumb_text name = {0};
    plumb_status s = PLUMB_OK;
    *out = NULL;
    for (size_t i = 0; i < r->adapter->count && !*out && !s; i++) {
        const plumb_adapted *module = &r->adapter->list[i];
        plumb_weight weight = {0};
        if (t->dims != 2 || t->shape[0] != module->n || t->shape[1] != module->k) continue;
        plumb_text_clear(&name);
        s = plumb_text_printf(&name, "%s.weight", module->name);
        if (!s) s = r->model->source.find(r->model->source.user, name.data, 2, t->shape, &weight);
        if (!s && weight.data == t->data) *out = module;
    }
    plumb_text_free(&name);
    return s;
}

static void add_head(run *r)
{
    plumb_tensor_spec spec = {.name = PLUMB_SCORE_NAME ".weight", .dtype = r->dtype, .dims = 2};
    spec.shape[0] = 1;
    spec.shape[1] = r->adapter->score.k;
    r->bytes += (uint64_t)r->adapter->score.k * plumb_dtype_size(r->dtype);
    r->specs[r->count] = spec;
    r->from[r->count++] = (origin){.head = r->adapter->head};
}

/* The unembedding that a reward model has no use for, or the head that the adapter's takes the place of. */
static bool gives_way(const run *r, size_t i, const plumb_tensor *t)
{
    return r->adapter->head && (!r->model->used[i] || strcmp(t->name, PLUMB_SCORE_NAME ".weight") == 0);
}

/* All weights of the checkpoint; tensors of other types (masks that old checkpoints stored) are left out. */
static plumb_status plan(run *r)
{
    size_t all, left_out = 0, merged = 0;
    const plumb_tensor *list = plumb_tensors_list(r->model->tensors, &all);
    PLUMB_TRY(plumb_new(&r->specs, all + 1, sizeof *r->specs));
    PLUMB_TRY(plumb_new(&r->from, all + 1, sizeof *r->from));
    for (size_t i = 0; i < all; i++) {
        if (!list[i].is_weight) {
            left_out++;
            continue;
        }
        if (gives_way(r, i, &list[i])) continue;
        plumb_tensor_spec *spec = &r->specs[r->count];
        *spec = (plumb_tensor_spec){.name = list[i].name, .dtype = r->dtype, .dims = list[i].dims};
        memcpy(spec->shape, list[i].shape, sizeof spec->shape);
        origin *from = &r->from[r->count++];
        from->tensor = &list[i];
        PLUMB_TRY(adapted_by(r, &list[i], &from->adapted));
        merged += from->adapted != NULL;
        r->bytes += (uint64_t)list[i].count * plumb_dtype_size(r->dtype);
    }
    if (r->adapter->head) add_head(r);
    if (left_out) plumb_note(&r->cli->sink, "%zu tensors that hold no weights are left out", left_out);
    if (merged == r->adapter->count) return PLUMB_OK;
    return plumb_fail(PLUMB_E_INTERNAL, "%zu matrices found for %zu adapted modules", merged, r->adapter->count);
}

/* ---- the weights ---- */

static plumb_status not_finite(const run *r, size_t tensor, int64_t at)
{
    return plumb_fail(PLUMB_E_INPUT, "%s: %s: element %" PRId64 " is not finite", r->v->base.items[0],
                      r->specs[tensor].name, at);
}

/* Elements first .. of an adapted matrix: the whole rows that they lie in are computed. */
static plumb_status merge_piece(run *r, size_t tensor, int64_t first, int64_t count, float *out)
{
    const plumb_adapted *module = r->from[tensor].adapted;
    const plumb_tensor *t = r->from[tensor].tensor;
    int64_t row = first / module->k, rows = (first + count - 1) / module->k - row + 1, begin = row * module->k;
    size_t size = (size_t)rows * (size_t)module->k;
    PLUMB_TRY(plumb_reserve(&r->rows, &r->rows_capacity, size, sizeof(float)));
    PLUMB_TRY(plumb_reserve(&r->scratch, &r->scratch_capacity, (size_t)rows * (size_t)r->adapter->r, sizeof(float)));
    for (size_t i = 0; i < size; i++) r->rows[i] = plumb_load(t->data, t->dtype, (size_t)begin + i);
    PLUMB_TRY(plumb_adapter_merge(r->compute, r->adapter, module, (int)row, (int)rows, r->scratch, r->rows));
    memcpy(out, r->rows + (first - begin), (size_t)count * sizeof *out);
    return PLUMB_OK;
}

static plumb_status give_weights(void *user, size_t tensor, int64_t first, int64_t count, float *out)
{
    run *r = user;
    const plumb_tensor *t = r->from[tensor].tensor;
    PLUMB_TRY(plumb_check_interrupt(&r->cli->sink));
    if (r->from[tensor].adapted)
        PLUMB_TRY(merge_piece(r, tensor, first, count, out));
    else if (r->from[tensor].head)
        memcpy(out, r->from[tensor].head + first, (size_t)count * sizeof *out);
    else
        for (int64_t i = 0; i < count; i++) out[i] = plumb_load(t->data, t->dtype, (size_t)(first + i));
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(out[i])) return not_finite(r, tensor, first + i);
    r->done += (uint64_t)count * plumb_dtype_size(r->dtype);
    plumb_progress(&r->cli->sink, "bytes", (double)r->done, (double)r->bytes);
    return PLUMB_OK;
}

/* ---- the folder ---- */

/* The options, and which checkpoint and adapter it was. */
static plumb_status record_json(const run *r, json_t **meta)
{
    const char *base = r->v->base.items[0];
    PLUMB_TRY(plumb_meta_new(r->cli->usage, r->cli->options, meta));
    PLUMB_TRY(plumb_meta_weights(*meta, "model", base));
    return plumb_meta_input(*meta, "adapter", r->v->adapter.items[0], -1, 0);
}

static plumb_status write_record(const run *r)
{
    json_t *meta = NULL;
    plumb_text path = {0}, text = {0};
    plumb_status s = record_json(r, &meta);
    char *dumped = s ? NULL : json_dumps(meta, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    if (!s) s = dumped ? plumb_text_printf(&text, "%s\n", dumped) : plumb_no_memory();
    if (!s) s = plumb_path_join(&path, r->folder.partial.data, "run.json");
    if (!s) s = plumb_write_file(path.data, text.data, text.size);
    json_decref(meta);
    free(dumped);
    plumb_text_free(&path);
    plumb_text_free(&text);
    return s;
}

static plumb_status write_files(run *r)
{
    const char *base = r->v->base.items[0], *to = r->folder.partial.data;
    PLUMB_TRY(plumb_copy_config(base, to, r->dtype, &r->model->config));
    PLUMB_TRY(plumb_copy_side_files(r->reward.model ? r->reward.text : base, to, &r->model->config, &r->cli->sink));
    PLUMB_TRY(write_record(r));
    return plumb_checkpoint_write(to, r->specs, r->count, 0, give_weights, r);
}

static plumb_status write_folder(run *r)
{
    PLUMB_TRY(plumb_new_folder_create(&r->folder, r->bytes));
    return plumb_new_folder_finish(&r->folder, write_files(r));
}

static void say_what(const run *r)
{
    char bytes[32];
    int files = plumb_checkpoint_files(r->specs, r->count, 0);
    plumb_format_bytes((double)r->bytes, bytes, sizeof bytes);
    plumb_cli_tell(r->cli, "%s: %zu of %zu tensors merged (r %d, scale %g), %s in %d file%s, %s", r->folder.out.data,
                   r->adapter->count, r->count, r->adapter->r, (double)r->adapter->scale, bytes, files,
                   files == 1 ? "" : "s", plumb_dtype_name(r->dtype));
    if (r->v->common.dry_run) plumb_cli_say(r->cli, "dry run: nothing was written");
}

static const char *last_component(const char *path, size_t *length)
{
    size_t n = strlen(path), begin;
    while (n > 1 && path[n - 1] == '/') n--;
    for (begin = n; begin > 0 && path[begin - 1] != '/'; begin--) continue;
    *length = n - begin;
    return path + begin;
}

/* Shapes cannot tell two models of one family apart; the name under which the base was known then can. */
static void compare_names(const run *r)
{
    const char *then = r->adapter->base, *now = r->v->base.items[0];
    size_t a, b;
    if (!then || !*then) return;
    const char *x = last_component(then, &a), *y = last_component(now, &b);
    if (a != b || memcmp(x, y, a) != 0)
        plumb_note(&r->cli->sink, "the adapter was made for %s, as its adapter_config.json says; is %s that model?",
                   then, now);
}

static plumb_status open_models(run *r, const char *base, const char *adapter)
{
    bool reward;
    PLUMB_TRY(plumb_adapter_about(adapter, &reward, NULL));
    if (reward) {
        PLUMB_TRY(plumb_reward_model_open(adapter, base, NULL, r->compute, &r->reward));
        r->model = r->reward.model;
        r->adapter = r->reward.adapter;
        return PLUMB_OK;
    }
    PLUMB_TRY(plumb_model_open(base, r->compute, &r->model));
    return plumb_adapter_load(adapter, r->model, &r->adapter);
}

static plumb_status open_all(run *r)
{
    const merge_values *v = r->v;
    PLUMB_TRY(plumb_new_folder_name(v->common.output, &r->folder));
    PLUMB_TRY(plumb_compute_open(NULL, plumb_cli_threads(&v->common), &r->compute));
    PLUMB_TRY(open_models(r, v->base.items[0], v->adapter.items[0]));
    compare_names(r);
    r->dtype = v->dtype ? (plumb_dtype)(v->dtype - 1) : r->model->embed.dtype;
    return PLUMB_OK;
}

static plumb_status merge(plumb_cli *cli, void *values)
{
    run r = {.cli = cli, .v = values};
    if (!r.v->common.output)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "where shall the merged checkpoint go?"), "give -o OUT");
    plumb_status s = open_all(&r);
    if (!s) s = plan(&r);
    if (!s && !r.v->common.dry_run) s = write_folder(&r);
    if (!s) say_what(&r);
    free_run(&r);
    return s;
}

int plumb_command_merge(int argc, char **argv)
{
    merge_values v = {0};
    return plumb_cli_run(&plumb_usage_merge, argc, argv, &v, &v.common, merge);
}
