/* What the tests share: cmocka, failing on a status, back ends of this CPU, reference files. */
#ifndef PLUMB_TESTS_SUPPORT_H
#define PLUMB_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/status.h"
#include "compute/compute.h"

/* Fails the test with the message when s is an error. */
static inline void check_ok_at(plumb_status s, const char *file, int line)
{
    if (!s) return;
    print_error("%s\n", plumb_status_message(s));
    plumb_status_free(s);
    _fail(file, line);
}
#define check_ok(expression) check_ok_at((expression), __FILE__, __LINE__)

/* Fails unless s is an error of that code whose message or cure holds the text. Frees s. */
static inline void check_error_at(plumb_status s, plumb_code code, const char *text, const char *file, int line)
{
    const char *message = plumb_status_message(s), *cure = plumb_status_cure(s);
    if (!s || plumb_status_code(s) != code || !(strstr(message, text) || (cure && strstr(cure, text)))) {
        print_error("expected an error (code %d) with \"%s\", got code %d: %s\n", (int)code, text,
                    (int)plumb_status_code(s), s ? message : "success");
        plumb_status_free(s);
        _fail(file, line);
    }
    plumb_status_free(s);
}
#define check_error(expression, code, text) check_error_at((expression), (code), (text), __FILE__, __LINE__)

/* Every back end there is; opening one that this CPU lacks gives an error, and the caller says so and goes on. */
static const char *const test_isas[] = {"ref", "avx2", "avx512"};
enum { TEST_ISAS = 3 };

/* Opens a back end, or says that it is left out and returns NULL. */
static inline plumb_compute *open_isa(const char *isa, int threads)
{
    plumb_compute *c = NULL;
    plumb_status s = plumb_compute_open(isa, threads, &c);
    if (s) {
        print_message("left out: %s (%s)\n", isa, plumb_status_message(s));
        plumb_status_free(s);
        return NULL;
    }
    return c;
}

/* The folder of a reference checkpoint. aidreams260k is not in the repository: NULL where ../shared is absent. */
static inline const char *oracle_path(const char *kind, const char *name)
{
    static char path[4][512];
    static int at;
    char *out = path[at++ % 4];
    const char *root = strcmp(name, "aidreams260k") == 0 ? PLUMB_SHARED_DATA "/oracle" : PLUMB_TEST_DATA;
    snprintf(out, sizeof path[0], "%s/%s/%s", root, kind, name);
    FILE *f = fopen(out, "r");
    if (!f) return NULL;
    fclose(f);
    return out;
}

/* Reads FOLDER/NAME as JSON lines into a new array. */
static inline json_t *load_jsonl(const char *folder, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "r");
    if (!f) fail_msg("cannot open %s", path);
    json_t *all = json_array(), *row;
    json_error_t error;
    while ((row = json_loadf(f, JSON_DISABLE_EOF_CHECK, &error))) {
        json_array_append_new(all, row);
        int ch;
        while ((ch = fgetc(f)) == '\n' || ch == '\r') {
        }
        if (ch == EOF) break;
        ungetc(ch, f);
    }
    fclose(f);
    return all;
}

#endif
