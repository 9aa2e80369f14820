/* The options of plumb dpo, sft, reward and kto: defaults against TRL's, the tables against the library and
 * docs/config.md, command line against config file, checks, twins of the positionals. */
#include <math.h>

#include "cli/train_options.h"
#include "cli/trl_keys.h"
#include "io/json.h"
#include "io/yaml.h"
#include "support.h"
#include "train/schedule.h"

#define USAGE(command)                                                                                                 \
    {                                                                                                                  \
        .name = command, .summary = "", .description = "", .options = plumb_train_options,                             \
        .option_count = PLUMB_TRAIN_OPTIONS, .positionals = plumb_train_positionals,                                   \
        .positional_count = PLUMB_TRAIN_POSITIONALS, .foreign = plumb_trl_keys                                         \
    }
static const plumb_usage dpo_usage = USAGE("dpo"), sft_usage = USAGE("sft"), reward_usage = USAGE("reward"),
                         kto_usage = USAGE("kto");
static const char *const commands[] = {"dpo", "sft", "reward", "kto", "rloo", "grpo", "ppo"};
enum { COMMANDS = sizeof commands / sizeof *commands };

#define POLICY_USAGE(word)                                                                                             \
    {                                                                                                                  \
        .name = word, .summary = "", .description = "", .options = plumb_train_options,                                \
        .option_count = PLUMB_TRAIN_OPTIONS, .positionals = plumb_policy_positionals,                                  \
        .positional_count = PLUMB_TRAIN_POSITIONALS, .foreign = plumb_trl_keys,                                        \
    }
static const plumb_usage policy_usages[] = {POLICY_USAGE("rloo"), POLICY_USAGE("grpo"), POLICY_USAGE("ppo")};
enum { POLICY_USAGES = sizeof policy_usages / sizeof *policy_usages };

/* The place of the usage among them, which is its method; -1: another one. */
static int policy_method(const plumb_usage *usage)
{
    for (int i = 0; i < POLICY_USAGES; i++)
        if (usage == &policy_usages[i]) return i;
    return -1;
}

/* ---- parsing ---- */

static const char *config; /* the text of c.yaml */

static plumb_status read_config(const char *path, plumb_settings *out)
{
    return plumb_yaml_parse(config, strlen(config), path, out);
}

typedef struct parsed {
    plumb_options *o;
    plumb_dpo_values dpo;
    plumb_sft_values sft;
    plumb_policy_values policy;
    plumb_reward_values reward;
    plumb_kto_values kto;
    plumb_objective objective;
    plumb_text notes;
} parsed;

static void keep_note(void *user, const char *text)
{
    parsed *p = user;
    check_ok(plumb_text_printf(&p->notes, "%s\n", text));
}

enum { MOST_WORDS = 32 };

/* Parses a line whose words are separated by spaces, with `file` as the config file (NULL: none), and checks it. */
static plumb_status try_line(const plumb_usage *usage, const char *line, const char *file, parsed *p)
{
    static char buffer[1024];
    char *argv[MOST_WORDS];
    int argc = 0;
    int method = policy_method(usage);
    memset(p, 0, sizeof *p);
    config = file;
    snprintf(buffer, sizeof buffer, "%s%s %s", usage->name, file ? " --config c.yaml" : "", line);
    for (char *save = NULL, *word = strtok_r(buffer, " ", &save); word; word = strtok_r(NULL, " ", &save))
        argv[argc++] = word;
    plumb_sink sink = {.user = p, .note = keep_note};
    void *values = method >= 0           ? (void *)&p->policy
                   : usage == &dpo_usage ? (void *)&p->dpo
                   : usage == &sft_usage ? (void *)&p->sft
                   : usage == &kto_usage ? (void *)&p->kto
                                         : (void *)&p->reward;
    PLUMB_TRY(plumb_options_parse(usage, read_config, argc, argv, values, &p->o));
    PLUMB_TRY(plumb_options_notes(p->o, &sink));
    if (method >= 0) return plumb_policy_check(p->o, &p->policy, (plumb_policy_method)method, &sink);
    if (usage == &dpo_usage) return plumb_dpo_check(p->o, &p->dpo, &sink, &p->objective);
    if (usage == &sft_usage) return plumb_sft_check(p->o, &p->sft, &sink);
    return usage == &kto_usage ? plumb_kto_check(p->o, &p->kto, &sink) : plumb_reward_check(p->o, &p->reward, &sink);
}

static void done(parsed *p)
{
    plumb_options_free(p->o);
    plumb_text_free(&p->notes);
}

static void parse_at(const plumb_usage *usage, const char *line, const char *file, parsed *p, int where)
{
    plumb_status s = try_line(usage, line, file, p);
    if (s) print_error("%s | %s\n", line, file ? file : "");
    check_ok_at(s, __FILE__, where);
}
#define parse_dpo(line, file, p) parse_at(&dpo_usage, line, file, p, __LINE__)
#define parse_sft(line, file, p) parse_at(&sft_usage, line, file, p, __LINE__)

typedef struct bad_case {
    const char *line, *file, *message;
} bad_case;

static void expect_errors(const plumb_usage *usage, const bad_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        parsed p;
        plumb_status s = try_line(usage, cases[i].line, cases[i].file, &p);
        if (!s) print_error("no error: %s | %s\n", cases[i].line, cases[i].file ? cases[i].file : "");
        check_error_at(s, PLUMB_E_INPUT, cases[i].message, __FILE__, __LINE__);
        done(&p);
    }
}

/* ---- the tables ---- */

static bool in_words(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = words; p && *p; p += strcspn(p, "|"), p += *p == '|')
        if (strcspn(p, "|") == n && strncmp(p, word, n) == 0) return true;
    return false;
}

static bool belongs(const char *only, const char *command)
{
    return !only || in_words(only, command);
}

static const plumb_option *find_row(const char *command, const char *name)
{
    for (size_t i = 0; i < PLUMB_TRAIN_OPTIONS; i++) {
        const plumb_option *row = &plumb_train_options[i];
        bool named = strcmp(row->name, name) == 0 || (row->alias && strcmp(row->alias, name) == 0);
        if (named && belongs(row->only, command)) return row;
    }
    return NULL;
}

static size_t count_names(const char *command, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < PLUMB_TRAIN_OPTIONS; i++) {
        const plumb_option *row = &plumb_train_options[i];
        if (!belongs(row->only, command)) continue;
        const char *spelled = strchr(row->name, '-') ? "dry_run" : row->name;
        count += strcmp(spelled, name) == 0 || (row->alias && strcmp(row->alias, name) == 0);
    }
    for (const plumb_foreign_option *f = plumb_trl_keys; f->name; f++)
        count += belongs(f->only, command) && strcmp(f->name, name) == 0;
    return count;
}

/* A name means one thing to a command, and every row is complete. */
static void rows_are_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < PLUMB_TRAIN_OPTIONS; i++) {
        const plumb_option *row = &plumb_train_options[i];
        assert_non_null(row->name);
        assert_non_null(row->help);
        for (int c = 0; c < COMMANDS; c++)
            if (belongs(row->only, commands[c]) && strcmp(row->name, "dry-run") != 0 &&
                count_names(commands[c], row->name) != 1)
                fail_msg("%s: %s stands %zu times", commands[c], row->name, count_names(commands[c], row->name));
    }
    for (const plumb_foreign_option *f = plumb_trl_keys; f->name; f++) {
        assert_non_null(f->reason);
        for (int c = 0; c < COMMANDS; c++)
            if (belongs(f->only, commands[c]) && count_names(commands[c], f->name) != 1)
                fail_msg("%s: %s stands %zu times", commands[c], f->name, count_names(commands[c], f->name));
    }
}

/* A default of TRL as the text of a row or of a config file. */
static const char *as_text(const json_t *value, char *buffer, size_t room)
{
    if (json_is_array(value)) value = json_array_size(value) ? json_array_get(value, 0) : json_null();
    if (json_is_null(value)) return NULL;
    if (json_is_string(value)) return json_string_value(value);
    if (json_is_boolean(value)) return json_is_true(value) ? "true" : "false";
    snprintf(buffer, room, "%.17g", json_number_value(value));
    return buffer;
}

static bool same_default(const plumb_option *row, const char *text)
{
    const char *ours = row->kind == PLUMB_OPTION_FLAG && !row->fallback && text ? "false" : row->fallback;
    if (!ours || !text) return ours == text;
    char *end;
    double x = strtod(ours, &end);
    return *end || !*ours ? strcmp(ours, text) == 0 : x == strtod(text, NULL);
}

/* Every option of TRL is known, with TRL's default. */
static void compare_defaults(const plumb_usage *usage, const json_t *defaults)
{
    const char *key;
    json_t *value;
    assert_true(json_object_size(defaults) > 140);
    json_object_foreach((json_t *)defaults, key, value)
    {
        char number[40], file[256];
        const char *text = as_text(value, number, sizeof number);
        const plumb_option *row = find_row(usage->name, key);
        /* The one default that differs: TRL's 0.05 is not possible. */
        if (row && strcmp(key, "lora_dropout") == 0) continue;
        if (row && !same_default(row, text))
            fail_msg("%s: %s is %s, in TRL %s", usage->name, key, row->fallback, text ? text : "None");
        if (row) continue;
        /* Of the others the default asks for nothing: neither error nor note. */
        parsed p;
        snprintf(file, sizeof file, "%s: %s\n", key, !text ? "null" : *text ? text : "''");
        parse_at(usage, "m d -o r", file, &p, __LINE__);
        if (p.notes.size) fail_msg("%s: %s: %s", usage->name, key, p.notes.data);
        done(&p);
    }
}

static void defaults_are_those_of_trl(void **state)
{
    json_t *all = NULL;
    (void)state;
    check_ok(plumb_json_load(PLUMB_TEST_DATA "/trl_defaults.json", 1 << 20, &all));
    compare_defaults(&dpo_usage, json_object_get(all, "dpo"));
    compare_defaults(&sft_usage, json_object_get(all, "sft"));
    compare_defaults(&policy_usages[0], json_object_get(all, "rloo"));
    compare_defaults(&policy_usages[1], json_object_get(all, "grpo"));
    compare_defaults(&reward_usage, json_object_get(all, "reward"));
    compare_defaults(&kto_usage, json_object_get(all, "kto"));
    json_decref(all);
}

/* What the library knows is what can be asked for. */
static void choices_are_those_of_the_library(void **state)
{
    size_t count;
    plumb_text words = {0};
    (void)state;
    const plumb_loss *losses = plumb_losses(&count);
    for (size_t i = 0; i < count; i++) check_ok(plumb_text_printf(&words, "%s%s", i ? "|" : "", losses[i].name));
    assert_string_equal(find_row("dpo", "loss_type")->choices, words.data);
    plumb_text_clear(&words);
    for (int i = 0; i < PLUMB_DIVERGENCES; i++)
        check_ok(plumb_text_printf(&words, "%s%s", i ? "|" : "", plumb_divergence_name((plumb_divergence)i)));
    assert_string_equal(find_row("dpo", "f_divergence_type")->choices, words.data);
    plumb_text_free(&words);
    const plumb_optimizer_kind *optimizers = plumb_optimizer_kinds(&count);
    for (size_t i = 0; i < count; i++) {
        assert_true(in_words(find_row("dpo", "optim")->choices, optimizers[i].name));
        assert_true(!optimizers[i].alias || in_words(find_row("dpo", "optim")->choices, optimizers[i].alias));
    }
    const plumb_schedule_kind *schedules = plumb_schedule_kinds(&count);
    for (size_t i = 0; i < count; i++)
        assert_true(in_words(find_row("sft", "lr_scheduler_type")->choices, schedules[i].name));
}

/* Each parameter of a loss is an option whose default is the loss's. beta and label_smoothing are shared by losses with
 * different ones; their rows have TRL's. */
static void parameters_are_those_of_the_losses(void **state)
{
    size_t count;
    (void)state;
    const plumb_loss *losses = plumb_losses(&count);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < PLUMB_LOSS_PARAMETERS && losses[i].parameters[k].name; k++) {
            const plumb_loss_parameter *of = &losses[i].parameters[k];
            const plumb_option *row = find_row("dpo", of->name);
            if (!row) fail_msg("%s of %s is no option", of->name, losses[i].name);
            if (strcmp(of->name, "beta") == 0 || strcmp(of->name, "label_smoothing") == 0) continue;
            assert_int_equal(isnan(of->fallback), row->fallback == NULL);
            if (row->fallback) assert_true(strtod(row->fallback, NULL) == of->fallback);
        }
}

/* ---- config files ---- */

static void files_and_lines_mean_the_same(void **state)
{
    parsed p, q;
    json_t *a = NULL, *b = NULL;
    (void)state;
    parse_dpo("m.d d.jsonl -o run --loss_type sigmoid sft --loss-weights 1 0.1 --learning_rate 5e-7 --max_length none "
              "--lora_target_modules q_proj v_proj --use_peft --seed 16 --ld_alpha 0.5 --range 1:30",
              NULL, &p);
    parse_dpo("",
              "model_name_or_path: m.d\ndataset_name: d.jsonl\noutput_dir: run\nloss_type:\n- sigmoid\n- sft\n"
              "loss_weights: [1, 0.1]\nlearning-rate: 5e-7\nmax_length: null\nlora_target_modules: [q_proj, v_proj]\n"
              "use_peft: yes\nseed: 0x10\nld_alpha: .5\nrange: 1:30\n",
              &q);
    check_ok(plumb_options_json(p.o, &a));
    check_ok(plumb_options_json(q.o, &b));
    assert_true(json_equal(json_object_get(a, "options"), json_object_get(b, "options")));
    assert_string_equal(json_string_value(json_object_get(json_object_get(b, "sources"), "learning_rate")), "file");
    assert_string_equal(json_string_value(json_object_get(json_object_get(b, "run"), "config")), "c.yaml");
    assert_null(json_object_get(json_object_get(a, "run"), "config"));
    assert_string_equal(q.dpo.train.model.items[0], "m.d");
    assert_string_equal(q.dpo.train.data.items[0], "d.jsonl");
    assert_string_equal(q.dpo.train.common.output, "run");
    assert_int_equal(q.dpo.train.max_length, 0);
    assert_int_equal(q.dpo.train.data_seed, 16);
    assert_int_equal(q.dpo.train.common.range.end, 30);
    assert_int_equal(q.objective.count, 2);
    assert_true(q.objective.terms[1].weight == 0.1 && q.objective.ld_alpha == 0.5);
    json_decref(a);
    json_decref(b);
    done(&p);
    done(&q);
}

static void precedence(void **state)
{
    parsed p;
    plumb_text label = {0};
    (void)state;
    setenv("PLUMB_BETA", "0.3", 1);
    setenv("PLUMB_MAX_STEPS", "3", 1);
    parse_dpo("m d -o r --beta 0.4 --ld_alpha none", "beta: 0.2\nmax_steps: 2\nweight_decay: 0.5\nld_alpha: 0.5\n", &p);
    assert_true(p.dpo.beta == 0.4);
    assert_int_equal(p.dpo.train.max_steps, 3);
    assert_true(p.dpo.train.weight_decay == 0.5);
    assert_false(plumb_options_given(p.o, "ld_alpha"));
    assert_true(p.objective.ld_alpha == 1);
    assert_int_equal(plumb_options_source(p.o, "weight_decay"), PLUMB_FROM_FILE);
    check_ok(plumb_options_label(p.o, "weight_decay", &label));
    assert_string_equal(label.data, "c.yaml:3: weight_decay");
    plumb_text_free(&label);
    done(&p);
    unsetenv("PLUMB_BETA");
    unsetenv("PLUMB_MAX_STEPS");
}

static void twins(void **state)
{
    static const struct {
        const char *line, *file, *model, *data;
    } cases[] = {
        {"a b", NULL, "a", "b"},
        {"--model_name_or_path a b", NULL, "a", "b"},
        {"a --dataset_name b", NULL, "a", "b"},
        {"--dataset_name b --model_name_or_path a", NULL, "a", "b"},
        {"a b --dataset_name b", NULL, "a", "b"},
        {"b", "model_name_or_path: a\n", "a", "b"},
        {"a", "dataset_name: b\n", "a", "b"},
        {"a b", "model_name_or_path: x\ndataset_name: y\n", "a", "b"},
        {"--model_name_or_path a", "model_name_or_path: x\ndataset_name: b\n", "a", "b"},
    };
    static const bad_case bad[] = {
        {"-o r a", NULL, "DATA is missing"},
        {"-o r", "dataset_name: b\n", "MODEL is missing"},
        {"-o r c", "model_name_or_path: a\ndataset_name: b\n", "\"c\": one argument too many"},
        {"-o r a b --dataset_name c", NULL, "DATA is \"b\", but --dataset_name is \"c\""},
        {"-o r a b c", NULL, "\"c\": one argument too many"},
        {"-o r --output_dir s a b", NULL, "--output and --output_dir are two names of one option"},
        {"a b", "output: r\noutput_dir: r\n", "c.yaml:2: \"output_dir\" and \"output\" (line 1) are two names"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        parsed p;
        char line[128];
        snprintf(line, sizeof line, "-o r %s", cases[i].line);
        parse_dpo(line, cases[i].file, &p);
        assert_int_equal(p.dpo.train.model.count, 1);
        assert_string_equal(p.dpo.train.model.items[0], cases[i].model);
        assert_string_equal(p.dpo.train.model_name_or_path, cases[i].model);
        assert_string_equal(p.dpo.train.data.items[0], cases[i].data);
        assert_string_equal(p.dpo.train.dataset_name, cases[i].data);
        done(&p);
    }
    expect_errors(&dpo_usage, bad, sizeof bad / sizeof *bad);
    parsed p;
    parse_dpo("-o r --output_dir r a b", NULL, &p);
    done(&p);
}

static void bad_files(void **state)
{
    static const bad_case dpo[] = {
        {"m d -o r", "beta: 1\nlearning_rat: 1\n", "c.yaml:2: \"learning_rat\" is not an option of plumb dpo"},
        {"m d -o r", "learning_rat: 1\n", "did you mean learning_rate?"},
        {"m d -o r", "load_in_4bits: true\n", "did you mean load_in_4bit?"},
        {"m d -o r", "\n\nbeta: much\n", "c.yaml:3: beta: \"much\" is not a number"},
        {"m d -o r", "beta: [0.1, 0.2]\n", "c.yaml:1: beta: holds a list; expected one value"},
        {"m d -o r", "beta: {a: 1}\n", "c.yaml:1: beta: holds a mapping or lists; expected one value"},
        {"m d -o r", "loss_type: [[sft]]\n", "c.yaml:1: loss_type: holds a mapping or lists"},
        {"m d -o r", "loss_type: []\n", "c.yaml:1: loss_type: holds no value"},
        {"m d -o r", "loss_type: [sft, ~]\n", "c.yaml:1: loss_type: an item of the list is empty"},
        {"m d -o r", "loss_type: [sft, dpo]\n", "c.yaml:1: loss_type: \"dpo\" is none of sigmoid"},
        {"m d -o r", "loss_weights: [1, x]\n", "c.yaml:1: loss_weights: \"x\" is not a number"},
        {"m d -o r", "seed: 1.5\n", "c.yaml:1: seed: \"1.5\" is not a whole number"},
        {"m d -o r", "use_weighting: maybe\n", "c.yaml:1: use_weighting: \"maybe\" is not true or false"},
        {"m d -o r", "optim: adafactor\n", "c.yaml:1: optim: \"adafactor\" is none of adamw_torch_fused"},
        {"m d -o r", "train_sampling_strategy: group_by_length\n", "is none of random, sequential"},
        {"m d -o r", "completion_only_loss: true\n", "\"completion_only_loss\" is not an option of plumb dpo"},
        {"m d -o r", "logging_steps: 1.5\n", "c.yaml:1: logging_steps: 1.5 is neither a whole number of steps"},
    };
    static const bad_case sft[] = {
        {"m d -o r", "beta: 0.1\n", "c.yaml:1: \"beta\" is not an option of plumb sft"},
        {"m d -o r", "loss_type: dft\n", "c.yaml:1: loss_type: not supported: plumb sft minimises"},
        {"m d -o r", "label_smoothing_factor: 0.1\n", "c.yaml:1: label_smoothing_factor: not supported"},
        {"m d -o r --packing", "max_length: null\n", "--packing: needs a max_length"},
    };
    (void)state;
    expect_errors(&dpo_usage, dpo, sizeof dpo / sizeof *dpo);
    static const bad_case reward[] = {
        {"m d -o r", "use_peft: true\nlora_modules_to_save: [score, q_proj]\n",
         "c.yaml:2: lora_modules_to_save: not supported"},
        {"m d -o r", "lora_task_type: TOKEN_CLS\n",
         "c.yaml:1: lora_task_type: not supported: the head of a reward model"},
        {"m d -o r", "implicit_prompt: word\n", "\"implicit_prompt\" is not an option of plumb reward"},
        {"m d -o r --center_rewards_coefficient -1", NULL, "--center_rewards_coefficient: -1 is less than 0"},
        {"m d", NULL, "the run folder is missing"},
    };
    static const bad_case kto[] = {
        {"m d -o r --train_sampling_strategy random", NULL, "rows must come in their order"},
        {"m d -o r", "per_device_train_batch_size: 1\n", "a batch of 1 has none"},
        {"m d -o r --loss_type sigmoid", NULL, "\"sigmoid\" is none of kto, apo_zero_unpaired"},
        {"m d -o r --sync_ref_model --precompute_ref_log_probs", NULL, "does not go with precompute_ref_log_probs"},
    };
    expect_errors(&sft_usage, sft, sizeof sft / sizeof *sft);
    expect_errors(&reward_usage, reward, sizeof reward / sizeof *reward);
    expect_errors(&kto_usage, kto, sizeof kto / sizeof *kto);
}

static void values_of_reward_and_kto(void **state)
{
    parsed p;
    (void)state;
    parse_at(&reward_usage, "m d -o r --pad_token <pad> --center_rewards_coefficient 0.01", NULL, &p, __LINE__);
    assert_string_equal(p.reward.pad_token, "<pad>");
    assert_true(p.reward.center_rewards_coefficient == 0.01 && p.reward.train.learning_rate == 1e-4);
    assert_int_equal(p.reward.train.train_sampling_strategy, 0);
    done(&p);
    parse_at(&reward_usage, "m d -o r", "center_rewards_coefficient: null\n", &p, __LINE__);
    assert_true(p.reward.center_rewards_coefficient == 0 && !p.reward.pad_token);
    done(&p);
    parse_at(&kto_usage, "m d -o r --undesirable_weight 1.33 --label_key good", NULL, &p, __LINE__);
    assert_true(p.kto.loss.beta == 0.1 && p.kto.loss.desirable_weight == 1 && p.kto.loss.undesirable_weight == 1.33);
    assert_int_equal(p.kto.loss.loss_type, PLUMB_KTO);
    assert_int_equal(p.kto.train.train_sampling_strategy, 1);
    assert_string_equal(p.kto.label_key, "good");
    done(&p);
    parse_at(&kto_usage, "m d -o r --loss_type apo_zero_unpaired --train_sampling_strategy random",
             "per_device_train_batch_size: 1\n", &p, __LINE__);
    assert_int_equal(p.kto.loss.loss_type, PLUMB_APO_ZERO_UNPAIRED);
    done(&p);
}

/* ---- options of TRL without a row ---- */

static void refused(void **state)
{
    static const bad_case cases[] = {
        {"m d -o r --load_in_4bit", NULL, "--load_in_4bit: not supported: weights are trained as they are"},
        {"m d -o r --load-in-4bit true", NULL, "leave it out, or set it to false"},
        {"m d -o r --load_in_4bit=1", NULL, "not supported"},
        {"m d -o r", "load_in_4bit: on\n", "c.yaml:1: load_in_4bit: not supported"},
        {"m d -o r", "load_in_4bit: perhaps\n", "perhaps is not true or false"},
        {"m d -o r --deepspeed z3.json", NULL, "--deepspeed: not supported: a run is one process"},
        {"m d -o r", "deepspeed: {stage: 3}\n", "c.yaml:1: deepspeed: not supported"},
        {"m d -o r", "fsdp: [full_shard, auto_wrap]\n", "c.yaml:1: fsdp: not supported"},
        {"m d -o r", "neftune_noise_alpha: 5\n", "c.yaml:1: neftune_noise_alpha: not supported"},
        {"m d -o r", "packing: true\n", "c.yaml:1: packing: not supported"},
        {"m d -o r --no_disable_dropout", NULL, "--no_disable_dropout: not supported"},
        {"m d -o r --max_prompt_length 512", NULL, "TRL 1.16 does not know it either"},
        {"m d -o r", "datasets:\n- path: a\n- path: b\n", "c.yaml:1: datasets: not supported"},
        {"m d -o r --deepspeed", NULL, "--deepspeed: a value is missing"},
        {"m d -o r --report_too none", NULL, "did you mean --report_to?"},
        {"m d -o r --bf16=maybe", NULL, "--bf16: maybe is not true or false"},
    };
    (void)state;
    expect_errors(&dpo_usage, cases, sizeof cases / sizeof *cases);
}

static void noted(void **state)
{
    parsed p;
    (void)state;
    parse_dpo("--bf16 --tf32 true --report_to wandb tensorboard -o r --no_push_to_hub --attn_implementation sdpa m d",
              NULL, &p);
    assert_string_equal(p.notes.data,
                        "bf16, tf32: no effect here: arithmetic is float32 whatever they say\n"
                        "attn_implementation: no effect here: plumb has kernels of its own\n"
                        "report_to: no effect here: metrics go to metrics.jsonl and ledger.jsonl in the run folder\n");
    done(&p);
    parse_dpo("m d -o r",
              "bf16: true\ngradient_checkpointing_kwargs:\n  use_reentrant: false\nreport_to: []\nload_in_4bit: false\n"
              "deepspeed: ~\nneftune_noise_alpha: 0.0\neval_strategy: no\nhub_model_id: null\ndisable_dropout: True\n"
              "fsdp: ''\npacking: no\n",
              &p);
    assert_string_equal(p.notes.data,
                        "bf16: no effect here: arithmetic is float32 whatever they say\n"
                        "gradient_checkpointing_kwargs: no effect here: the memory plan decides what is kept and what "
                        "is computed again; results are the same\n");
    done(&p);
    parse_sft("m d -o r", "packing: true\nlabel_smoothing_factor: 0\nloss_type: nll\ncompletion_only_loss: no\n", &p);
    assert_int_equal(p.notes.size, 0);
    assert_true(p.sft.packing && !p.sft.completion_only_loss && plumb_options_given(p.o, "completion_only_loss"));
    done(&p);
}

/* ---- checks ---- */

static void checks(void **state)
{
    static const bad_case cases[] = {
        {"m d", NULL, "the run folder is missing"},
        {"m d -o -", NULL, "--output: a run is a folder"},
        {"m d --output_dir -", NULL, "--output_dir: a run is a folder"},
        {"m d -o r --logging_steps 0", NULL, "--logging_steps: 0 is neither"},
        {"m d -o r --save_steps 2.5", NULL, "--save_steps: 2.5 is neither"},
        {"m d -o r --num_train_epochs 0", NULL, "--num_train_epochs: 0 epochs are no training"},
        {"m d -o r --optim_args momentum=0.9", NULL, "--optim: "},
        {"m d -o r --adam_beta1 1", NULL, "--optim: "},
        {"m d -o r --use_peft --lora_dropout 0.05", NULL, "--lora_dropout: only 0 is possible"},
        {"m d -o r --sync_ref_model --precompute_ref_log_probs", NULL, "does not go with precompute_ref_log_probs"},
        {"m d -o r --sync_ref_model --use_peft", NULL, "--sync_ref_model: does not go with use_peft"},
        {"m d -o r --resume_from_checkpoint s/checkpoint-8", NULL, "s/checkpoint-8 does not lie in the run folder"},
        {"m d -o r --resume_from_checkpoint r/", NULL, "does not lie in the run folder"},
        {"m d -o r --ches_gate lowest", NULL, "--ches_gate: "},
        {"m d -o r --ches_gate weight --loss_type aot", NULL, "a weight per pair does not go with loss_type aot"},
        {"m d -o r --loss_type sigmoid sft --loss_weights 1", NULL, "loss_weights: 1 numbers for 2 values"},
        {"m d -o r --loss_type exo_pair", NULL, "label_smoothing has no default for loss_type exo_pair"},
        {"m d -o r --loss_type alphapo", NULL, "alphapo_alpha has no default"},
        {"m d -o r --beta -1", NULL, "--beta: -1 is less than 0"},
        {"m d -o r --beta 0", NULL, "beta: 0 is not in (0"},
    };
    (void)state;
    expect_errors(&dpo_usage, cases, sizeof cases / sizeof *cases);
}

static void completed_values(void **state)
{
    parsed p;
    (void)state;
    parse_dpo("m d --dry_run -o r/ --data_seed 7 --resume_from_checkpoint r/checkpoint-8 --lora_dropout 0.05", NULL,
              &p);
    assert_int_equal(p.dpo.train.data_seed, 7);
    assert_true(p.dpo.train.common.resume && p.dpo.train.common.dry_run);
    assert_string_equal(p.notes.data, "--lora_dropout: no effect without --use_peft\n"
                                      "going on with the newest checkpoint of r/; the result is the same\n");
    done(&p);
    parse_dpo("m d -o r", "resume_from_checkpoint: true\n", &p);
    assert_true(p.dpo.train.common.resume);
    done(&p);
    parse_dpo("m d -o r", "resume_from_checkpoint: false\n", &p);
    assert_false(p.dpo.train.common.resume);
    done(&p);
}

static void objectives(void **state)
{
    parsed p;
    (void)state;
    parse_dpo("m d -o r", NULL, &p);
    assert_int_equal(p.objective.count, 1);
    assert_string_equal(p.objective.terms[0].loss->name, "sigmoid");
    assert_true(p.objective.terms[0].parameters[0] == 0.1 && !p.objective.pair_weights);
    done(&p);
    parse_dpo("m d -o r --loss_type simpo --dpop_lambda 3 --ref_model_sync_steps 5 --ches_refresh 4", NULL, &p);
    assert_true(p.dpo.beta == 2 && p.objective.terms[0].parameters[0] == 2);
    assert_string_equal(p.notes.data, "--ref_model_sync_steps: no effect without --sync_ref_model\n"
                                      "--ches_refresh: no effect without --ches_gate\n"
                                      "--dpop_lambda: no effect with this loss_type\n");
    done(&p);
    parse_dpo("m d -o r --loss_type dpop,sft --loss_weights 1,-0.5 --ches_gate weight --beta 0.2", NULL, &p);
    assert_true(p.objective.pair_weights && p.objective.terms[1].weight == -0.5);
    assert_true(p.objective.terms[0].parameters[1] == 50 && p.objective.terms[0].parameters[0] == 0.2);
    done(&p);
    parse_dpo("-o r --loss_type sigmoid sft --loss_weights 1 0.5 m d", NULL, &p);
    assert_string_equal(p.dpo.train.data.items[0], "d");
    done(&p);
}

static void optimizers(void **state)
{
    parsed p;
    plumb_optimizer o;
    (void)state;
    parse_sft("m d -o r --adam_beta2 0.95 --adam_epsilon 1e-6", NULL, &p);
    check_ok(plumb_train_optimizer(&p.sft.train, &o));
    assert_true(o.beta1 == 0.9 && o.beta2 == 0.95 && o.epsilon == 1e-6);
    assert_true(p.sft.train.learning_rate == 2e-5);
    done(&p);
    parse_sft("m d -o r --optim rmsprop --optim_args momentum=0.9,eps=1e-3", NULL, &p);
    check_ok(plumb_train_optimizer(&p.sft.train, &o));
    assert_true(o.momentum == 0.9 && o.epsilon == 1e-3);
    done(&p);
    assert_int_equal(plumb_train_every(10, 7), 10);
    assert_int_equal(plumb_train_every(0.1, 101), 11);
    assert_int_equal(plumb_train_every(0.001, 10), 1);
    assert_int_equal(plumb_train_every(1, 10), 1);
}

/* Groups stand under their headings, once each, and another command's rows do not show. */
static void help_has_groups(void **state)
{
    static const char *const parts[] = {"\nOptions:\n  -o, --output RUN",
                                        "also --output_dir; PLUMB_OUTPUT]\n",
                                        "      --config FILE",
                                        "\nModel and data:\n      --model_name_or_path MODEL",
                                        "\nReference model:\n",
                                        "\nLoss:\n      --loss_type NAME...",
                                        "\n      --loss_weights X...",
                                        "\nOptimisation:\n      --learning_rate X",
                                        "default: 1e-6; PLUMB_LEARNING_RATE]\n",
                                        "\nLoRA:\n",
                                        "\nLedger and gate:\n",
                                        "\nMetrics and checkpoints:\n"};
    static const char *const absent[] = {"--packing", "2e-5", "--text_key", "--bf16"};
    plumb_text help = {0};
    (void)state;
    check_ok(plumb_options_help(&dpo_usage, 80, &help));
    const char *at = help.data;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        at = strstr(at, parts[i]);
        if (!at) fail_msg("not in the help, or not in this order: %s\n%s", parts[i], help.data);
    }
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        if (strstr(help.data, absent[i])) fail_msg("in the help of dpo: %s", absent[i]);
    plumb_text_free(&help);
}

/* ---- rloo, grpo, ppo ---- */

static void policies(void **state)
{
    parsed p;
    (void)state;
    parse_at(&policy_usages[1],
             "m d -o r --reward rules --reward a,b --reward_weights 1 0.5 --epsilon 0.1 --generation_batch_size 32 "
             "--importance_sampling_level sequence --use_bias_correction_kl false --max_completion_length 7",
             NULL, &p, __LINE__);
    assert_int_equal(p.policy.reward.count, 2); /* a command may hold commas */
    assert_string_equal(p.policy.reward.items[1], "a,b");
    assert_int_equal(p.policy.reward_weights.count, 2);
    assert_true(p.policy.clip.epsilon_high == 0.1 && p.policy.clip.sequence_level);
    assert_false(p.policy.clip.bias_correction_kl);
    assert_true(p.policy.clip.max_completion_length == 7);
    assert_int_equal(p.policy.steps_per_generation, 4);
    assert_int_equal(p.policy.num_generations, 8);
    done(&p);
    parse_at(&policy_usages[0], "m d -o r --gradient_accumulation_steps 3 --reward_clip_range -1 1 --nthr_eta 0.5",
             NULL, &p, __LINE__);
    assert_int_equal(p.policy.steps_per_generation, 3);
    assert_true(p.policy.clip.beta == 0.05 && p.policy.shuffle_dataset);
    assert_non_null(strstr(p.notes.data, "--nthr_eta: no effect without --nthr"));
    done(&p);
    parse_at(&policy_usages[2], "m d -o r --max_completion_length 9 --kl_estimator k3 --whiten_advantages population",
             NULL, &p, __LINE__);
    assert_true(p.policy.ppo.kl_k3);
    assert_int_equal(p.policy.ppo.whiten_advantages, PLUMB_WHITEN_POPULATION);
    assert_int_equal(p.policy.max_completion_length, 9);
    done(&p);
}

static void bad_policies(void **state)
{
    static const bad_case rloo[] = {
        {"m d -o r --generation_batch_size 12", NULL, "--generation_batch_size: 12 is no multiple of"},
        {"m d -o r --generation_batch_size 16 --steps_per_generation 2", NULL, "both are given"},
        {"m d -o r --reward_clip_range 1", NULL, "--reward_clip_range: expected two numbers"},
        {"m d -o r --reward_clip_range 1 0", NULL, "--reward_clip_range: expected two numbers"},
        {"m d -o r --temperature 0", NULL, "--temperature: 0 draws the same completion always"},
        {"m d -o r --sync_ref_model --use_peft", NULL, "--sync_ref_model: does not go with use_peft"},
        {"m d -o r --repetition_penalty 1.2", NULL, "completions are drawn with"},
    };
    (void)state;
    expect_errors(&policy_usages[0], rloo, sizeof rloo / sizeof *rloo);
}

/* ---- docs/config.md ---- */

static void add_cell(plumb_text *t, const char *text)
{
    for (const char *p = text; *p; p++) check_ok(plumb_text_printf(t, *p == '|' ? "\\%c" : "%c", *p));
    check_ok(plumb_text_string(t, " |"));
}

static void add_default(plumb_text *t, const plumb_option *row)
{
    const char *text = row->fallback ? row->fallback : row->kind == PLUMB_OPTION_FLAG ? "false" : "";
    if (strcmp(row->name, "completion_only_loss") == 0) text = "";
    check_ok(plumb_text_printf(t, *text ? " `%s`" : "%s", text));
}

/* The commands that have a row: "dpo, kto", or all. */
static void add_commands(plumb_text *t, const char *only)
{
    for (const char *p = only ? only : "all"; *p; p++)
        check_ok(*p == '|' ? plumb_text_string(t, ", ") : plumb_text_append(t, p, 1));
    check_ok(plumb_text_string(t, " |"));
}

static void add_honoured(plumb_text *t)
{
    check_ok(plumb_text_string(t, "## Honoured\n\n| key | commands | default | what it does |\n|---|---|---|---|\n"));
    for (size_t i = 0; i < PLUMB_TRAIN_OPTIONS; i++) {
        const plumb_option *row = &plumb_train_options[i];
        check_ok(plumb_text_printf(t, "| `%s`", row->name));
        if (row->alias) check_ok(plumb_text_printf(t, ", `%s`", row->alias));
        check_ok(plumb_text_string(t, " | "));
        add_commands(t, row->only);
        add_default(t, row);
        check_ok(plumb_text_string(t, " | "));
        add_cell(t, row->help);
        check_ok(plumb_text_string(t, "\n"));
    }
}

static void add_foreign(plumb_text *t, const char *heading, bool is_refused)
{
    check_ok(plumb_text_printf(t, "\n## %s\n\n| key | commands | in silence | why |\n|---|---|---|---|\n", heading));
    for (const plumb_foreign_option *f = plumb_trl_keys; f->name; f++) {
        if (f->refused != is_refused) continue;
        check_ok(plumb_text_printf(t, "| `%s` | ", f->name));
        add_commands(t, f->only);
        for (const char *p = f->usual; p && *p; p += strcspn(p, "|"), p += *p == '|')
            check_ok(plumb_text_printf(t, "%s `%.*s`", p == f->usual ? "" : ",", (int)strcspn(p, "|"), p));
        check_ok(plumb_text_string(t, " | "));
        add_cell(t, f->reason);
        check_ok(plumb_text_string(t, "\n"));
    }
}

static plumb_text read_whole(const char *path)
{
    plumb_text t = {0};
    char part[4096];
    size_t n;
    FILE *f = fopen(path, "r");
    if (!f) fail_msg("%s cannot be read", path);
    while ((n = fread(part, 1, sizeof part, f)) > 0) check_ok(plumb_text_append(&t, part, n));
    fclose(f);
    return t;
}

/* The tables of the page are these tables; a fresh page is written where they differ. */
static void page_lists_the_keys(void **state)
{
    static const char page[] = PLUMB_TEST_DATA "/../../docs/config.md", fresh[] = PLUMB_TEST_SCRATCH "/config.md";
    plumb_text is = read_whole(page), tables = {0};
    (void)state;
    add_honoured(&tables);
    add_foreign(&tables, "Accepted with a note", false);
    add_foreign(&tables, "Refused", true);
    const char *begin = strstr(is.data, "## Honoured\n");
    assert_non_null(begin);
    if (strcmp(begin, tables.data) != 0) {
        FILE *f = fopen(fresh, "w");
        assert_non_null(f);
        fprintf(f, "%.*s%s", (int)(begin - is.data), is.data, tables.data);
        fclose(f);
        fail_msg("docs/config.md differs from the tables; as it should be: %s", fresh);
    }
    plumb_text_free(&is);
    plumb_text_free(&tables);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_sound),
        cmocka_unit_test(defaults_are_those_of_trl),
        cmocka_unit_test(choices_are_those_of_the_library),
        cmocka_unit_test(parameters_are_those_of_the_losses),
        cmocka_unit_test(files_and_lines_mean_the_same),
        cmocka_unit_test(precedence),
        cmocka_unit_test(twins),
        cmocka_unit_test(bad_files),
        cmocka_unit_test(values_of_reward_and_kto),
        cmocka_unit_test(refused),
        cmocka_unit_test(noted),
        cmocka_unit_test(checks),
        cmocka_unit_test(completed_values),
        cmocka_unit_test(objectives),
        cmocka_unit_test(optimizers),
        cmocka_unit_test(help_has_groups),
        cmocka_unit_test(policies),
        cmocka_unit_test(bad_policies),
        cmocka_unit_test(page_lists_the_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
