#include "base/progress.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { FIELD = 64, LINE = 512, NARROWEST_BAR = 10, WIDEST_BAR = 30 };

void plumb_format_count(double count, char *out, size_t size)
{
    char digits[FIELD], text[2 * FIELD];
    int n = snprintf(digits, sizeof digits, "%.0f", fabs(count) < 1e18 ? fabs(count) : 1e18), used = 0;
    if (count <= -0.5) text[used++] = '-';
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = 0;
    snprintf(out, size, "%s", text);
}

void plumb_format_bytes(double bytes, char *out, size_t size)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB"};
    int u = 0;
    while (bytes >= 999.5 && u < 5) {
        bytes /= 1000;
        u++;
    }
    snprintf(out, size, "%.*f %s", u && bytes < 99.95 ? 1 : 0, bytes, units[u]);
}

void plumb_format_duration(double seconds, char *out, size_t size)
{
    long long s = seconds > 0 && seconds < 1e12 ? llround(seconds) : 0;
    long long days = s / 86400, hours = s / 3600 % 24, minutes = s / 60 % 60;
    if (days)
        snprintf(out, size, "%lld d %lld:%02lld", days, hours, minutes);
    else if (hours)
        snprintf(out, size, "%lld:%02lld:%02lld", hours, minutes, s % 60);
    else
        snprintf(out, size, "%lld:%02lld", minutes, s % 60);
}

static bool counts_bytes(const plumb_pace *p)
{
    return strcmp(p->unit, "bytes") == 0;
}

/* Whole numbers from 10 on, two digits below: "0.42", "7.5", "310". */
static void format_rate(const plumb_pace *p, double rate, char *out, size_t size)
{
    if (counts_bytes(p))
        plumb_format_bytes(rate, out, size);
    else if (rate >= 10)
        plumb_format_count(rate, out, size);
    else
        snprintf(out, size, "%.*f", rate < 1 ? 2 : 1, rate);
}

static void format_amount(const plumb_pace *p, double amount, char *out, size_t size)
{
    if (counts_bytes(p))
        plumb_format_bytes(amount, out, size);
    else
        plumb_format_count(amount, out, size);
}

void plumb_progress_line(const plumb_pace *p, char *out, size_t size)
{
    char done[FIELD], total[FIELD], pace[3 * FIELD] = "", line[LINE];
    double work = p->done - p->first, rate = p->elapsed > 0 ? work / p->elapsed : 0;
    const char *unit = counts_bytes(p) ? "" : p->unit, *gap = *unit ? " " : "";
    format_amount(p, p->done, done, sizeof done);
    if (p->elapsed >= 0.5 && work > 0) {
        char speed[FIELD], left[FIELD];
        format_rate(p, rate, speed, sizeof speed);
        plumb_format_duration((p->total - p->done) / rate, left, sizeof left);
        if (p->total >= p->done)
            snprintf(pace, sizeof pace, ", %s/s, %s left", speed, left);
        else
            snprintf(pace, sizeof pace, ", %s/s", speed);
    }
    if (p->total > 0) {
        /* Rounded down: 100 % is said when all is done, and not before. */
        int percent = (int)fmin(100, floor(100 * p->done / p->total));
        format_amount(p, p->total, total, sizeof total);
        snprintf(line, sizeof line, "%s of %s%s%s (%d %%)%s", done, total, gap, unit, percent, pace);
    } else {
        snprintf(line, sizeof line, "%s%s%s%s", done, gap, unit, pace);
    }
    snprintf(out, size, "%s", line);
}

void plumb_progress_bar(const plumb_pace *p, int columns, char *out, size_t size)
{
    char line[LINE], bar[WIDEST_BAR + 4] = "";
    plumb_progress_line(p, line, sizeof line);
    int room = columns - (int)strlen(line) - 3;
    if (p->total > 0 && room >= NARROWEST_BAR) {
        int width = room < WIDEST_BAR ? room : WIDEST_BAR;
        int filled = (int)(width * fmax(0, fmin(1, p->done / p->total)));
        bar[0] = '[';
        for (int i = 0; i < width; i++) bar[1 + i] = i < filled ? '#' : i == filled ? '>' : '.';
        memcpy(bar + 1 + width, "] ", 3);
    }
    char both[LINE + sizeof bar];
    snprintf(both, sizeof both, "%s%s", bar, line);
    snprintf(out, size, "%-*.*s", columns, columns, both);
}
