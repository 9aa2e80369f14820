/* Drawing one panel of a figure as SVG: frame, axes, and marks in data coordinates.
 *
 *     plumb_plot p;
 *     plumb_plot_begin(&p, w, "Chosen log-probs over steps", (plumb_plot_size){420, 270, 56, 70, 30, 40});
 *     plumb_plot_x(&p, 0, 100, "step");
 *     plumb_plot_y(&p, -80, 0, "ln pi");
 *     plumb_plot_line(&p, "chosen", x, y, n);
 *     plumb_plot_end(&p);
 *
 * Colours are classes of the page's style sheet, so that light, dark and print share one drawing. Coordinates have one
 * decimal. NaN ends a line and starts the next; what lies far beyond an axis is drawn at the edge. */
#ifndef PLUMB_REPORT_PLOT_H
#define PLUMB_REPORT_PLOT_H

#include "report/scale.h"
#include "report/writer.h"

typedef struct plumb_plot_size {
    double width, height, left, right, top, bottom; /* the last four: margins */
} plumb_plot_size;

extern const plumb_plot_size plumb_panel; /* the usual one; 420 wide, so that it reads on a phone */

typedef struct plumb_plot {
    plumb_writer *w;
    plumb_plot_size size;
    plumb_scale x, y;
} plumb_plot;

/* `label` says in words what is drawn; `heading` stands above the drawing, NULL or "": none. Both may hold anything. */
void plumb_plot_begin(plumb_plot *p, plumb_writer *w, const char *heading, const char *label, plumb_plot_size size);
void plumb_plot_end(plumb_plot *p);

/* Set a scale and draw its axis with grid lines, ticks and title. The range is used as it is (plumb_nice_range). */
void plumb_plot_x(plumb_plot *p, double low, double high, const char *title);
void plumb_plot_y(plumb_plot *p, double low, double high, const char *title);
/* The same in percent of 0..1 data. */
void plumb_plot_share_x(plumb_plot *p, double low, double high, const char *title);
void plumb_plot_share_y(plumb_plot *p, double low, double high, const char *title);

/* Places in the drawing of a value, within it. */
double plumb_plot_across(const plumb_plot *p, double x);
double plumb_plot_upwards(const plumb_plot *p, double y);

void plumb_plot_line(plumb_plot *p, const char *class_name, const double *x, const double *y, size_t n);
void plumb_plot_band(plumb_plot *p, const char *class_name, const double *x, const double *low, const double *high,
                     size_t n);
/* From one corner to the opposite one. */
void plumb_plot_bar(plumb_plot *p, const char *class_name, double x0, double y0, double x1, double y1, const char *tip);
void plumb_plot_vertical(plumb_plot *p, const char *class_name, double x);
void plumb_plot_horizontal(plumb_plot *p, const char *class_name, double y);
void plumb_plot_dot(plumb_plot *p, const char *class_name, double x, double y, double radius, const char *tip);
/* Text at a place in data coordinates, moved by dx, dy; anchor is "start", "middle" or "end". */
void plumb_plot_text(plumb_plot *p, const char *class_name, double x, double y, double dx, double dy,
                     const char *anchor, const char *text);
/* The same in coordinates of the drawing. */
void plumb_plot_text_at(plumb_plot *p, const char *class_name, double x, double y, const char *anchor,
                        const char *text);

/* Labels beside the ends of lines: moves places (ascending or not, in drawing coordinates) apart to at least `gap`, in
 * order, within [top, bottom] as far as they fit. */
void plumb_spread_labels(double *at, size_t n, double gap, double top, double bottom);

#endif
