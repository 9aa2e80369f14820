/* plumb_run: what stands in its folder, the gate, checkpoints, and that neither an interruption nor threads nor
 * recomputed activations change a bit of the result. */
#include "run_support.h"

#include <dirent.h>
#include <math.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAIRS = 6, LENGTH = 64 };

/* ---- a small run ---- */

static plumb_examples read_pairs(int count, int sides)
{
    plumb_encoder *encoder;
    plumb_pair_reader *reader;
    plumb_examples e = {0};
    check_ok(plumb_encoder_open(oracle_path("models", "olmo"), NULL, -1, &encoder));
    plumb_pair_source source = {.path = PLUMB_TEST_DATA "/pairs/pairs.jsonl",
                                .end = count,
                                .keys = {"prompt", "chosen", "rejected", PLUMB_IMPLICIT_NONE},
                                .pairing = {encoder, PLUMB_COMPAT_TRL, LENGTH, 0}};
    check_ok(plumb_pair_reader_open(&source, &reader));
    check_ok(plumb_examples_read(reader, &e));
    for (size_t i = 0; i < e.count; i++) e.list[i].sides = sides;
    plumb_pair_reader_close(reader);
    plumb_encoder_close(encoder);
    assert_int_equal(e.count, count);
    return e;
}

/* What is special about a run; 0 stands for the default. */
typedef struct variant {
    const char *name;
    bool sft, lora, sync, own_reference, no_reference;
    const char *optim, *optim_args, *gate;
    int64_t refresh;
    int ledger_tokens;
    bool every_poll; /* interrupted wherever it listens, not only after steps */
    double smoothing;
    int64_t first_row; /* what the file calls the first pair */
} variant;

static const variant plain = {.name = "plain", .own_reference = true};

/* How it is run, which may change nothing; and what a test changes in the options. */
typedef struct way {
    const char *folder;
    int threads;
    bool recompute;
    const plumb_sink *sink;
    bool resume;
    void (*change)(plumb_run_options *o);
} way;

/* Two epochs of three steps, of two batches of one pair; everything at odd intervals. */
static plumb_run_options options_of(const variant *v, const way *w, const plumb_objective *objective)
{
    plumb_run_options o = run_defaults(w->folder, oracle_path("models", "olmo"), v->sft ? NULL : objective);
    check_ok(plumb_optimizer_make(v->optim ? v->optim : "adamw_torch", v->optim_args, &o.trainer.optimizer));
    check_ok(plumb_gate_parse(v->gate, &o.gate));
    o.trainer.keep_activations = !w->recompute;
    o.order = (plumb_order_options){.batch = 1, .accumulation = 2, .epochs = 2, .seed = 7};
    o.pace.lr_scheduler_type = "cosine";
    o.pace.logging_steps = 4;
    o.pace.save_steps = v->every_poll ? 2 : 4;
    o.pace.save_total_limit = 1;
    o.pace.ledger_steps = 3;
    o.ledger_tokens = v->ledger_tokens;
    o.ches_refresh = v->refresh;
    o.pace.sync_ref_model = v->sync;
    o.pace.ref_model_sync_steps = 2;
    o.pace.ref_model_mixup_alpha = 0.6;
    o.sink = w->sink;
    o.resume = w->resume;
    if (w->change) w->change(&o);
    return o;
}

static plumb_status run_it(const variant *v, const way *w, plumb_run_report *report)
{
    plumb_compute *c;
    plumb_model *start, *reference;
    plumb_adapter *adapter = NULL;
    plumb_objective_options how = PLUMB_OBJECTIVE_DEFAULTS;
    plumb_objective objective;
    how.pair_weights = v->gate != NULL;
    const char *conservative = "cdpo";
    plumb_loss_setting smoothing = {"label_smoothing", v->smoothing};
    if (v->smoothing > 0) {
        how.loss_type = &conservative;
        how.settings = &smoothing;
        how.loss_types = how.setting_count = 1;
    }
    check_ok(plumb_objective_make(&how, &objective));
    check_ok(plumb_compute_open(NULL, w->threads ? w->threads : 1, &c));
    check_ok(plumb_model_open(oracle_path("models", v->own_reference ? "olmo" : "policy-olmo"), c, &start));
    check_ok(plumb_model_open(oracle_path("models", "olmo"), c, &reference));
    plumb_examples e = read_pairs(PAIRS, v->sft ? 1 : 2);
    for (size_t i = 0; i < e.count; i++) e.list[i].index += v->first_row;
    plumb_run_options o = options_of(v, w, &objective);
    if (v->lora) check_ok(plumb_adapter_new(start, &(plumb_adapter_options){.r = 4, .alpha = 8, .seed = 3}, &adapter));
    o.trainer.adapter = adapter;
    plumb_status s = plumb_run(&o, start,
                               v->sft || v->no_reference ? NULL
                               : v->own_reference        ? start
                                                         : reference,
                               &e, report);
    plumb_examples_free(&e);
    plumb_adapter_free(adapter);
    plumb_model_close(start);
    plumb_model_close(reference);
    plumb_compute_close(c);
    return s;
}

static void run_whole(const variant *v, const way *w)
{
    plumb_run_report report;
    check_ok(run_it(v, w, &report));
    assert_int_equal(report.steps, 6);
}

static void check_same_run(const variant *v, const char *a, const char *b, const char *what)
{
    char text[200];
    snprintf(text, sizeof text, "%s, %s", v->name, what);
    check_same_file(a, b, v->lora ? "adapter_model.safetensors" : "model.safetensors", text);
    check_same_file(a, b, "metrics.jsonl", text);
    if (!v->sft) check_same_file(a, b, "ledger.jsonl", text);
    assert_true(is_there(in_folder(a, "ledger.jsonl")) == !v->sft); /* not an empty one */
}

/* ---- interruptions ---- */

/* Interrupts at the `at`-th question, or after `steps` finished steps; notes are kept. */
typedef struct listener {
    int64_t at, asked, steps, done;
    plumb_text notes;
} listener;

static bool ask(void *user)
{
    listener *l = user;
    return ++l->asked == l->at || (l->steps && l->done >= l->steps);
}

static void count_steps(void *user, const char *unit, double done, double total)
{
    listener *l = user;
    (void)done, (void)total;
    l->done += strcmp(unit, "steps") == 0;
}

static void keep_note(void *user, const char *text)
{
    check_ok(plumb_text_printf(&((listener *)user)->notes, "%s\n", text));
}

static plumb_sink sink_of(listener *l)
{
    return (plumb_sink){l, keep_note, count_steps, ask};
}

static const variant variants[] = {
    {.name = "plain", .every_poll = true, .own_reference = true, .ledger_tokens = 3},
    {.name = "SFT", .sft = true},
    {.name = "sync_ref_model", .sync = true},
    {.name = "SGD", .optim = "sgd", .optim_args = "momentum=0.9"},
    {.name = "gate", .gate = "keep-lowest:5", .refresh = 2},
    {.name = "gate without a reference", .gate = "weight", .refresh = 3, .no_reference = true, .every_poll = true},
    {.name = "LoRA", .lora = true, .ledger_tokens = 2},
    {.name = "RMSprop", .optim = "rmsprop", .optim_args = "momentum=0.9,centered=true"},
    {.name = "SGD without state", .optim = "sgd"},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

/* A run interrupted in one way and gone on with. False when it was done before it could be interrupted. */
static bool check_interrupted(const variant *v, listener l, const char *whole)
{
    const char *folder = new_folder("interrupted");
    plumb_run_report report;
    plumb_sink sink = sink_of(&l);
    plumb_status s = run_it(v, &(way){.folder = folder, .sink = &sink}, &report);
    if (!s) return false;
    assert_says(s, PLUMB_E_INTERRUPTED, "");
    int64_t step = report.steps;
    if (step > 0) {
        char name[64];
        snprintf(name, sizeof name, "checkpoint-%d", (int)step);
        if (!is_there(in_folder(folder, name))) fail_msg("%s: no %s after the interruption", v->name, name);
    }
    run_whole(v, &(way){.folder = folder, .resume = true});
    check_same_run(v, whole, folder, "interrupted");
    return true;
}

static void interruptions_change_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < VARIANTS; i++) {
        const variant *v = &variants[i];
        const char *whole = new_folder("whole");
        listener heard = {.at = -1};
        plumb_sink sink = sink_of(&heard);
        run_whole(v, &(way){.folder = whole, .sink = &sink});
        for (int64_t k = 1; k < 6; k++) assert_true(check_interrupted(v, (listener){.steps = k}, whole));
        if (v->every_poll)
            for (int64_t k = 1; k <= heard.asked; k += 3)
                if (!check_interrupted(v, (listener){.at = k}, whole)) fail_msg("not interrupted");
        plumb_text_free(&heard.notes);
    }
}

/* A step is stopped where it is, in a pass forwards or backwards, and leaves nothing behind. */
static void a_step_is_stopped_in_its_middle(void **state)
{
    (void)state;
    static const variant sft = {.name = "SFT", .sft = true}; /* makes no passes but those of its steps */
    const int64_t layers = 2, polls = 1 + 2 * 2 * layers;    /* of a step: itself, two batches there and back */
    const char *whole = new_folder("whole");
    listener heard = {.at = -1};
    plumb_sink sink = sink_of(&heard);
    run_whole(&sft, &(way){.folder = whole, .sink = &sink});
    assert_true(heard.asked >= 6 * polls);
    for (int64_t k = 1; k <= heard.asked; k++) assert_true(check_interrupted(&sft, (listener){.at = k}, whole));
    plumb_text_free(&heard.notes);
}

/* One step at a time, the last evaluation included: every checkpoint is the beginning of the next run. */
static void a_run_may_go_step_by_step(void **state)
{
    (void)state;
    for (size_t i = 0; i < VARIANTS; i += 2) {
        const variant *v = &variants[i];
        const char *whole = new_folder("whole"), *folder = new_folder("steps");
        run_whole(v, &(way){.folder = whole});
        for (int64_t step = 1; step <= 6; step++) {
            listener l = {.steps = 1};
            plumb_sink sink = sink_of(&l);
            plumb_run_report report;
            plumb_status s = run_it(v, &(way){.folder = folder, .sink = &sink, .resume = step > 1}, &report);
            assert_int_equal(report.steps, step);
            assert_int_equal(report.first_step, step - 1);
            if (step < 6)
                assert_says(s, PLUMB_E_INTERRUPTED, "");
            else
                check_ok(s);
        }
        check_same_run(v, whole, folder, "step by step");
    }
}

static void threads_and_recomputation_change_nothing(void **state)
{
    (void)state;
    static const int chosen[] = {0, 5, 6};
    for (size_t i = 0; i < sizeof chosen / sizeof *chosen; i++) {
        const variant *v = &variants[chosen[i]];
        const char *first = new_folder("first"), *other = new_folder("other");
        run_whole(v, &(way){.folder = first});
        run_whole(v, &(way){.folder = other, .recompute = true});
        check_same_run(v, first, other, "recomputed");
        for (int threads = 2; threads <= 3; threads++) {
            run_whole(v, &(way){.folder = new_folder("other"), .threads = threads});
            check_same_run(v, first, other, "threads");
        }
    }
}

/* ---- checkpoints ---- */

/* The steps of all checkpoint folders as one text, "2 4 ". */
static const char *checkpoints(const char *folder)
{
    static char text[200];
    bool there[100] = {0};
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (const struct dirent *entry; (entry = readdir(d));) {
        int n, used = 0;
        if (sscanf(entry->d_name, "checkpoint-%d%n", &n, &used) != 1) continue;
        if (entry->d_name[used]) fail_msg("%s is left behind", entry->d_name);
        there[n] = true;
    }
    closedir(d);
    text[0] = 0;
    for (int n = 0; n < 100; n++)
        if (there[n]) snprintf(text + strlen(text), sizeof text - strlen(text), "%d ", n);
    return text;
}

static void save_each_step(plumb_run_options *o)
{
    o->pace.save_steps = 1;
    o->pace.save_total_limit = 0;
}

static void save_two(plumb_run_options *o)
{
    o->pace.save_steps = 1;
    o->pace.save_total_limit = 2;
}

static void save_none(plumb_run_options *o)
{
    o->pace.save_steps = 0;
}

static void the_oldest_checkpoints_go(void **state)
{
    (void)state;
    const char *folder = new_folder("saved");
    run_whole(&plain, &(way){.folder = folder, .change = save_each_step});
    assert_string_equal(checkpoints(folder), "1 2 3 4 5 ");
    run_whole(&plain, &(way){.folder = new_folder("saved"), .change = save_two});
    assert_string_equal(checkpoints(folder), "4 5 ");
    run_whole(&plain, &(way){.folder = new_folder("saved"), .change = save_none});
    assert_string_equal(checkpoints(folder), "");
}

static void copy_folder(const char *from, const char *to)
{
    char command[1200];
    snprintf(command, sizeof command, "rm -rf '%s' && cp -r '%s' '%s'", to, from, to);
    assert_int_equal(system(command), 0);
}

/* Copies bytes of FROM/NAME to TO/NAME. */
static void cut_file(const char *from, const char *to, const char *name, double share)
{
    size_t size;
    char *bytes = read_bytes(in_folder(from, name), &size);
    FILE *f = fopen(in_folder(to, name), "wb");
    assert_non_null(f);
    fwrite(bytes, 1, (size_t)((double)size * share), f);
    fclose(f);
    free(bytes);
}

static void remove_checkpoint(const char *folder, int step)
{
    char command[700];
    snprintf(command, sizeof command, "rm -rf '%s/checkpoint-%d'", folder, step);
    assert_int_equal(system(command), 0);
}

/* From every checkpoint, as the newest; and from the newest that the .jsonl files reach, where they were cut. */
static void a_run_goes_on_from_any_checkpoint(void **state)
{
    (void)state;
    const char *whole = new_folder("whole"), *folder = new_folder("again");
    plumb_run_report report;
    run_whole(&plain, &(way){.folder = whole, .change = save_each_step});
    for (int step = 5; step > 0; step--) {
        copy_folder(whole, folder);
        for (int later = step + 1; later < 6; later++) remove_checkpoint(folder, later);
        check_ok(run_it(&plain, &(way){.folder = folder, .resume = true, .change = save_two}, &report));
        assert_int_equal(report.first_step, step);
        check_same_run(&plain, whole, folder, "from a checkpoint");
        if (step > 2) assert_string_equal(checkpoints(folder), "4 5 ");
    }
    copy_folder(whole, folder);
    cut_file(whole, folder, "ledger.jsonl", 0.5); /* steps 0 and half of 3 are left */
    check_ok(run_it(&plain, &(way){.folder = folder, .resume = true, .change = save_two}, &report));
    assert_int_equal(report.first_step, 2);
    check_same_run(&plain, whole, folder, "cut");
    assert_string_equal(checkpoints(folder), "4 5 ");
}

/* As kill -9 may leave it: half a checkpoint, half a line, half a result. */
static void what_a_killed_run_leaves_is_no_trouble(void **state)
{
    (void)state;
    const char *whole = new_folder("whole"), *folder = new_folder("killed");
    plumb_run_report report;
    listener l = {.steps = 3};
    plumb_sink sink = sink_of(&l);
    run_whole(&plain, &(way){.folder = whole});
    assert_says(run_it(&plain, &(way){.folder = folder, .sink = &sink}, &report), PLUMB_E_INTERRUPTED, "");
    const char *partial = in_folder(folder, "checkpoint-5.partial");
    assert_int_equal(mkdir(partial, 0777), 0);
    cut_file(in_folder(whole, "checkpoint-4"), partial, "masters.safetensors", 0.5);
    FILE *f = fopen(in_folder(folder, "metrics.jsonl"), "a");
    assert_non_null(f);
    fputs("{\"step\":5,\"epo", f);
    for (int i = 0; i < 20000; i++) fputc(0, f); /* blocks that never got their bytes */
    fclose(f);
    cut_file(whole, folder, "ledger.jsonl", 0.9);
    cut_file(whole, folder, "config.json", 1);
    cut_file(whole, folder, "model.safetensors", 0.5);
    run_whole(&plain, &(way){.folder = folder, .resume = true});
    check_same_run(&plain, whole, folder, "killed");
    assert_false(is_there(in_folder(folder, "checkpoint-5.partial")));
}

/* ---- folders ---- */

static void a_folder_with_work_is_left_alone(void **state)
{
    (void)state;
    plumb_run_report report;
    const char *folder = new_folder("taken");
    run_whole(&plain, &(way){.folder = folder});
    assert_says(run_it(&plain, &(way){.folder = folder}, &report), PLUMB_E_OUTPUT, "holds a run already");
    assert_says(run_it(&plain, &(way){.folder = folder}, &report), PLUMB_E_OUTPUT, "--resume");
    int elsewhere = open(folder, O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(elsewhere, LOCK_EX | LOCK_NB), 0); /* as the run that is still going on has it */
    assert_says(run_it(&plain, &(way){.folder = folder, .resume = true}, &report), PLUMB_E_OUTPUT,
                "another process is training in it");
    close(elsewhere);
    run_whole(&plain, &(way){.folder = folder, .resume = true});
    const char *model = new_folder("model");
    copy_folder(oracle_path("models", "olmo"), model);
    for (int resume = 0; resume < 2; resume++)
        assert_says(run_it(&plain, &(way){.folder = model, .resume = resume}, &report), PLUMB_E_OUTPUT,
                    "holds a model, which the run would write over");
    check_same_file(oracle_path("models", "olmo"), model, "model.safetensors", "the model");
    const char *begun = new_folder("begun"); /* opened, but nothing was done */
    mkdir(begun, 0777);
    scratch_file("begun/metrics.jsonl", "", 0);
    scratch_file("begun/ledger.jsonl", "", 0);
    run_whole(&plain, &(way){.folder = begun});
    assert_says(run_it(&plain, &(way){.folder = scratch("no/where")}, &report), PLUMB_E_OUTPUT, "cannot create");
    run_whole(&plain, &(way){.folder = new_folder("fresh"), .resume = true}); /* nothing to go on with */
}

/* ---- metrics and ledger ---- */

static void log_each_step(plumb_run_options *o)
{
    o->pace.logging_steps = 1;
    o->pace.ledger_steps = 1;
}

static void ledger_by_epoch(plumb_run_options *o)
{
    o->pace.ledger_steps = 0;
}

/* steps[0 .. count - 1], PAIRS rows each in the order of the file. */
static void check_ledger_steps(const char *folder, const int *steps, size_t count)
{
    json_t *rows = load_jsonl(folder, "ledger.jsonl");
    assert_int_equal(json_array_size(rows), count * PAIRS);
    for (size_t i = 0; i < count * PAIRS; i++) {
        const json_t *row = json_array_get(rows, i);
        size_t evaluation = i / PAIRS;
        assert_true(real_of(row, "step") == steps[evaluation]);
        assert_true(real_of(row, "index") == (double)(i % PAIRS));
    }
    json_decref(rows);
}

static void the_ledger_is_written_when_it_is_due(void **state)
{
    (void)state;
    const char *folder = new_folder("ledger");
    run_whole(&plain, &(way){.folder = folder});
    check_ledger_steps(folder, (const int[]){0, 3, 6}, 3);
    run_whole(&plain, &(way){.folder = new_folder("ledger"), .change = log_each_step});
    check_ledger_steps(folder, (const int[]){0, 1, 2, 3, 4, 5, 6}, 7);
    run_whole(&plain, &(way){.folder = new_folder("ledger"), .change = ledger_by_epoch});
    check_ledger_steps(folder, (const int[]){0, 3, 6}, 3);
}

/* The same weights: rewards of exactly 0, nothing displaced, and at step 0 the ledger equals the reference. */
static void rewards_begin_at_zero(void **state)
{
    (void)state;
    static const variant starts[] = {{.name = "plain", .own_reference = true},
                                     {.name = "LoRA", .lora = true, .own_reference = true}};
    for (size_t i = 0; i < 2; i++) {
        const char *folder = new_folder("zero");
        run_whole(&starts[i], &(way){.folder = folder, .change = log_each_step});
        json_t *metrics = load_jsonl(folder, "metrics.jsonl"), *ledger = load_jsonl(folder, "ledger.jsonl");
        const json_t *first = json_array_get(metrics, 0), *last = json_array_get(metrics, 5);
        assert_true(real_of(first, "rewards/chosen") == 0 && real_of(first, "rewards/rejected") == 0);
        assert_true(real_of(first, "displaced") == 0);
        assert_true(fabs(real_of(first, "loss") - log(2)) < 1e-9);
        assert_true(real_of(last, "rewards/chosen") != 0);
        for (size_t k = 0; k < PAIRS; k++) {
            const json_t *row = json_array_get(ledger, k);
            assert_true(real_of(row, "logps/chosen") == real_of(row, "ref_logps/chosen"));
            assert_true(real_of(row, "logps/rejected") == real_of(row, "ref_logps/rejected"));
        }
        json_decref(metrics);
        json_decref(ledger);
    }
}

static void count_displaced(plumb_run_options *o)
{
    log_each_step(o);
    o->order.batch = PAIRS;
    o->order.accumulation = 1;
    o->order.epochs = 6;
    o->pace.learning_rate = 3e-3;
}

/* One batch of all pairs: the metrics of step s + 1 are means over the rows of the ledger after step s, and `displaced`
 * the share of those below step 0. */
static void metrics_agree_with_the_ledger(void **state)
{
    (void)state;
    const char *folder = new_folder("displaced");
    listener l = {.at = -1};
    plumb_sink sink = sink_of(&l);
    run_whole(&plain, &(way){.folder = folder, .change = count_displaced, .sink = &sink});
    json_t *metrics = load_jsonl(folder, "metrics.jsonl"), *ledger = load_jsonl(folder, "ledger.jsonl");
    double most = 0;
    for (size_t step = 0; step < 6; step++) {
        const json_t *m = json_array_get(metrics, step);
        double displaced = 0, chosen = 0, margin = 0, lowest = 0;
        for (size_t k = 0; k < PAIRS; k++) {
            const json_t *now = json_array_get(ledger, step * PAIRS + k), *start = json_array_get(ledger, k);
            double w = real_of(now, "logps/chosen"), w0 = real_of(start, "logps/chosen"),
                   l1 = real_of(now, "logps/rejected"), l0 = real_of(start, "logps/rejected");
            displaced += w < w0;
            chosen += w / PAIRS;
            margin += 0.1 * ((w - w0) - (l1 - l0)) / PAIRS;
            lowest = w < lowest ? w : lowest;
        }
        assert_true(fabs(real_of(m, "displaced") - displaced / PAIRS) < 1e-8);
        assert_true(fabs(real_of(m, "logps/chosen") - chosen) < 1e-6 * fabs(chosen));
        assert_true(fabs(real_of(m, "rewards/margins") - margin) < 1e-6 * (1 + fabs(margin)));
        assert_true(real_of(m, "logps/chosen_q05") >= lowest);
        assert_true(real_of(m, "logps/chosen_q05") <= real_of(m, "logps/chosen_q50"));
        assert_true(real_of(m, "logps/chosen_q50") <= real_of(m, "logps/chosen_q95"));
        if (displaced > most) most = displaced;
    }
    json_decref(metrics);
    json_decref(ledger);
    assert_true(most > 0); /* random weights at a high rate: some chosen responses lose */
    plumb_text_free(&l.notes);
}

/* The warning stands there exactly when the mean of the chosen log-probs is below its start. */
static void displacement_is_warned_of(void **state)
{
    (void)state;
    static const variant learns[] = {{.name = "right way", .own_reference = true},
                                     {.name = "wrong way", .own_reference = true, .smoothing = 0.95}};
    int warned = 0;
    for (size_t i = 0; i < 2; i++) {
        const char *folder = new_folder("warned");
        listener l = {.at = -1};
        plumb_sink sink = sink_of(&l);
        run_whole(&learns[i], &(way){.folder = folder, .change = log_each_step, .sink = &sink});
        json_t *ledger = load_jsonl(folder, "ledger.jsonl");
        for (int step = 0; step <= 6; step++) {
            double now = 0, start = 0;
            char line[100];
            for (int k = 0; k < PAIRS; k++) {
                now += real_of(json_array_get(ledger, (size_t)step * PAIRS + (size_t)k), "logps/chosen");
                start += real_of(json_array_get(ledger, (size_t)k), "logps/chosen");
            }
            snprintf(line, sizeof line, "step %d: likelihood displacement", step);
            bool said = l.notes.data && strstr(l.notes.data, line);
            if (said != (now < start))
                fail_msg("step %d: mean %g, at the start %g, warned: %d", step, now / PAIRS, start / PAIRS, said);
            warned += said;
        }
        if (i) assert_non_null(strstr(l.notes.data, "--loss_type dpop"));
        json_decref(ledger);
        plumb_text_free(&l.notes);
    }
    assert_in_range(warned, 1, 11);
}

/* ---- passes over the pairs ---- */

static void count_passes(void *user, const char *unit, double done, double total)
{
    (void)total;
    ((listener *)user)->done += strcmp(unit, "pairs") == 0 && done == 1;
}

static void start_and_end(plumb_run_options *o)
{
    o->pace.ledger_steps = 100;
    o->pace.save_steps = 0;
}

static int64_t passes_of(const variant *v, const char *folder, void (*change)(plumb_run_options *o))
{
    listener l = {.at = -1};
    plumb_sink sink = {&l, keep_note, count_passes, ask};
    plumb_run_report report;
    check_ok(run_it(v, &(way){.folder = folder, .sink = &sink, .change = change}, &report));
    bool reused = l.notes.data && strstr(l.notes.data, "the reference's log-probs are taken from");
    if (reused) l.done += 100;
    plumb_text_free(&l.notes);
    return l.done;
}

static void keyed(plumb_run_options *o)
{
    start_and_end(o);
    o->reference_key = "one";
}

static void keyed_otherwise(plumb_run_options *o)
{
    start_and_end(o);
    o->reference_key = "other";
}

/* Leaves of a run in FOLDER only the reference's numbers. */
static const char *keep_reference_alone(const char *folder)
{
    const char *kept = new_folder("kept");
    char command[2200];
    snprintf(command, sizeof command, "mkdir '%s' && cp '%s/reference.jsonl' '%s'", kept, folder, kept);
    assert_int_equal(system(command), 0);
    return kept;
}

/* One pass for the reference, the start and the first evaluation where they are the same weights, and one at the end;
 * one more for a reference of its own. Numbers that are in the folder are used, under their key alone. */
static void no_pass_is_made_twice(void **state)
{
    (void)state;
    static const variant own = {.name = "own", .own_reference = true},
                         gated = {.name = "gated", .own_reference = true, .gate = "weight"}, other = {.name = "other"},
                         none = {.name = "none", .no_reference = true, .gate = "weight"},
                         tokens = {.name = "tokens", .own_reference = true, .ledger_tokens = 2};
    assert_int_equal(passes_of(&own, new_folder("passes"), start_and_end), 2);
    assert_int_equal(passes_of(&gated, new_folder("passes"), start_and_end), 2);
    assert_int_equal(passes_of(&none, new_folder("passes"), start_and_end), 2);
    assert_int_equal(passes_of(&other, new_folder("passes"), start_and_end), 3);
    const char *whole = new_folder("whole");
    static const variant *const cached[] = {&own, &tokens, &gated, &other};
    static const int64_t again[] = {1, 2, 1, 2};
    for (size_t i = 0; i < 4; i++) {
        whole = new_folder("whole");
        passes_of(cached[i], whole, keyed);
        const char *kept = keep_reference_alone(whole);
        assert_int_equal(passes_of(cached[i], kept, keyed), 100 + again[i]);
        check_same_run(cached[i], whole, kept, "with the reference's numbers");
    }
    assert_int_equal(passes_of(&other, keep_reference_alone(whole), keyed_otherwise), 3);
}

/* ---- the gate ---- */

static void check_weights(const char *text, const double *ln_ches, const double *want, size_t count, size_t kept)
{
    plumb_gate gate;
    plumb_example list[8] = {{.weight = 1}};
    plumb_examples e = {.list = list, .count = count};
    size_t got;
    double sum = 0;
    check_ok(plumb_gate_parse(text, &gate));
    check_ok(plumb_gate_apply(&gate, ln_ches, &e, &got));
    assert_int_equal(got, kept);
    for (size_t i = 0; i < count; i++) {
        sum += list[i].weight;
        if (fabs(list[i].weight - want[i]) > 1e-15)
            fail_msg("%s: pair %zu weighs %g, expected %g", text, i, list[i].weight, want[i]);
    }
    if (gate.kind == PLUMB_GATE_WEIGHT) assert_true(fabs(sum - (double)count) < 1e-12);
}

static void the_gate_takes_the_lowest(void **state)
{
    (void)state;
    const double some[5] = {3, -1, 2, -5, 0}, ties[5] = {1, 0, 1, 0, 1}, same[4] = {7, 7, 7, 7};
    check_weights("keep-lowest:2", some, (double[]){0, 1, 0, 1, 0}, 5, 2);
    check_weights("keep_lowest:60%", some, (double[]){0, 1, 0, 1, 1}, 5, 3);
    check_weights("keep-lowest:41%", some, (double[]){0, 1, 0, 1, 1}, 5, 3); /* rounded up */
    check_weights("keep-lowest:1%", some, (double[]){0, 0, 0, 1, 0}, 5, 1);
    check_weights("keep-lowest:100", some, (double[]){1, 1, 1, 1, 1}, 5, 5);
    check_weights("keep-lowest:3", ties, (double[]){1, 1, 0, 1, 0}, 5, 3);
    check_weights("weight", some, (double[]){0, 1.5, 0.5, 2, 1}, 5, 4);
    check_weights("weight", ties, (double[]){1, 2, 0.5, 1.5, 0}, 5, 4);
    check_weights("weight", same, (double[]){2, 4.0 / 3, 2.0 / 3, 0}, 4, 3);
    check_weights("weight", some, (double[]){1}, 1, 1);
    plumb_gate gate;
    plumb_examples e = {.list = &(plumb_example){.weight = 1}, .count = 1};
    size_t kept;
    check_ok(plumb_gate_parse("none", &gate));
    assert_int_equal(gate.kind, PLUMB_GATE_NONE);
    check_ok(plumb_gate_parse("keep-lowest:0", &gate));
    assert_says(plumb_gate_apply(&gate, some, &e, &kept), PLUMB_E_INPUT, "leaves no pair");
    assert_says(plumb_gate_parse("keep-highest:5%", &gate), PLUMB_E_INPUT, "\"keep-highest:5%\" is no gate");
    assert_says(plumb_gate_parse("keep-lowest:many", &gate), PLUMB_E_INPUT, "--ches_gate");
}

static double ledger_value(const json_t *rows, size_t step, size_t pair, const char *key)
{
    return real_of(json_array_get(rows, step * PAIRS + pair), key);
}

/* Of each evaluation's rows the weights are those of its ln_ches; they change where a refresh came between, and there
 * alone. */
static void check_gated(const char *text, const json_t *rows, size_t evaluations, const bool *changes)
{
    plumb_gate gate;
    plumb_example list[PAIRS] = {{.weight = 1}};
    plumb_examples e = {.list = list, .count = PAIRS};
    size_t kept;
    check_ok(plumb_gate_parse(text, &gate));
    for (size_t s = 0; s < evaluations; s++) {
        double ln_ches[PAIRS];
        bool changed = false;
        for (size_t k = 0; k < PAIRS; k++) ln_ches[k] = ledger_value(rows, s, k, "ln_ches");
        check_ok(plumb_gate_apply(&gate, ln_ches, &e, &kept));
        for (size_t k = 0; k < PAIRS; k++) {
            assert_true(fabs(ledger_value(rows, s, k, "weight") - list[k].weight) < 1e-8);
            changed |= s > 0 && ln_ches[k] != ledger_value(rows, s - 1, k, "ln_ches");
        }
        if (s > 0 && changed != changes[s]) fail_msg("%s: evaluation %zu: ln_ches changed: %d", text, s, changed);
    }
}

static void gate_and_ledger_agree(void **state)
{
    (void)state;
    static const bool never[7] = {0}, after_two_and_four[7] = {0, 0, 0, 1, 0, 1, 0};
    static const variant gated[] = {
        {.name = "kept", .gate = "keep-lowest:50%"},
        {.name = "kept, refreshed", .gate = "keep-lowest:50%", .refresh = 2},
        {.name = "weighted", .gate = "weight", .own_reference = true},
        {.name = "weighted, refreshed", .gate = "weight", .refresh = 2, .own_reference = true},
    };
    for (size_t i = 0; i < sizeof gated / sizeof *gated; i++) {
        const char *folder = new_folder("gated");
        plumb_run_report report;
        check_ok(run_it(&gated[i], &(way){.folder = folder, .change = log_each_step}, &report));
        bool weighted = gated[i].own_reference;
        assert_int_equal(report.steps, weighted ? 6 : 4); /* 3 pairs in batches of 1, two a step, twice */
        assert_int_equal(report.kept, weighted ? PAIRS : PAIRS / 2);
        json_t *rows = load_jsonl(folder, "ledger.jsonl");
        size_t evaluations = json_array_size(rows) / PAIRS;
        assert_int_equal(evaluations, report.steps + 1);
        check_gated(gated[i].gate, rows, evaluations, gated[i].refresh ? after_two_and_four : never);
        json_decref(rows);
    }
}

/* ln_ches is the scorer's, under the reference; without one under the model at the start. */
static plumb_status compare_ln_ches(void *user, size_t i, const plumb_score *score)
{
    double got = ledger_value(user, 0, i, "ln_ches");
    if (fabs(got - score->ln_ches) > 1e-8 * fabs(score->ln_ches))
        fail_msg("pair %zu: ln_ches is %.9g, the scorer has %.9g", i, got, score->ln_ches);
    return PLUMB_OK;
}

static void the_gate_scores_with_the_reference(void **state)
{
    (void)state;
    static const variant gated[] = {{.name = "reference", .gate = "weight"},
                                    {.name = "start", .gate = "weight", .no_reference = true}};
    for (size_t i = 0; i < 2; i++) {
        const char *folder = new_folder("scored");
        plumb_compute *c;
        plumb_model *m;
        plumb_examples e = read_pairs(PAIRS, 2);
        run_whole(&gated[i], &(way){.folder = folder});
        json_t *rows = load_jsonl(folder, "ledger.jsonl");
        check_ok(plumb_compute_open(NULL, 1, &c));
        check_ok(plumb_model_open(oracle_path("models", i ? "policy-olmo" : "olmo"), c, &m));
        check_ok(plumb_examples_score(
            m, &e, &(plumb_examples_visit){.score = compare_ln_ches, .user = rows, .states = true}, NULL));
        json_decref(rows);
        plumb_examples_free(&e);
        plumb_model_close(m);
        plumb_compute_close(c);
    }
}

/* Pairs that the gate leaves out are not trained on: the run equals one over the others alone. */
static void what_the_gate_leaves_out_has_no_effect(void **state)
{
    (void)state;
    static const variant gated = {.name = "gated", .gate = "keep-lowest:3", .own_reference = true};
    const char *folder = new_folder("out"), *other = new_folder("others");
    plumb_run_report report;
    check_ok(run_it(&gated, &(way){.folder = folder}, &report));
    json_t *rows = load_jsonl(folder, "ledger.jsonl");
    plumb_compute *c;
    plumb_model *start;
    plumb_objective_options how = PLUMB_OBJECTIVE_DEFAULTS;
    plumb_objective objective;
    plumb_examples all = read_pairs(PAIRS, 2), kept = all;
    kept.list = calloc(PAIRS, sizeof *kept.list);
    assert_non_null(kept.list);
    kept.count = 0;
    for (size_t k = 0; k < PAIRS; k++)
        if (ledger_value(rows, 0, k, "weight") > 0) kept.list[kept.count++] = all.list[k];
    assert_int_equal(kept.count, 3);
    check_ok(plumb_objective_make(&how, &objective));
    check_ok(plumb_compute_open(NULL, 1, &c));
    check_ok(plumb_model_open(oracle_path("models", "olmo"), c, &start));
    plumb_run_options o = options_of(&plain, &(way){.folder = other}, &objective);
    check_ok(plumb_run(&o, start, start, &kept, &report));
    check_same_file(folder, other, "model.safetensors", "the gate");
    check_same_file(folder, other, "metrics.jsonl", "the gate");
    json_decref(rows);
    free(kept.list);
    plumb_examples_free(&all);
    plumb_model_close(start);
    plumb_compute_close(c);
}

/* ---- divergence ---- */

static void diverge(plumb_run_options *o)
{
    o->pace.learning_rate = 1e30;
    o->pace.lr_scheduler_type = "constant";
    save_two(o);
    o->pace.save_total_limit = 1;
    o->pace.ledger_steps = 100;
}

/* Whatever notices first, the message says where the last good weights are, and they are there. */
static void diverged_weights_are_no_result(void **state)
{
    (void)state;
    static const variant trained[] = {{.name = "pairs", .own_reference = true}, {.name = "SFT", .sft = true}};
    for (size_t i = 0; i < 2; i++) {
        const char *folder = new_folder("diverged");
        plumb_run_report report;
        assert_says(run_it(&trained[i], &(way){.folder = folder, .change = diverge}, &report), PLUMB_E_DIVERGED,
                    "no checkpoint was written before");
        assert_false(is_there(in_folder(folder, "model.safetensors")));
    }
}

static void warm_then_diverge(plumb_run_options *o)
{
    diverge(o);
    o->pace.learning_rate = 1e25;
    o->pace.lr_scheduler_type = "constant_with_warmup";
    o->pace.warmup_steps = 1; /* the first step has a rate of 0 */
}

static void the_last_good_checkpoint_stays(void **state)
{
    (void)state;
    const char *folder = new_folder("diverged");
    plumb_run_report report;
    plumb_status s = run_it(&plain, &(way){.folder = folder, .change = warm_then_diverge}, &report);
    assert_non_null(strstr(plumb_status_message(s), "step 3: the loss is"));
    assert_non_null(strstr(plumb_status_message(s), "in the batch of rows "));
    assert_says(s, PLUMB_E_DIVERGED, "checkpoint-1 is the last good checkpoint");
    assert_true(is_there(in_folder(folder, "checkpoint-1/masters.safetensors")));
}

static void end_in_divergence(plumb_run_options *o)
{
    diverge(o);
    o->order.epochs = 0;
    o->order.max_steps = 1;
    o->pace.save_steps = 0;
}

static void end_in_infinity(plumb_run_options *o)
{
    end_in_divergence(o);
    o->pace.learning_rate = 1e39; /* beyond fp32 */
}

static void a_diverged_end_is_noticed(void **state)
{
    (void)state;
    plumb_run_report report;
    const char *folder = new_folder("diverged");
    assert_says(run_it(&plain, &(way){.folder = folder, .change = end_in_divergence}, &report), PLUMB_E_DIVERGED,
                "after step 1: ");
    assert_false(is_there(in_folder(folder, "model.safetensors")));
    static const variant later = {.name = "later rows", .own_reference = true, .first_row = 1000};
    assert_says(run_it(&later, &(way){.folder = new_folder("diverged"), .change = end_in_divergence}, &report),
                PLUMB_E_DIVERGED, "after step 1: row 1000: "); /* the file's row */
    static const variant sft = {.name = "SFT", .sft = true};   /* has no ledger that would notice */
    assert_says(run_it(&sft, &(way){.folder = new_folder("diverged"), .change = end_in_infinity}, &report),
                PLUMB_E_DIVERGED, "step 1: model.embed_tokens.weight holds a NaN or an infinity");
    assert_false(is_there(in_folder(folder, "model.safetensors")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interruptions_change_nothing),
        cmocka_unit_test(a_step_is_stopped_in_its_middle),
        cmocka_unit_test(a_run_may_go_step_by_step),
        cmocka_unit_test(threads_and_recomputation_change_nothing),
        cmocka_unit_test(the_oldest_checkpoints_go),
        cmocka_unit_test(a_run_goes_on_from_any_checkpoint),
        cmocka_unit_test(what_a_killed_run_leaves_is_no_trouble),
        cmocka_unit_test(a_folder_with_work_is_left_alone),
        cmocka_unit_test(the_ledger_is_written_when_it_is_due),
        cmocka_unit_test(rewards_begin_at_zero),
        cmocka_unit_test(metrics_agree_with_the_ledger),
        cmocka_unit_test(displacement_is_warned_of),
        cmocka_unit_test(no_pass_is_made_twice),
        cmocka_unit_test(the_gate_takes_the_lowest),
        cmocka_unit_test(gate_and_ledger_agree),
        cmocka_unit_test(the_gate_scores_with_the_reference),
        cmocka_unit_test(what_the_gate_leaves_out_has_no_effect),
        cmocka_unit_test(diverged_weights_are_no_result),
        cmocka_unit_test(the_last_good_checkpoint_stays),
        cmocka_unit_test(a_diverged_end_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
