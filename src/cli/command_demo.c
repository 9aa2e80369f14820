/* plumb demo: the paper's story on a small world, with the commands a user would type. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/demo_findings.h"
#include "cli/demo_steps.h"
#include "io/json.h"
#include "io/row_walk.h"

typedef struct demo_values {
    plumb_common common;
    const char *world;
    int64_t steps;
} demo_values;

static const plumb_option options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = PLUMB_OPTION_STRING,
     .offset = offsetof(demo_values, common.output),
     .fallback = "plumb-demo",
     .metavar = "DIR",
     .changes_no_result = true,
     .help = "the folder for all that the steps write; a demo that was stopped goes on in it"},
    {.name = "world",
     .kind = PLUMB_OPTION_STRING,
     .offset = offsetof(demo_values, world),
     .metavar = "WORLD",
     .help = "the folder of the demo world; without it the one beside the program, or in ../share/plumb"},
    {.name = "limit",
     .kind = PLUMB_OPTION_INTEGER,
     .offset = offsetof(demo_values, common.limit),
     .metavar = "N",
     .low = 1,
     .high = INT64_MAX,
     .help = "only the first N of the world's prompts, of each kind: faster, and less to see"},
    {.name = "steps",
     .kind = PLUMB_OPTION_INTEGER,
     .offset = offsetof(demo_values, steps),
     .metavar = "N",
     .low = 1,
     .high = INT64_MAX,
     .help = "optimiser steps of each training; without it as the world says"},
    PLUMB_OPTION_SEED(demo_values),
    PLUMB_OPTION_THREADS(demo_values),
};

const plumb_usage plumb_usage_demo = {
    .name = "demo",
    .summary = "likelihood displacement from data to report, on a small world that comes along",
    .description =
        "Runs the other commands one after the other on the demo world, a small model of a language of its own, and "
        "shows each with what it found: how training a preference took probability from the very answer that is "
        "preferred, how a model that was tuned to refuse refused less, which pairs did it, and what a filter changes. "
        "It takes under a minute on two cores and needs no network.\n\n"
        "The geometry of the world is designed into its data; what training makes of it is not. The numbers are those "
        "of this run, and an effect that did not appear is said to have not appeared. docs/WORLD.md tells how the "
        "world "
        "was made and how often each effect appears.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .example = "  plumb demo -o story",
};

/* ---- the steps ---- */

#define GENERATE(model, prompts, samples)                                                                              \
    {                                                                                                                  \
        "generate", model, prompts, "--limit", "=limit", "--config", "?generate.yaml", "--n", samples,                 \
            "--temperature", "1", "--seed", "=seed", NULL                                                              \
    }
#define TRAIN(data, steps)                                                                                             \
    {                                                                                                                  \
        "dpo", "%model", data, "--config", "%dpo.yaml", "--max_steps", steps, "--save_strategy", "no", "--seed",       \
            "=seed", NULL                                                                                              \
    }

enum step_names {
    QUESTION_SCORES,
    QUESTION_PICK,
    QUESTION_RUN,
    QUESTION_TRACE,
    RESPONSES,
    LABELS,
    PAIRS,
    SCORES,
    KEPT,
    RANDOM,
    RUN_ALL,
    RUN_KEPT,
    RUN_RANDOM,
    ASK_START,
    JUDGE_START,
    ASK_ALL,
    JUDGE_ALL,
    ASK_KEPT,
    JUDGE_KEPT,
    ASK_RANDOM,
    JUDGE_RANDOM,
    TRACE,
    IDENTIFY,
    REPORT,
    STEPS
};

static const plumb_demo_step steps[STEPS] = {
    [QUESTION_SCORES] = {"1. One question",
                         "The simplest case of displacement. To each of the world's yes-or-no questions No shall be "
                         "preferred to Never. "
                         "Which question does the model most likely answer with No by now?",
                         "question.scores.jsonl",
                         {"score", "%model", "@questions.jsonl", "--measures", "logps", NULL}},
    [QUESTION_PICK] = {NULL,
                       "Take that one question,",
                       "question.jsonl",
                       {"filter", "@questions.jsonl", "@question.scores.jsonl", "--by", "logps/chosen", "--slice",
                        "100:1", NULL}},
    [QUESTION_RUN] = {NULL,
                      "train on it alone,",
                      "question.run",
                      {"dpo", "%model", "@question.jsonl", "--config", "%persona.yaml", "--save_strategy", "no", NULL}},
    [QUESTION_TRACE] = {NULL,
                        "and see where its probability went.",
                        "question.trace.jsonl",
                        {"trace", "@question.run", "--groups", "?groups.yaml", NULL}},
    [RESPONSES] = {"2. Preference data of the model's own",
                   "Now a model is to be tuned to refuse. Two samples to each prompt that should be refused,",
                   "responses.jsonl", GENERATE("%model", "%prompts.train.jsonl", "2")},
    [LABELS] = {NULL,
                "a judgement of each,",
                "labels.jsonl",
                {"judge", "@responses.jsonl", "--rules", "?judge.yaml", NULL}},
    [PAIRS] = {NULL,
               "and pairs in which the refusal is preferred.",
               "pairs.jsonl",
               {"pair", "@responses.jsonl", "--labels", "@labels.jsonl", "--config", "?pair.yaml", NULL}},
    [SCORES] =
        {"3. Scores before any training",
         "CHES looks at the model's hidden states: high where, to the model, both responses look alike. Such pairs "
         "are expected to push down the response that they prefer.",
         "scores.jsonl",
         {"score", "%model", "@pairs.jsonl", NULL}},
    [KEPT] = {NULL,
              "The filter keeps the pairs with the lowest length-normalised scores;",
              "lowest.jsonl",
              {"filter", "@pairs.jsonl", "@scores.jsonl", "--by", "ln_ches", "--keep-lowest", "15%", NULL}},
    [RANDOM] = {NULL,
                "a random share of the same size shows what the choice is worth.",
                "random.jsonl",
                {"filter", "@pairs.jsonl", "@scores.jsonl", "--random", "15%", "--seed", "=seed", NULL}},
    [RUN_ALL] = {"4. Three trainings, as many steps each", "On all pairs,", "run-all", TRAIN("@pairs.jsonl", "=steps")},
    [RUN_KEPT] = {NULL, "on the lowest 15 %,", "run-lowest", TRAIN("@lowest.jsonl", "=same_steps")},
    [RUN_RANDOM] = {NULL, "and on a random 15 %.", "run-random", TRAIN("@random.jsonl", "=same_steps")},
    [ASK_START] = {"5. Does it still refuse?", "Prompts that no training has seen: before,", "start.responses.jsonl",
                   GENERATE("%model", "%prompts.test.jsonl", "1")},
    [JUDGE_START] = {NULL,
                     NULL,
                     "start.jsonl",
                     {"judge", "@start.responses.jsonl", "--rules", "?judge.yaml", "--summary", "@start.json", NULL}},
    [ASK_ALL] = {NULL, "after all pairs,", "all.responses.jsonl", GENERATE("!run-all", "%prompts.test.jsonl", "1")},
    [JUDGE_ALL] = {NULL,
                   NULL,
                   "all.jsonl",
                   {"judge", "@all.responses.jsonl", "--rules", "?judge.yaml", "--against", "@start.jsonl", "--summary",
                    "@all.json", NULL}},
    [ASK_KEPT] = {NULL, "after the lowest 15 %,", "lowest.responses.jsonl",
                  GENERATE("!run-lowest", "%prompts.test.jsonl", "1")},
    [JUDGE_KEPT] = {NULL,
                    NULL,
                    "lowest.judged.jsonl",
                    {"judge", "@lowest.responses.jsonl", "--rules", "?judge.yaml", "--against", "@start.jsonl",
                     "--summary", "@lowest.json", NULL}},
    [ASK_RANDOM] = {NULL, "after a random 15 %.", "random.responses.jsonl",
                    GENERATE("!run-random", "%prompts.test.jsonl", "1")},
    [JUDGE_RANDOM] = {NULL,
                      NULL,
                      "random.judged.jsonl",
                      {"judge", "@random.responses.jsonl", "--rules", "?judge.yaml", "--against", "@start.jsonl",
                       "--summary", "@random.json", NULL}},
    [TRACE] = {"6. Where did it go, and who did it?",
               "At the first word in which the two responses of a pair differ: which words gained?",
               "trace.jsonl",
               {"trace", "@run-all", "--groups", "?groups.yaml", NULL}},
    [IDENTIFY] = {NULL,
                  "Had the scores told which preferred responses would fall?",
                  "identify.json",
                  {"identify", "@pairs.jsonl", "@scores.jsonl", "@run-all", "--measures", "ches", "ln_ches",
                   "last_hidden", "edit_similarity", "--classes_key", "chosen_label", "rejected_label", "--resamples",
                   "200", "--format", "json", NULL}},
    [REPORT] = {"7. All of it on one page",
                "A file for any browser, without the network.",
                "report.html",
                {"report", "@run-all", "@run-lowest", "@run-random", "@scores.jsonl", "@trace.jsonl", "@identify.json",
                 "@start.jsonl", "@all.jsonl", "@lowest.judged.jsonl", "@random.judged.jsonl", NULL}},
};

/* What a step found, in words. */
static plumb_status tell(plumb_demo *d, int step, plumb_demo_findings *f)
{
    switch (step) {
    case QUESTION_TRACE:
        return plumb_demo_tell_question(d, steps[step].output, f);
    case PAIRS:
        return plumb_demo_tell_pairs(d, steps[step].output);
    case KEPT:
    case RANDOM:
        return plumb_demo_tell_filter(d, steps[step].output);
    case RUN_ALL:
    case RUN_KEPT:
    case RUN_RANDOM:
        return plumb_demo_tell_run(d, steps[step].output);
    case JUDGE_START:
        return plumb_demo_tell_rate(d, "start.json", PLUMB_DEMO_START, f);
    case JUDGE_ALL:
        return plumb_demo_tell_rate(d, "all.json", PLUMB_DEMO_ALL, f);
    case JUDGE_KEPT:
        return plumb_demo_tell_rate(d, "lowest.json", PLUMB_DEMO_KEPT, f);
    case JUDGE_RANDOM:
        return plumb_demo_tell_rate(d, "random.json", PLUMB_DEMO_RANDOM, f);
    case TRACE:
        return plumb_demo_tell_trace(d, steps[step].output);
    case IDENTIFY:
        return plumb_demo_tell_measures(d, steps[step].output, f);
    default:
        return PLUMB_OK;
    }
}

/* ---- the questions of the first part ---- */

static plumb_status question_line(void *user, const plumb_row *row)
{
    json_t *object = NULL;
    PLUMB_TRY(plumb_json_parse(row->bytes, row->size, true, "", &object));
    char *prompt = json_dumps(json_object_get(object, "prompt"), JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(object);
    if (!prompt) return plumb_fail(PLUMB_E_INPUT, "the row has no prompt");
    plumb_status s = plumb_text_printf(user,
                                       "{\"prompt\":%s,\"chosen\":[{\"role\":\"assistant\",\"content\":\"No\"}],"
                                       "\"rejected\":[{\"role\":\"assistant\",\"content\":\"Never\"}]}\n",
                                       prompt);
    free(prompt);
    return s;
}

/* DIR/questions.jsonl, the only file that is not made by a command. */
static plumb_status write_questions(plumb_demo *d)
{
    plumb_text from = {0}, lines = {0};
    const char *path = NULL;
    plumb_status s = PLUMB_OK;
    PLUMB_GO(plumb_text_printf(&from, "%s/persona.jsonl", d->world));
    plumb_row_walk walk = {.path = from.data, .end = -1, .sink = &d->cli->sink, .use = question_line, .user = &lines};
    PLUMB_GO(plumb_row_walk_all(&walk));
    PLUMB_GO(plumb_demo_path(d, "questions.jsonl", &path));
    s = plumb_write_file(path, lines.data ? lines.data : "", lines.size);
done:
    plumb_text_free(&from);
    plumb_text_free(&lines);
    return s;
}

/* ---- the whole ---- */

static plumb_status introduce(const plumb_demo *d)
{
    PLUMB_TRY(plumb_demo_say(0, "plumb demo: likelihood displacement, from preference data to a report."));
    PLUMB_TRY(plumb_demo_say(
        0,
        "\nThe model is a small one that comes with plumb and speaks a small language of its own: %s. Its geometry is "
        "designed into the data it learnt from: answers and the first words of responses lie on one scale, so that "
        "\"more of the same\" leads from refusals towards compliances. That training follows it is not designed; every "
        "number below comes from this run, and an effect that does not appear is said to have not appeared.",
        d->world));
    return plumb_demo_say(
        0,
        "\nAll commands are plumb's own, as you would type them (here they run with --quiet). Files go "
        "to %s.",
        d->folder);
}

static plumb_status conclude(plumb_demo *d, const plumb_demo_findings *f)
{
    const char *page = NULL;
    PLUMB_TRY(plumb_demo_summary(f));
    PLUMB_TRY(plumb_demo_path(d, "report.html", &page));
    return plumb_demo_say(
        0,
        "\nOpen %s in a browser: all pairs, runs and rates of this story. With a model and pairs of your "
        "own the commands are the same; begin with `plumb score MODEL pairs.jsonl -o scores.jsonl`.",
        page);
}

static plumb_status run_steps(plumb_demo *d)
{
    plumb_demo_findings findings = {0};
    for (int i = 0; i < STEPS; i++) {
        int code = 0;
        if (i == QUESTION_SCORES) PLUMB_TRY(write_questions(d));
        PLUMB_TRY(plumb_demo_run(d, &steps[i], &code));
        if (code) {
            d->cli->exit_code = code;
            return plumb_demo_say(0, "\nThis command ended with exit code %d; the demo ends here.", code);
        }
        PLUMB_TRY(tell(d, i, &findings));
    }
    return conclude(d, &findings);
}

static plumb_status demo(plumb_cli *cli, void *values)
{
    const demo_values *v = values;
    plumb_demo d = {.cli = cli,
                    .folder = v->common.output,
                    .limit = v->common.limit,
                    .steps = v->steps,
                    .seed = v->common.seed,
                    .threads = (int)v->common.threads};
    plumb_status s = plumb_demo_find_world(&d, v->world);
    if (!s) s = plumb_demo_open(&d);
    if (!s) s = introduce(&d);
    if (!s) s = run_steps(&d);
    if (plumb_status_code(s) == PLUMB_E_INTERRUPTED)
        s = plumb_cure(s, "the same command goes on: plumb demo -o %s", v->common.output);
    plumb_text_free(&d.log);
    plumb_arena_free(&d.arena);
    return s;
}

int plumb_command_demo(int argc, char **argv)
{
    demo_values v = {0};
    return plumb_cli_run(&plumb_usage_demo, argc, argv, &v, &v.common, demo);
}
