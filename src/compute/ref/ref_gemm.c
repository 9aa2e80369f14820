#include "compute/ref/ref_gemm.h"

enum { MR = 4, NR = 8 };

/* The tile is always computed in full in a local array, which the compiler keeps in registers; only the m x n part that
 * exists is read from and written to y. Products are rounded before they are added (the build turns contraction off).
 */
static void gemm_tile(int kc, const float *a, const float *b, float *y, int ldy, int m, int n, bool start,
                      const float *bias)
{
    float sum[MR][NR] = {{0}};
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            if (start) sum[i][j] = y[(size_t)i * (size_t)ldy + (size_t)j];
            if (bias) sum[i][j] = start ? sum[i][j] + bias[j] : bias[j];
        }
    for (int p = 0; p < kc; p++, a += MR, b += NR)
        for (int i = 0; i < MR; i++)
            for (int j = 0; j < NR; j++) sum[i][j] += a[i] * b[j];
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) y[(size_t)i * (size_t)ldy + (size_t)j] = sum[i][j];
}

static bool not_finite(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits & 0x7f800000u) == 0x7f800000u;
}

/* count elements from index `first` to b[0], b[step], ...; true if one is NaN or infinite. */
static bool widen(const void *w, plumb_dtype dtype, size_t first, int count, int step, float *b)
{
    bool bad = false;
    for (int p = 0; p < count; p++) {
        float value = plumb_load(w, dtype, first + (size_t)p);
        bad |= not_finite(value);
        b[(size_t)p * (size_t)step] = value;
    }
    return bad;
}

static bool pack_weights(const void *w, plumb_dtype dtype, size_t k, int n, int k0, int kc, int nr, float *b)
{
    bool bad = false;
    for (int j = 0; j < n; j++) bad |= widen(w, dtype, (size_t)j * k + (size_t)k0, kc, nr, b + j);
    for (int p = 0; p < kc; p++)
        for (int j = n; j < nr; j++) b[(size_t)p * (size_t)nr + (size_t)j] = 0;
    return !bad;
}

static bool pack_weights_transposed(const void *w, plumb_dtype dtype, size_t k, int n0, int nc, int k0, int kcount,
                                    int nr, float *b)
{
    bool bad = false;
    for (int p = 0; p < nc; p++, b += nr) {
        bad |= widen(w, dtype, ((size_t)n0 + (size_t)p) * k + (size_t)k0, kcount, 1, b);
        for (int j = kcount; j < nr; j++) b[j] = 0;
    }
    return !bad;
}

static void pack_inputs(const float *x, int ldx, int m, int k0, int kc, int mr, float *a)
{
    for (int i = 0; i < mr; i++) {
        const float *row = x + (size_t)(i < m ? i : 0) * (size_t)ldx + (size_t)k0;
        for (int p = 0; p < kc; p++) a[(size_t)p * (size_t)mr + (size_t)i] = i < m ? row[p] : 0;
    }
}

void plumb_ref_gemm(plumb_kernels *k)
{
    k->gemm.mr = MR;
    k->gemm.nr = NR;
    k->gemm.pair = 1;
    k->gemm.tile = gemm_tile;
    k->gemm.pack_weights = pack_weights;
    k->gemm.pack_weights_transposed = pack_weights_transposed;
    k->gemm.pack_inputs = pack_inputs;
}
