/* What a report is made from, joined: pairs, runs, judgements (internal to src/report). */
#ifndef PLUMB_REPORT_REPORT_DATA_H
#define PLUMB_REPORT_REPORT_DATA_H

#include <jansson.h>

#include "report/report.h"
#include "study/ledger_reader.h"
#include "study/row_key.h"

/* Fields of score rows that tell how a pair will fare. */
typedef struct plumb_report_measure {
    const char *field, *label;
    bool low_is_bad;
} plumb_report_measure;
enum { PLUMB_LN_CHES, PLUMB_REPORT_MEASURES = 6 };
extern const plumb_report_measure plumb_report_measures[PLUMB_REPORT_MEASURES];

/* Columns of metrics rows that figures use. */
enum {
    PLUMB_METRIC_CHOSEN, /* + 1, 2, 3: q05, q50, q95 */
    PLUMB_METRIC_REJECTED = 4,
    PLUMB_METRIC_REWARD = 8,
    PLUMB_METRIC_REWARD_STD,   /* of all completions of a generation */
    PLUMB_METRIC_GROUP_STD,    /* of those of a prompt, the mean over prompts */
    PLUMB_METRIC_NO_SPREAD,    /* prompts_without_spread */
    PLUMB_METRIC_ZERO_STD,     /* TRL's frac_reward_zero_std: with RLOO of rewards less the KL term */
    PLUMB_METRIC_KL,           /* the mean of a token */
    PLUMB_METRIC_OBJECTIVE_KL, /* PPO: the sum of a completion */
    PLUMB_METRIC_TOKENS,       /* generated so far */
    PLUMB_METRIC_ACCURACY,     /* of rewards of pairs: share of those with the chosen side higher */
    PLUMB_METRIC_MARGIN,       /* chosen - rejected */
    PLUMB_METRIC_MEAN_REWARD,  /* of both sides */
    PLUMB_REPORT_METRICS,
};

/* int64 -> position, open addressing; {0} is empty. */
typedef struct plumb_position_map {
    int64_t *keys;
    size_t *values; /* position + 1; 0: free */
    size_t slots, count;
} plumb_position_map;

typedef enum plumb_report_text {
    PLUMB_TEXT_PROMPT,
    PLUMB_TEXT_CHOSEN,
    PLUMB_TEXT_REJECTED,
    PLUMB_REPORT_TEXTS
} plumb_report_text;

typedef struct plumb_report_pair {
    int64_t index;
    uint64_t row;
    double measure[PLUMB_REPORT_MEASURES]; /* NaN: not there */
    bool scored, skipped, in_run;          /* in_run: a ledger has it */
    int verdict;                           /* of trace, plumb_report_verdicts; -1: none */
    const json_t *explain;                 /* the row of plumb explain; NULL: none */
    bool shown, drawn; /* can be opened in the page; is in the random sample (all pairs where there is none) */
    bool has_texts;
    size_t text[PLUMB_REPORT_TEXTS], text_size[PLUMB_REPORT_TEXTS]; /* in `texts`, made visible and cut */
    bool cut[PLUMB_REPORT_TEXTS];
} plumb_report_pair;

enum { PLUMB_REPORT_VERDICTS = 4 };
extern const char *const plumb_report_verdicts[PLUMB_REPORT_VERDICTS]; /* none, benign, catastrophic, other */

/* A token that gained probability at the first differing position. */
typedef struct plumb_gaining_token {
    int64_t token;
    char *text; /* NULL: not known */
    size_t text_size;
    char class_name[32]; /* "": none */
    double *gain;        /* [steps] sums over pairs of p_after - p_before */
} plumb_gaining_token;

typedef struct plumb_gaining {
    plumb_gaining_token *tokens;
    size_t count, capacity;
    plumb_position_map map;
    size_t steps;
    int64_t *pairs; /* [steps] pairs that the sums are over */
} plumb_gaining;

/* A run folder, a ledger, a metrics file, or a file of trace rows (two checkpoints: no course). */
typedef struct plumb_report_run {
    const char *path;
    char *name;     /* short, for people */
    json_t *record; /* run.json or FILE.meta.json; NULL: none */
    bool is_trace;
    bool has_ledger;
    plumb_ledger_file ledger;
    size_t *pair;      /* [ledger.count] in the report's pairs */
    double *change[2]; /* [pairs of the report] last - first step, in nats; NaN: none. Set when joined */
    size_t changes;    /* pairs with both */
    size_t metric_count, metric_capacity;
    double *metric_step, *metrics; /* [metric_count], [metric_count][PLUMB_REPORT_METRICS] */
    int64_t verdicts[PLUMB_REPORT_VERDICTS];
    plumb_row_key *trace_keys; /* of trace rows, until they are joined: with both changes */
    double *trace_changes;
    size_t trace_count, trace_capacity, trace_change_capacity;
    plumb_gaining gaining;
} plumb_report_run;

typedef struct plumb_judge_share {
    char *name;
    int64_t refusals, total;
} plumb_judge_share;

typedef struct plumb_report_judge {
    const char *path;
    char *name;
    json_t *record;
    plumb_judge_share all;
    plumb_judge_share *categories;
    size_t category_count, category_capacity;
    int64_t labels[5]; /* plumb_judge_labels */
    int64_t unread;    /* a model's answers that could not be read: no label */
} plumb_report_judge;
enum { PLUMB_REPORT_LABELS = 5 };
extern const char *const plumb_judge_labels[PLUMB_REPORT_LABELS];

typedef struct plumb_report_source {
    const char *path;
    char *name;
    json_t *record; /* FILE.meta.json; NULL: none */
} plumb_report_source;

typedef struct plumb_sources {
    plumb_report_source *items;
    size_t count, capacity;
} plumb_sources;

struct plumb_figure;

struct plumb_report {
    plumb_report_options options;
    plumb_report_pair *pairs; /* in the order of their index once joined */
    size_t count, capacity;
    plumb_position_map map; /* index -> pairs; until joined */
    size_t scored, skipped, explained, shown, with_texts;
    plumb_report_run *runs;
    size_t run_count, run_capacity;
    plumb_report_judge *judges;
    size_t judge_count, judge_capacity;
    plumb_sources scores, data, explains, identifies;
    json_t *explain_rows;  /* array */
    json_t *identify_rows; /* array */
    size_t text_limit;     /* bytes after which the page cuts texts */
    plumb_writer texts;
    const json_t *data_record;    /* that data_path is from; NULL: data_path was given */
    char *data_path, *model_path; /* of the records; NULL: not known. For commands */
    struct plumb_figure *figures; /* [figure_count] drawn */
    size_t figure_count;
    size_t missing[24], missing_count; /* rows of the table of figures without data */
    plumb_writer headline, verdict, next, next_why;
    bool alarming, fewer_refusals;
};

/* ---- report_input.c ---- */

/* The pair of that number and hash, made if it is not there. The position is good until the pairs are joined. */
plumb_status plumb_report_pair_at(plumb_report *r, const plumb_row_key *key, size_t *out) PLUMB_MUST_USE;
/* The same without making it: SIZE_MAX when it is not there. */
size_t plumb_report_find(const plumb_report *r, const plumb_row_key *key);
plumb_status plumb_position_get(plumb_position_map *m, int64_t key, size_t next, size_t *out) PLUMB_MUST_USE;
/* The position of a key, or SIZE_MAX. */
size_t plumb_position_find(const plumb_position_map *m, int64_t key);
void plumb_position_free(plumb_position_map *m);

/* Every JSON object of a file: its rows, or one that spans several lines. */
typedef plumb_status (*plumb_object_reader)(void *user, const json_t *object);
plumb_status plumb_report_objects(const char *path, const plumb_sink *sink, plumb_object_reader read, void *user,
                                  int64_t *rows, uint64_t *hash) PLUMB_MUST_USE;

/* ---- report_rows.c: one reader a kind of row, adding to the report ---- */
plumb_status plumb_report_read_score(plumb_report *r, const json_t *row) PLUMB_MUST_USE;
plumb_status plumb_report_read_metric(plumb_report_run *run, const json_t *row) PLUMB_MUST_USE;
plumb_status plumb_report_read_trace(plumb_report *r, plumb_report_run *run, const json_t *row) PLUMB_MUST_USE;
plumb_status plumb_report_read_judge(plumb_report_judge *judge, const json_t *row) PLUMB_MUST_USE;
plumb_status plumb_report_read_explain(plumb_report *r, const json_t *row) PLUMB_MUST_USE;
plumb_status plumb_report_read_gained(plumb_report_run *run, const json_t *row) PLUMB_MUST_USE;

/* ---- report_join.c: after the last input ---- */
plumb_status plumb_report_join(plumb_report *r) PLUMB_MUST_USE;
plumb_status plumb_report_read_texts(plumb_report *r, const plumb_sink *sink) PLUMB_MUST_USE;

/* Runs whose changes figures show: those with a ledger; traces where there are none. */
bool plumb_report_has_changes(const plumb_report *r, const plumb_report_run *run);
size_t plumb_report_changed_runs(const plumb_report *r);

/* ---- report_command.c ---- */

/* The command that made something, from its record (run.json, FILE.meta.json); false where the record does not tell. */
bool plumb_report_recorded_command(const json_t *record, plumb_writer *w);

/* ---- verdict.c: r->headline, verdict, next, next_why, alarming ---- */
plumb_status plumb_report_judge_all(plumb_report *r) PLUMB_MUST_USE;

#endif
