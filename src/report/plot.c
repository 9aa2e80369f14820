#include "report/plot.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const plumb_plot_size plumb_panel = {420, 280, 52, 18, 30, 42};

void plumb_plot_begin(plumb_plot *p, plumb_writer *w, const char *heading, const char *label, plumb_plot_size size)
{
    *p = (plumb_plot){.w = w, .size = size};
    plumb_put(w, "<div class=\"panel\">");
    if (heading && *heading) {
        plumb_put(w, "<p class=\"heading\"><bdi>");
        plumb_put_html_string(w, heading);
        plumb_put(w, "</bdi></p>");
    }
    plumb_putf(w, "<svg viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"", size.width, size.height);
    plumb_put_html_string(w, label);
    plumb_put(w, "\">\n");
}

void plumb_plot_end(plumb_plot *p)
{
    plumb_put(p->w, "</svg></div>\n");
}

/* A place in the drawing; values that are far beyond the axis lie at its edge. */
double plumb_plot_across(const plumb_plot *p, double x)
{
    double at = plumb_scale_at(&p->x, x);
    return isnan(at) ? p->x.from : fmin(fmax(at, 0), p->size.width);
}

double plumb_plot_upwards(const plumb_plot *p, double y)
{
    double at = plumb_scale_at(&p->y, y);
    return isnan(at) ? p->y.from : fmin(fmax(at, 0), p->size.height);
}

static double bottom(const plumb_plot *p)
{
    return p->size.height - p->size.bottom;
}

static double right(const plumb_plot *p)
{
    return p->size.width - p->size.right;
}

static void put_label(plumb_plot *p, const plumb_ticks *ticks, double value, bool share)
{
    char label[40];
    plumb_ticks percent = *ticks;
    percent.decimals = ticks->decimals > 2 ? ticks->decimals - 2 : 0;
    plumb_tick_label(share ? &percent : ticks, share ? 100 * value : value, label, sizeof label);
    plumb_putf(p->w, "%s%s</text>", label, share ? "\xC2\xA0%" : "");
}

static void axis_x(plumb_plot *p, double low, double high, const char *title, bool share)
{
    plumb_ticks ticks = plumb_nice_ticks(low, high, (int)((right(p) - p->size.left) / 55));
    p->x = (plumb_scale){low, high, p->size.left, right(p)};
    plumb_put(p->w, "<g class=\"axis\">");
    for (int i = 0; i < ticks.count; i++) {
        double at = plumb_scale_at(&p->x, ticks.at[i]);
        plumb_putf(p->w, "<path d=\"M%.1f %.1fv5\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", at, bottom(p),
                   at, bottom(p) + 17);
        put_label(p, &ticks, ticks.at[i], share);
    }
    plumb_putf(p->w, "<path d=\"M%.1f %.1fH%.1f\"/><text class=\"title\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">",
               p->size.left, bottom(p), right(p), right(p), bottom(p) + 34);
    plumb_put_html_string(p->w, title);
    plumb_put(p->w, "</text></g>\n");
}

static void axis_y(plumb_plot *p, double low, double high, const char *title, bool share)
{
    plumb_ticks ticks = plumb_nice_ticks(low, high, (int)((bottom(p) - p->size.top) / 34));
    p->y = (plumb_scale){low, high, bottom(p), p->size.top};
    plumb_put(p->w, "<g class=\"axis\">");
    for (int i = 0; i < ticks.count; i++) {
        double at = plumb_scale_at(&p->y, ticks.at[i]);
        plumb_putf(p->w, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">",
                   p->size.left, at, right(p), p->size.left - 7, at + 4);
        put_label(p, &ticks, ticks.at[i], share);
    }
    plumb_putf(p->w, "<text class=\"title\" x=\"4\" y=\"%.1f\">", p->size.top - 15);
    plumb_put_html_string(p->w, title);
    plumb_put(p->w, "</text></g>\n");
}

void plumb_plot_x(plumb_plot *p, double low, double high, const char *title)
{
    axis_x(p, low, high, title, false);
}

void plumb_plot_y(plumb_plot *p, double low, double high, const char *title)
{
    axis_y(p, low, high, title, false);
}

void plumb_plot_share_x(plumb_plot *p, double low, double high, const char *title)
{
    axis_x(p, low, high, title, true);
}

void plumb_plot_share_y(plumb_plot *p, double low, double high, const char *title)
{
    axis_y(p, low, high, title, true);
}

void plumb_plot_line(plumb_plot *p, const char *class_name, const double *x, const double *y, size_t n)
{
    char move = 'M';
    plumb_putf(p->w, "<path class=\"line %s\" d=\"", class_name);
    for (size_t i = 0; i < n; i++) {
        bool gap = !isfinite(x[i]) || !isfinite(y[i]);
        if (!gap) plumb_putf(p->w, "%c%.1f %.1f", move, plumb_plot_across(p, x[i]), plumb_plot_upwards(p, y[i]));
        move = gap ? 'M' : 'L';
    }
    plumb_put(p->w, "\"/>\n");
}

void plumb_plot_band(plumb_plot *p, const char *class_name, const double *x, const double *low, const double *high,
                     size_t n)
{
    char move = 'M';
    plumb_putf(p->w, "<path class=\"band %s\" d=\"", class_name);
    for (size_t i = 0; i < 2 * n; i++) {
        size_t k = i < n ? i : 2 * n - 1 - i;
        double y = i < n ? high[k] : low[k];
        if (!isfinite(x[k]) || !isfinite(y)) continue;
        plumb_putf(p->w, "%c%.1f %.1f", move, plumb_plot_across(p, x[k]), plumb_plot_upwards(p, y));
        move = 'L';
    }
    plumb_put(p->w, move == 'L' ? "Z\"/>\n" : "\"/>\n");
}

static void put_tip(plumb_plot *p, const char *element, const char *tip)
{
    if (!tip) {
        plumb_put(p->w, "/>\n");
        return;
    }
    plumb_put(p->w, "><title>");
    plumb_put_html_string(p->w, tip);
    plumb_putf(p->w, "</title></%s>\n", element);
}

void plumb_plot_bar(plumb_plot *p, const char *class_name, double x0, double y0, double x1, double y1, const char *tip)
{
    double left = plumb_plot_across(p, x0), width = plumb_plot_across(p, x1) - left;
    double top = plumb_plot_upwards(p, y1), height = plumb_plot_upwards(p, y0) - top;
    if (width < 0) left += width;
    if (height < 0) top += height;
    plumb_putf(p->w, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"", class_name, left, top,
               fabs(width), fabs(height));
    put_tip(p, "rect", tip);
}

void plumb_plot_vertical(plumb_plot *p, const char *class_name, double x)
{
    plumb_putf(p->w, "<path class=\"%s\" d=\"M%.1f %.1fV%.1f\"/>\n", class_name, plumb_plot_across(p, x), p->size.top,
               bottom(p));
}

void plumb_plot_horizontal(plumb_plot *p, const char *class_name, double y)
{
    plumb_putf(p->w, "<path class=\"%s\" d=\"M%.1f %.1fH%.1f\"/>\n", class_name, p->size.left, plumb_plot_upwards(p, y),
               right(p));
}

void plumb_plot_dot(plumb_plot *p, const char *class_name, double x, double y, double radius, const char *tip)
{
    plumb_putf(p->w, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%g\"", class_name, plumb_plot_across(p, x),
               plumb_plot_upwards(p, y), radius);
    put_tip(p, "circle", tip);
}

void plumb_plot_text_at(plumb_plot *p, const char *class_name, double x, double y, const char *anchor, const char *text)
{
    plumb_putf(p->w, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", class_name, x, y, anchor);
    plumb_put_html_string(p->w, text);
    plumb_put(p->w, "</text>\n");
}

void plumb_plot_text(plumb_plot *p, const char *class_name, double x, double y, double dx, double dy,
                     const char *anchor, const char *text)
{
    plumb_plot_text_at(p, class_name, plumb_plot_across(p, x) + dx, plumb_plot_upwards(p, y) + dy, anchor, text);
}

/* Sweeps down and up again over the labels in the order of their places; n is small. */
void plumb_spread_labels(double *at, size_t n, double gap, double top, double bottom_end)
{
    enum { MOST = 64 };
    size_t order[MOST];
    if (n > MOST) n = MOST;
    for (size_t i = 0; i < n; i++) {
        size_t k = i;
        for (; k > 0 && at[order[k - 1]] > at[i]; k--) order[k] = order[k - 1];
        order[k] = i;
    }
    double limit = top;
    for (size_t i = 0; i < n; i++) {
        if (at[order[i]] < limit) at[order[i]] = limit;
        limit = at[order[i]] + gap;
    }
    limit = bottom_end;
    for (size_t i = n; i-- > 0;) {
        if (at[order[i]] > limit) at[order[i]] = limit;
        limit = at[order[i]] - gap;
    }
}
