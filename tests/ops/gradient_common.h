/* What the tests of gradients share: fp64 references are formulas, and the formulas are checked by central differences
 * of the fp64 forward. */
#ifndef PLUMB_TESTS_OPS_GRADIENT_COMMON_H
#define PLUMB_TESTS_OPS_GRADIENT_COMMON_H

#include "compute/gradient.h"
#include "ops/ops_common.h"

enum { MOST_THREADS = 3 };

/* A loss over parameters x [n] in fp64. */
typedef double (*loss_function)(const void *context, const double *x);

/* Fails unless gradient [n] is the derivative of the loss at x: an error of 1e-6 of its largest element. */
static inline void expect_slopes(loss_function loss, const void *context, double *x, const double *gradient, int n,
                                 const char *what)
{
    double largest = 1e-3;
    for (int i = 0; i < n; i++) largest = fmax(largest, fabs(gradient[i]));
    for (int i = 0; i < n; i++) {
        double at = x[i], step = 1e-5 * fmax(1, fabs(at));
        x[i] = at + step;
        double above = loss(context, x);
        x[i] = at - step;
        double below = loss(context, x), slope = (above - below) / (2 * step);
        x[i] = at;
        if (!(fabs(slope - gradient[i]) <= 1e-6 * largest))
            fail_msg("%s: slope %d is %.9g by formula, %.9g by differences", what, i, gradient[i], slope);
    }
}

static inline double *widened(const float *x, size_t count)
{
    double *y = allocate(count, sizeof *y);
    for (size_t i = 0; i < count; i++) y[i] = x[i];
    return y;
}

/* Fails unless the rows of x differ from those of wanted [rows][width] by at most `tolerance` in the norm, relative to
 * the norm of wanted and at least `floor`; keeps the largest relative error seen. */
static inline void expect_close(const float *x, int rows, int width, int ld, const double *wanted, double floor,
                                double tolerance, const char *what, double *worst)
{
    double error = 0, size = floor * floor;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < width; j++) {
            double w = wanted[(size_t)i * (size_t)width + (size_t)j], d = x[(size_t)i * (size_t)ld + (size_t)j] - w;
            error += d * d;
            size += w * w;
        }
    double relative = size > 0 ? sqrt(error / size) : sqrt(error);
    if (!(relative <= tolerance)) fail_msg("%s: relative error %.3g", what, relative);
    if (worst && relative > *worst) *worst = relative;
}

#endif
