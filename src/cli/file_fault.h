/* A mapped file that shrinks while it is read: a message and an exit code in place of a core dump. */
#ifndef PLUMB_CLI_FILE_FAULT_H
#define PLUMB_CLI_FILE_FAULT_H

/* From now on SIGBUS in a mapped file prints what happened, which file it was and what to do, and ends the program with
 * PLUMB_EXIT_FAILED at once: partial outputs stay as they are. Any other SIGBUS does what it did before. */
void plumb_catch_file_faults(void);

#endif
