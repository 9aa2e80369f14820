/* Which mapping holds an address is asked of the kernel (/proc/self/maps), which has the list anyway: so nothing below
 * cli keeps a list of its own for a handler that gets no argument, and a mapping cannot be forgotten. Everything here
 * is async-signal-safe: open, read, stat, write, _exit and arithmetic on the stack. Where there is no /proc the message
 * goes without the name. */
#include "cli/file_fault.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cli.h"

enum { LINE = 5000, PIECE = 4096 }; /* a line holds a path of at most PATH_MAX bytes */

/* One line of the list: "begin-end rights offset device inode     path". */
typedef struct mapping {
    uint64_t begin, end, offset;
    const char *path; /* "" or "[heap]" where there is no file */
} mapping;

static const char *read_hex(const char *p, uint64_t *out)
{
    for (*out = 0;; p++) {
        int digit = *p >= '0' && *p <= '9' ? *p - '0' : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10 : -1;
        if (digit < 0) return p;
        *out = *out << 4 | (uint64_t)digit;
    }
}

static const char *next_field(const char *p)
{
    while (*p && *p != ' ') p++;
    while (*p == ' ') p++;
    return p;
}

static mapping parse_line(const char *line)
{
    mapping m = {0};
    const char *p = read_hex(line, &m.begin);
    p = read_hex(*p == '-' ? p + 1 : p, &m.end);
    p = read_hex(next_field(next_field(p)), &m.offset);
    m.path = next_field(next_field(next_field(p)));
    return m;
}

/* The mapping that holds the address; its path lies in line [LINE]. */
static bool find_mapping(uint64_t address, char *line, mapping *out)
{
    char piece[PIECE];
    size_t length = 0;
    ssize_t got;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    while ((got = read(fd, piece, sizeof piece)) > 0)
        for (ssize_t i = 0; i < got; i++) {
            if (piece[i] != '\n') {
                if (length < LINE - 1) line[length++] = piece[i];
                continue;
            }
            line[length] = 0;
            length = 0;
            *out = parse_line(line);
            if (address >= out->begin && address < out->end) {
                close(fd);
                return true;
            }
        }
    close(fd);
    return false;
}

static void say(const char *text)
{
    size_t left = strlen(text);
    while (left) {
        ssize_t done = write(STDERR_FILENO, text, left);
        if (done <= 0) return;
        text += done;
        left -= (size_t)done;
    }
}

/* Does the file end before the page of this address? Otherwise its disk did not give it. */
static bool is_cut(const mapping *m, uint64_t address)
{
    struct stat about;
    return stat(m->path, &about) != 0 || (uint64_t)about.st_size <= address - m->begin + m->offset;
}

static void tell(uint64_t address)
{
    char line[LINE];
    mapping m;
    struct termios terminal;
    bool found = find_mapping(address, line, &m) && *m.path == '/';
    if (tcgetattr(STDERR_FILENO, &terminal) == 0) say("\n"); /* a progress bar may stand there */
    say("plumb: error: ");
    say(found ? m.path : "an input file");
    if (found && !is_cut(&m, address))
        say(": could not be read from its disk\n  check the disk, or copy the file to another one, and run again\n");
    else
        say(": became shorter while it was read\n  wait until whoever writes it has finished, or restore it, and run "
            "again; a new version is safe to put there by renaming it\n");
}

static void on_bus_error(int number, siginfo_t *about, void *context)
{
    static atomic_flag told = ATOMIC_FLAG_INIT; /* other threads may read the same file */
    (void)context;
    if (about->si_code != BUS_ADRERR) { /* sent by hand, or a fault that has nothing to do with files */
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    if (atomic_flag_test_and_set(&told))
        for (;;) pause();
    tell((uint64_t)(uintptr_t)about->si_addr);
    _exit(PLUMB_EXIT_FAILED);
}

void plumb_catch_file_faults(void)
{
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}
