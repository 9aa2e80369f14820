/* The steps of plumb demo: commands of this program, run as a user would run them, one after the other.
 *
 * What is done is kept in DIR/plumb-demo.log: first the program and the world that the folder is about, then a line for
 * each command that is complete. A demo that was stopped goes on behind the last of them. */
#ifndef PLUMB_CLI_DEMO_STEPS_H
#define PLUMB_CLI_DEMO_STEPS_H

#include "base/memory.h"
#include "cli/cli.h"

enum { PLUMB_DEMO_WORDS = 24 };

typedef struct plumb_demo {
    plumb_cli *cli;
    const char *world; /* folder of the demo world */
    const char *folder;
    int64_t limit, steps, seed; /* 0: not given (seed: always is) */
    int64_t same_steps;         /* what the first training took; 0: not known yet */
    int threads;                /* of the commands; 0: as they choose */
    plumb_text log;             /* the lines of plumb-demo.log */
    plumb_arena arena;          /* paths and words */
} plumb_demo;

/* A command. Words stand as they are, except for those that begin with
 *   @name   DIR/name
 *   %name   WORLD/name
 *   ?name   WORLD/name where it is there, otherwise the word is left out, and the one before it
 *   !name   a trained model for plumb generate: DIR/name, or where that is a LoRA adapter WORLD/model --adapter
 * DIR/name =limit, =steps, =same_steps, =seed   the value, or nothing and not the word before it where it is 0 (seed:
 * always) */
typedef struct plumb_demo_step {
    const char *title; /* NULL: goes on under the title before */
    const char *why;   /* a sentence or two; NULL: none */
    const char *output;
    const char *words[PLUMB_DEMO_WORDS]; /* ends with NULL; -o DIR/output comes behind it */
} plumb_demo_step;

/* Finds the world: `given` (PLUMB_WORLD) or else beside the program or in ../share/plumb of it. PLUMB_E_INPUT when it
 * is not there or lacks a file, which is named. */
plumb_status plumb_demo_find_world(plumb_demo *d, const char *given) PLUMB_MUST_USE;

/* Makes the folder or goes on in it. PLUMB_E_OUTPUT when it holds something else, or a demo of another program, world
 * or size. */
plumb_status plumb_demo_open(plumb_demo *d) PLUMB_MUST_USE;

/* DIR/name, in the arena. */
plumb_status plumb_demo_path(plumb_demo *d, const char *name, const char **out) PLUMB_MUST_USE;

/* Prints title, why and command, and runs it unless it is done. *code: its exit code (0 when it was done before; 128 +
 * the signal that ended it). A signal to this process is passed on, and PLUMB_E_INTERRUPTED returned when the command
 * ended. */
plumb_status plumb_demo_run(plumb_demo *d, const plumb_demo_step *step, int *code) PLUMB_MUST_USE;

/* A line of the demo, for stdout; long ones are folded at the terminal's width, `indent` blanks before the next lines.
 */
plumb_status plumb_demo_say(int indent, const char *format, ...) PLUMB_PRINTF(2, 3) PLUMB_MUST_USE;

#endif
