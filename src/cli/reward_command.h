/* Rewards from a command: it is run by /bin/sh once for each generation, reads one JSON row a completion from stdin and
 * answers one number a line on stdout, in their order. */
#ifndef PLUMB_CLI_REWARD_COMMAND_H
#define PLUMB_CLI_REWARD_COMMAND_H

#include "base/memory.h"
#include "base/sink.h"

typedef struct plumb_reward_command {
    const char *command;
    double timeout; /* seconds for a run; 0: none */
    const plumb_sink *sink;
} plumb_reward_command;

/* Writes `rows` (count lines) to the command and sets rewards [count]. What it writes to stderr goes to plumb's.
 * Reading and writing go on side by side, so that no pipe fills up. PLUMB_E_INPUT that says what went wrong, with the
 * line where there is one: the command cannot be run, ends with another code than 0 or by a signal, stops reading
 * before the end, takes longer than the timeout, answers too few or too many lines, or one that is no finite number
 * (*bad is then that line's number from 0; otherwise -1). PLUMB_E_INTERRUPTED when the sink says so; the command, and
 * what it started, gets SIGTERM and soon after SIGKILL, and is waited for in any case. */
plumb_status plumb_reward_command_run(const plumb_reward_command *how, const plumb_text *rows, size_t count,
                                      double *rewards, int64_t *bad) PLUMB_MUST_USE;

/* Before anything is generated: PLUMB_E_INPUT when the command's first word is no program, as far as that can be told
 * without running it. It can where the word is plain (letters, digits and _ . / + -, followed by a blank or the end):
 * one with a slash must be a file that may be run, another one /bin/sh must find (in PATH, among its own commands).
 * What the program makes of its arguments shows when it is run. */
plumb_status plumb_reward_command_check(const plumb_reward_command *how) PLUMB_MUST_USE;

#endif
