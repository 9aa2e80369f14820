#include "train/run_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/json.h"
#include "io/output.h"
#include "io/safetensors.h"
#include "text/tokenizer.h"

enum { MAX_SIDE_FILE = 512 << 20, MAX_STATE = 1 << 30 };

struct plumb_run_folder {
    char *path;
    plumb_text from;                  /* the checkpoint that is gone on with */
    int lock;                         /* descriptor of the folder itself, which is locked while it is open; -1: none */
    int metrics, ledger, completions; /* descriptors, open for appending; -1: there is none yet */
};

static plumb_status failed(const char *what, const char *path)
{
    return plumb_fail(PLUMB_E_IO, "%s: cannot %s: %s", path, what, strerror(errno));
}

/* FOLDER/NAME into *t, which is cleared first. */
static plumb_status join(plumb_text *t, const char *folder, const char *name)
{
    plumb_text_clear(t);
    return plumb_path_join(t, folder, name);
}

/* ---- opening ---- */

static plumb_status create_folder(const char *path)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_OUTPUT, "%s: cannot create: %s", path, strerror(errno)),
                      "does the folder above it exist, and may you write there?");
}

/* The N of a name checkpoint-N, written as it is when a checkpoint is saved, and what follows it; -1: another name. */
static int64_t checkpoint_number(const char *name, const char **rest)
{
    char again[64];
    int64_t n;
    if (sscanf(name, "checkpoint-%" SCNd64, &n) != 1 || n < 0) return -1;
    int size = snprintf(again, sizeof again, "checkpoint-%" PRId64, n);
    if (strncmp(name, again, (size_t)size) != 0) return -1;
    *rest = name + size;
    return n;
}

/* The largest N below `below` of checkpoint-N, and the smallest of all; -1: there is none. */
static int64_t newest_checkpoint(const char *path, int64_t below, int64_t *smallest)
{
    DIR *folder = opendir(path);
    int64_t newest = -1;
    if (smallest) *smallest = -1;
    if (!folder) return -1;
    for (const struct dirent *entry; (entry = readdir(folder));) {
        const char *rest;
        int64_t n = checkpoint_number(entry->d_name, &rest);
        if (n < 0 || *rest) continue;
        if (n > newest && n < below) newest = n;
        if (smallest && (*smallest < 0 || n < *smallest)) *smallest = n;
    }
    closedir(folder);
    return newest;
}

static plumb_status checkpoint_path(const char *path, int64_t step, plumb_text *t)
{
    plumb_text_clear(t);
    return plumb_text_printf(t, "%s/checkpoint-%" PRId64, path, step);
}

/* The state.json of the checkpoint f->from. */
static plumb_status load_state(const plumb_run_folder *f, json_t **state)
{
    plumb_text file = {0};
    plumb_status s = plumb_path_join(&file, f->from.data, "state.json");
    if (!s) s = plumb_json_load(file.data, MAX_STATE, state);
    plumb_text_free(&file);
    return s;
}

static int64_t recorded(const json_t *state, const char *key)
{
    return state ? json_integer_value(json_object_get(state, key)) : 0;
}

/* Bytes of FOLDER/NAME; 0 where there is no such file. */
static plumb_status size_of(const char *folder, const char *name, int64_t *size)
{
    plumb_text file = {0};
    struct stat info;
    PLUMB_TRY(plumb_path_join(&file, folder, name));
    *size = stat(file.data, &info) == 0 ? info.st_size : 0;
    plumb_text_free(&file);
    return PLUMB_OK;
}

/* The state of the checkpoint to go on with: the newest that the .jsonl files reach. */
static plumb_status read_state(plumb_run_folder *f, json_t **state)
{
    int64_t metrics, ledger, completions, step = INT64_MAX;
    *state = NULL;
    PLUMB_TRY(size_of(f->path, "metrics.jsonl", &metrics));
    PLUMB_TRY(size_of(f->path, "ledger.jsonl", &ledger));
    PLUMB_TRY(size_of(f->path, "completions.jsonl", &completions));
    while ((step = newest_checkpoint(f->path, step, NULL)) >= 0) {
        PLUMB_TRY(checkpoint_path(f->path, step, &f->from));
        PLUMB_TRY(load_state(f, state));
        if (recorded(*state, "metrics_bytes") <= metrics && recorded(*state, "ledger_bytes") <= ledger &&
            recorded(*state, "completions_bytes") <= completions)
            break;
        json_decref(*state);
        *state = NULL;
    }
    return PLUMB_OK;
}

/* Opens a .jsonl file for appending, cut back to `size` bytes. */
static plumb_status open_lines(const char *path, const char *name, int64_t size, int *out)
{
    plumb_text file = {0};
    struct stat info;
    plumb_status s = plumb_path_join(&file, path, name);
    if (!s) {
        *out = open(file.data, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        if (*out < 0)
            s = plumb_fail(PLUMB_E_OUTPUT, "%s: cannot open: %s", file.data, strerror(errno));
        else if (fstat(*out, &info) == 0 && info.st_size < size)
            s = plumb_fail(PLUMB_E_INPUT, "%s: is shorter than the checkpoint says; the run cannot go on", file.data);
        else if (ftruncate(*out, size) || lseek(*out, size, SEEK_SET) < 0)
            s = failed("cut back", file.data);
    }
    plumb_text_free(&file);
    return s;
}

/* Refuses to write over another run's work, or over a model such as the one that training starts from. */
static plumb_status check_folder(const char *path, bool resume)
{
    int64_t metrics, ledger;
    bool opened, model, adapter;
    PLUMB_TRY(size_of(path, "metrics.jsonl", &metrics));
    PLUMB_TRY(size_of(path, "ledger.jsonl", &ledger));
    PLUMB_TRY(plumb_path_holds(path, "metrics.jsonl", &opened));
    PLUMB_TRY(plumb_path_holds(path, "config.json", &model));
    PLUMB_TRY(plumb_path_holds(path, "adapter_config.json", &adapter));
    if ((model || adapter) && !opened)
        return plumb_cure(plumb_fail(PLUMB_E_OUTPUT, "%s: holds a model, which the run would write over", path),
                          "give a new folder with -o");
    if (resume || (!metrics && !ledger && newest_checkpoint(path, INT64_MAX, NULL) < 0)) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_OUTPUT, "%s: holds a run already", path),
                      "go on with it: --resume; or give another folder with -o");
}

static void remove_tree(const char *path);

/* Removes what a run that was killed while it wrote a checkpoint has left. */
static void remove_partial_checkpoints(const char *path)
{
    DIR *folder = opendir(path);
    plumb_text partial = {0};
    if (!folder) return;
    for (const struct dirent *entry; (entry = readdir(folder));) {
        const char *rest;
        if (checkpoint_number(entry->d_name, &rest) < 0 || strcmp(rest, ".partial") != 0) continue;
        plumb_status s = join(&partial, path, entry->d_name);
        if (!s) remove_tree(partial.data);
        plumb_status_free(s);
    }
    closedir(folder);
    plumb_text_free(&partial);
}

/* The same where the file is there. */
static plumb_status open_there(const char *path, const char *name, int64_t size, int *out)
{
    bool there = false;
    PLUMB_TRY(plumb_path_holds(path, name, &there));
    return there ? open_lines(path, name, size, out) : PLUMB_OK;
}

/* Two processes in one folder would cut off each other's lines and remove each other's checkpoints: a run that is
 * resumed while it still goes on. Where a file system has no locks (or, as NFS, none of a folder), this safeguard is
 * not to be had. */
static plumb_status lock_folder(plumb_run_folder *f)
{
    f->lock = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->lock < 0)
        return plumb_cure(plumb_fail(PLUMB_E_OUTPUT, "%s: cannot open: %s", f->path, strerror(errno)),
                          "the run needs a folder, in which you may read and write");
    if (flock(f->lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_OUTPUT, "%s: another process is training in it", f->path),
                      "wait until it has finished, or give another folder with -o");
}

static plumb_status open_all(plumb_run_folder *f, const char *path, bool resume, json_t **state)
{
    PLUMB_TRY(check_folder(path, resume));
    PLUMB_TRY(create_folder(path));
    PLUMB_TRY(lock_folder(f));
    if (resume) PLUMB_TRY(read_state(f, state));
    remove_partial_checkpoints(path);
    PLUMB_TRY(open_lines(path, "metrics.jsonl", recorded(*state, "metrics_bytes"), &f->metrics));
    PLUMB_TRY(open_there(path, "ledger.jsonl", recorded(*state, "ledger_bytes"), &f->ledger));
    return open_there(path, "completions.jsonl", recorded(*state, "completions_bytes"), &f->completions);
}

plumb_status plumb_run_folder_open(const char *path, bool resume, plumb_run_folder **out, json_t **state)
{
    plumb_run_folder *f;
    *out = NULL;
    *state = NULL;
    PLUMB_TRY(plumb_new(&f, 1, sizeof *f));
    f->lock = f->metrics = f->ledger = f->completions = -1;
    f->path = strdup(path);
    plumb_status s = f->path ? open_all(f, path, resume, state) : plumb_no_memory();
    if (s) {
        plumb_run_folder_close(f);
        return s;
    }
    *out = f;
    return PLUMB_OK;
}

void plumb_run_folder_close(plumb_run_folder *f)
{
    if (!f) return;
    if (f->metrics >= 0) close(f->metrics);
    if (f->ledger >= 0) close(f->ledger);
    if (f->completions >= 0) close(f->completions);
    if (f->lock >= 0) close(f->lock);
    plumb_text_free(&f->from);
    free(f->path);
    free(f);
}

/* ---- lines ---- */

static plumb_status append(const plumb_run_folder *f, int fd, const char *name, const plumb_text *lines)
{
    for (size_t done = 0; done < lines->size;) {
        ssize_t n = write(fd, lines->data + done, lines->size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return plumb_fail(PLUMB_E_IO, "%s/%s: cannot write: %s", f->path, name, strerror(errno));
        done += (size_t)n;
    }
    return PLUMB_OK;
}

plumb_status plumb_run_folder_metrics(plumb_run_folder *f, const plumb_text *lines)
{
    return append(f, f->metrics, "metrics.jsonl", lines);
}

plumb_status plumb_run_folder_ledger(plumb_run_folder *f, const plumb_text *lines)
{
    if (f->ledger < 0) PLUMB_TRY(open_lines(f->path, "ledger.jsonl", 0, &f->ledger));
    return append(f, f->ledger, "ledger.jsonl", lines);
}

plumb_status plumb_run_folder_completions(plumb_run_folder *f, const plumb_text *lines)
{
    if (f->completions < 0) PLUMB_TRY(open_lines(f->path, "completions.jsonl", 0, &f->completions));
    return append(f, f->completions, "completions.jsonl", lines);
}

/* ---- checkpoints ---- */

/* One file of fp32 tensors: the masters, or one after another the optimiser's states of each ("exp_avg.NAME"). */
typedef struct piece {
    char *name;
    const float *data;
    const plumb_master *master;
} piece;

static plumb_status write_pieces(const char *path, const piece *list, size_t count)
{
    plumb_tensor_spec *specs;
    plumb_tensors_writer *w = NULL;
    PLUMB_TRY(plumb_new(&specs, count, sizeof *specs));
    for (size_t i = 0; i < count; i++) {
        specs[i] = (plumb_tensor_spec){.name = list[i].name, .dtype = PLUMB_F32, .dims = list[i].master->dims};
        for (int k = 0; k < list[i].master->dims; k++) specs[i].shape[k] = list[i].master->shape[k];
    }
    plumb_status s = plumb_tensors_create(path, specs, count, &w);
    for (size_t i = 0; i < count && !s; i++)
        s = plumb_tensors_write(w, list[i].data, list[i].master->count * sizeof(float));
    if (!s)
        s = plumb_tensors_finish(w);
    else
        plumb_tensors_abandon(w);
    free(specs);
    return s;
}

/* What a file holds: the masters w themselves, or with a trainer t the optimiser's states of them. */
typedef struct contents {
    const plumb_masters *w;
    plumb_trainer *t;
    const plumb_optimizer *o;
} contents;

static plumb_status list_pieces(const contents *c, plumb_arena *arena, piece **out, size_t *count)
{
    const plumb_masters *w = c->w;
    bool states = c->t != NULL;
    size_t each = states ? plumb_optimizer_states(c->o) : 1;
    *count = 0;
    PLUMB_TRY(plumb_arena_new(arena, out, w->count * each + 1, sizeof **out));
    for (size_t i = 0; i < w->count; i++)
        for (size_t k = 0; k < each; k++) {
            piece *p = &(*out)[(*count)++];
            char name[512];
            int n = states ? snprintf(name, sizeof name, "%s.%s", plumb_optimizer_state_name(c->o, k), w->list[i].name)
                           : snprintf(name, sizeof name, "%s", w->list[i].name);
            PLUMB_TRY(plumb_arena_copy(arena, &p->name, name, (size_t)n));
            p->data = states ? plumb_trainer_state(c->t, i)[k] : w->list[i].value;
            p->master = &w->list[i];
        }
    return PLUMB_OK;
}

static plumb_status write_file(const contents *c, const char *folder, const char *name)
{
    plumb_arena arena = {0};
    plumb_text path = {0};
    piece *list;
    size_t count;
    plumb_status s = list_pieces(c, &arena, &list, &count);
    if (!s) s = plumb_path_join(&path, folder, name);
    if (!s && count) s = write_pieces(path.data, list, count);
    plumb_arena_free(&arena);
    plumb_text_free(&path);
    return s;
}

static plumb_status read_file(const contents *c, const char *folder, const char *name)
{
    plumb_arena arena = {0};
    plumb_text path = {0};
    plumb_tensors *set = NULL;
    piece *list;
    size_t count;
    plumb_status s = list_pieces(c, &arena, &list, &count);
    if (!s) s = plumb_path_join(&path, folder, name);
    if (!s && count) s = plumb_tensors_open_file(path.data, &set);
    for (size_t i = 0; i < count && !s; i++) {
        const plumb_tensor *found = plumb_tensors_find(set, list[i].name);
        if (!found || found->bytes != list[i].master->count * sizeof(float))
            s = plumb_fail(PLUMB_E_INPUT, "%s: %s is missing or has another size", path.data, list[i].name);
        else
            memcpy((float *)list[i].data, found->data, found->bytes);
    }
    plumb_tensors_close(set);
    plumb_arena_free(&arena);
    plumb_text_free(&path);
    return s;
}

static void remove_tree(const char *path)
{
    DIR *folder = opendir(path);
    plumb_text file = {0};
    if (!folder) return;
    for (const struct dirent *entry; (entry = readdir(folder));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        plumb_status s = join(&file, path, entry->d_name);
        if (!s) unlink(file.data);
        plumb_status_free(s);
    }
    closedir(folder);
    plumb_text_free(&file);
    rmdir(path);
}

static plumb_status write_state(const char *folder, const json_t *state)
{
    plumb_text path = {0};
    char *text = json_dumps(state, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    plumb_status s = text ? plumb_path_join(&path, folder, "state.json") : plumb_no_memory();
    if (text && !s) s = plumb_write_file(path.data, text, strlen(text));
    free(text);
    plumb_text_free(&path);
    return s;
}

static plumb_status file_size(const plumb_run_folder *f, int fd, const char *name, json_t *state, const char *key)
{
    struct stat info = {.st_size = 0};
    if (fd >= 0 && (fsync(fd) || fstat(fd, &info)))
        return plumb_fail(PLUMB_E_IO, "%s/%s: %s", f->path, name, strerror(errno));
    return json_object_set_new(state, key, json_integer(info.st_size)) ? plumb_no_memory() : PLUMB_OK;
}

/* What a checkpoint is made of. */
typedef struct snapshot {
    plumb_trainer *t;
    const plumb_optimizer *o;
    int64_t step;
    json_t *state;
    const plumb_masters *reference;
    plumb_trainer *value;
} snapshot;

static plumb_status write_model(plumb_trainer *t, const plumb_optimizer *o, const char *folder, const char *weights,
                                const char *states)
{
    const plumb_masters *w = plumb_trainer_masters(t);
    PLUMB_TRY(write_file(&(contents){.w = w}, folder, weights));
    return write_file(&(contents){w, t, o}, folder, states);
}

static plumb_status write_checkpoint(plumb_run_folder *f, const snapshot *c, const char *partial)
{
    PLUMB_TRY(file_size(f, f->metrics, "metrics.jsonl", c->state, "metrics_bytes"));
    PLUMB_TRY(file_size(f, f->ledger, "ledger.jsonl", c->state, "ledger_bytes"));
    if (f->completions >= 0)
        PLUMB_TRY(file_size(f, f->completions, "completions.jsonl", c->state, "completions_bytes"));
    if (json_object_set_new(c->state, "step", json_integer(c->step))) return plumb_no_memory();
    PLUMB_TRY(create_folder(partial));
    PLUMB_TRY(write_model(c->t, c->o, partial, "masters.safetensors", "optimizer.safetensors"));
    if (c->value) PLUMB_TRY(write_model(c->value, c->o, partial, "value.safetensors", "value_optimizer.safetensors"));
    if (c->reference) PLUMB_TRY(write_file(&(contents){.w = c->reference}, partial, "reference.safetensors"));
    return write_state(partial, c->state);
}

plumb_status plumb_run_folder_prune(const plumb_run_folder *f, int64_t step, int64_t limit)
{
    plumb_text path = {0};
    plumb_status s = PLUMB_OK;
    for (; limit > 0 && !s;) {
        int64_t count = 0, oldest, at = step < INT64_MAX ? step + 1 : step;
        while ((at = newest_checkpoint(f->path, at, &oldest)) >= 0) count++;
        if (count <= limit) break;
        s = checkpoint_path(f->path, oldest, &path);
        if (!s) remove_tree(path.data);
    }
    plumb_text_free(&path);
    return s;
}

/* A complete checkpoint takes the place of one of the same step at once: there is always one of the two. */
static int put_in_place(const char *partial, const char *final)
{
#ifdef RENAME_EXCHANGE
    if (renameat2(AT_FDCWD, partial, AT_FDCWD, final, RENAME_EXCHANGE) == 0) {
        remove_tree(partial);
        return 0;
    }
#endif
    remove_tree(final); /* there is none, or the file system exchanges no names */
    return rename(partial, final);
}

plumb_status plumb_run_folder_save(plumb_run_folder *f, plumb_trainer *t, const plumb_optimizer *o, int64_t step,
                                   json_t *state, const plumb_masters *reference, plumb_trainer *value)
{
    plumb_text final = {0}, partial = {0};
    snapshot c = {t, o, step, state, reference, value};
    plumb_status s = checkpoint_path(f->path, step, &final);
    if (!s) s = plumb_text_printf(&partial, "%s.partial", final.data);
    if (!s) {
        remove_tree(partial.data);
        s = write_checkpoint(f, &c, partial.data);
        if (s) remove_tree(partial.data); /* a full disk gets its room back */
    }
    if (!s && put_in_place(partial.data, final.data)) s = failed("rename to it", final.data);
    plumb_text_free(&final);
    plumb_text_free(&partial);
    return s;
}

int64_t plumb_run_checkpoint_before(const char *path, int64_t step)
{
    return newest_checkpoint(path, step, NULL);
}

int64_t plumb_run_folder_newest(const plumb_run_folder *f, int64_t step)
{
    return newest_checkpoint(f->path, step, NULL);
}

static plumb_status read_model(plumb_trainer *t, const plumb_optimizer *o, const char *folder, const char *weights,
                               const char *states)
{
    plumb_masters *w = plumb_trainer_masters(t);
    PLUMB_TRY(read_file(&(contents){.w = w}, folder, weights));
    PLUMB_TRY(read_file(&(contents){w, t, o}, folder, states));
    return plumb_masters_changed(w);
}

plumb_status plumb_run_folder_load(const plumb_run_folder *f, const plumb_optimizer *o, plumb_trainer *t,
                                   plumb_masters *reference, plumb_trainer *value)
{
    const char *from = f->from.data;
    PLUMB_TRY(read_model(t, o, from, "masters.safetensors", "optimizer.safetensors"));
    if (value) PLUMB_TRY(read_model(value, o, from, "value.safetensors", "value_optimizer.safetensors"));
    if (!reference) return PLUMB_OK;
    PLUMB_TRY(read_file(&(contents){.w = reference}, from, "reference.safetensors"));
    return plumb_masters_changed(reference);
}

/* ---- the result ---- */

static plumb_status copy_file(const char *from, const char *to, const char *name)
{
    plumb_text path = {0}, text = {0};
    plumb_status s = join(&path, from, name);
    if (!s && plumb_path_exists(path.data)) {
        s = plumb_read_file(path.data, MAX_SIDE_FILE, &text);
        if (!s) s = join(&path, to, name);
        if (!s) s = plumb_write_file(path.data, text.data ? text.data : "", text.size);
    }
    plumb_text_free(&path);
    plumb_text_free(&text);
    return s;
}

/* Sets the dtype under the name that the file uses (torch_dtype in form 4, dtype in form 5). */
static plumb_status set_dtype(json_t *config, plumb_dtype dtype)
{
    const char *key = json_object_get(config, "torch_dtype") ? "torch_dtype" : "dtype";
    json_t *text = json_object_get(config, "text_config");
    if (json_is_object(text)) PLUMB_TRY(set_dtype(text, dtype));
    return json_object_set_new(config, key, json_string(plumb_dtype_name(dtype))) ? plumb_no_memory() : PLUMB_OK;
}

/* What makes the config of a language model that of a reward model: its class, one label, and the token that the
 * reward's place is found by. */
static plumb_status set_score_head(json_t *config, const plumb_config *c)
{
    json_t *head = json_pack("{s:[s], s:{s:s}, s:{s:i}}", "architectures", c->architecture->score_class_name,
                             "id2label", "0", "LABEL_0", "label2id", "LABEL_0", 0);
    json_t *pad = c->pad_id < 0 ? json_null() : json_integer(c->pad_id), *text = json_object_get(config, "text_config");
    bool bad = !head || json_object_update(config, head) || json_object_set(config, "pad_token_id", pad) ||
               (json_is_object(text) && json_object_set(text, "pad_token_id", pad));
    json_object_del(config, "num_labels"); /* the labels say it */
    json_decref(head);
    json_decref(pad);
    return bad ? plumb_no_memory() : PLUMB_OK;
}

plumb_status plumb_copy_config(const char *from, const char *to, plumb_dtype dtype, const plumb_config *c)
{
    plumb_text path = {0};
    json_t *config = NULL;
    char *text = NULL;
    plumb_status s = join(&path, from, "config.json");
    if (!s) s = plumb_json_load(path.data, MAX_SIDE_FILE, &config);
    if (!s) s = set_dtype(config, dtype);
    if (!s && c->head == PLUMB_HEAD_SCORE) s = set_score_head(config, c);
    if (!s && !(text = json_dumps(config, JSON_INDENT(2) | JSON_REAL_PRECISION(17)))) s = plumb_no_memory();
    if (!s) s = join(&path, to, "config.json");
    if (text && !s) s = plumb_write_file(path.data, text, strlen(text));
    free(text);
    json_decref(config);
    plumb_text_free(&path);
    return s;
}

/* As TRL does, the tokenizer of a reward model names the token that the reward's place is found by: an adapter has no
 * config.json to say it. */
static plumb_status set_pad_token(const char *folder, const plumb_config *c)
{
    plumb_text path = {0}, text = {0};
    plumb_tokenizer *tokenizer = NULL;
    size_t n;
    bool there = false;
    if (c->head == PLUMB_HEAD_SCORE && c->pad_id >= 0) PLUMB_TRY(plumb_path_holds(folder, "tokenizer.json", &there));
    if (!there) return PLUMB_OK;
    plumb_status s = plumb_tokenizer_open(folder, &tokenizer);
    const char *token = s ? NULL : plumb_tokenizer_token(tokenizer, (int32_t)c->pad_id, &n);
    if (!s) s = join(&path, folder, "tokenizer_config.json");
    if (!s)
        s = plumb_path_exists(path.data) ? plumb_read_file(path.data, MAX_SIDE_FILE, &text)
                                         : plumb_text_string(&text, "{\n}\n");
    if (!s && token) s = plumb_context(plumb_json_set_string(&text, "pad_token", token), "%s", path.data);
    if (!s && token) s = plumb_write_file(path.data, text.data, text.size);
    plumb_tokenizer_free(tokenizer);
    plumb_text_free(&path);
    plumb_text_free(&text);
    return s;
}

/* Weights are worth more than that name, which config.json has too. */
static plumb_status name_pad_token(const char *folder, const plumb_config *c, const plumb_sink *sink)
{
    plumb_status s = set_pad_token(folder, c);
    if (plumb_status_code(s) != PLUMB_E_INPUT) return s;
    plumb_note(sink, "the tokenizer in %s does not name the pad token, %" PRId64 ": %s", folder, c->pad_id,
               plumb_status_message(s));
    plumb_status_free(s);
    return PLUMB_OK;
}

plumb_status plumb_copy_side_files(const char *from, const char *to, const plumb_config *c, const plumb_sink *sink)
{
    static const char *const names[] = {
        "tokenizer.json",      "tokenizer_config.json",  "special_tokens_map.json", "added_tokens.json",
        "chat_template.jinja", "generation_config.json", "tokenizer.model",         "vocab.json",
        "merges.txt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) PLUMB_TRY(copy_file(from, to, names[i]));
    return name_pad_token(to, c, sink);
}

/* The weights are written even where the other files cannot be. */
static plumb_status finish_into(const char *folder, plumb_trainer *t, const char *model, plumb_dtype dtype,
                                const plumb_sink *sink)
{
    const plumb_masters *w = plumb_trainer_masters(t);
    const plumb_config *c = &w->values->config;
    plumb_status others = plumb_copy_side_files(model, folder, c, sink);
    if (!others && !w->adapter)
        others = plumb_copy_config(model, folder, dtype, c); /* an adapter's config is its own */
    plumb_status s = plumb_masters_save(w, folder, dtype);
    if (!s) return others;
    plumb_status_free(others);
    return s;
}

plumb_status plumb_run_folder_finish(plumb_run_folder *f, plumb_trainer *t, const char *model, plumb_dtype dtype,
                                     const plumb_sink *sink)
{
    return finish_into(f->path, t, model, dtype, sink);
}

plumb_status plumb_run_folder_finish_beside(plumb_run_folder *f, const char *name, plumb_trainer *t, const char *model,
                                            plumb_dtype dtype, const plumb_sink *sink)
{
    plumb_text folder = {0};
    plumb_status s = plumb_path_join(&folder, f->path, name);
    if (!s) s = create_folder(folder.data);
    if (!s) s = finish_into(folder.data, t, model, dtype, sink);
    plumb_text_free(&folder);
    return s;
}
