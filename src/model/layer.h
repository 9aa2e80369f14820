/* One transformer layer forwards, on a packed batch: the same code for scoring, where buffers are reused from layer to
 * layer, for training, where what the backward pass needs is kept, and for decoding, where keys and values go to a
 * cache. Which of the three is decided by the pointers alone. */
#ifndef PLUMB_MODEL_LAYER_H
#define PLUMB_MODEL_LAYER_H

#include "model/batch.h"
#include "model/model.h"

/* Cosines and sines [positions][rotary / 2] of the two rotary bases: 0 rope, 1 local_rope (window layers); the
 * same memory where the two are equal. */
typedef struct plumb_rotations {
    int positions;
    float *cosine[2], *sine[2];
} plumb_rotations;

/* Makes the tables hold at least `positions`; they grow by doubling. {0} is empty. */
plumb_status plumb_rotations_reserve(const plumb_model *m, int positions, plumb_rotations *r) PLUMB_MUST_USE;
/* Bytes of tables that begin with so many positions. */
int64_t plumb_rotations_bytes(const plumb_config *c, int positions);
void plumb_rotations_free(const plumb_model *m, plumb_rotations *r);

/* Where a layer reads and writes. `queries` are the rows that go on: all rows, or in the last layer the wanted ones.
 * Buffers may be the same memory where the comment says so. */
typedef struct plumb_layer_state {
    const float *x_in;            /* [rows][d] the residual stream before the layer */
    float *x_mid;                 /* [queries][d] after attention; may be x_in when queries are all rows */
    float *x_out;                 /* [queries][d] after the MLP; may be x_mid */
    float *normed;                /* [rows][d] input of q, k, v; then, when mlp_normed is the same, of the MLP */
    float *normed_wanted;         /* [queries][d] the wanted rows of it (last layer only) */
    float *mlp_normed;            /* [queries][d] input of the MLP; may be normed */
    float *fused;                 /* [rows][3 heads head_dim] (PLUMB_QKV_INTERLEAVED only) */
    float *q_raw, *k_raw, *v_raw; /* before clipping and q/k norms; may be q, k, v */
    float *q, *k, *v;             /* [queries] and [rows] [heads or kv_heads * head_dim], as attention reads them */
    float *k_cache, *v_cache;     /* [cache rows][kv_heads * head_dim]: row i of k and v is put at row cache_rows[i] of
                                     the batch, and the segments' key spans are rows there; NULL: rows of k and v */
    float *lse;                   /* [queries][heads] for the backward pass, or NULL */
    float *attended;              /* [queries][heads head_dim] */
    float *attention_out,
        *mlp_out; /* [queries][d] outputs of the branches where a norm follows (POST, SANDWICH); may be the same */
    float *branch_normed; /* [queries][d] after that norm; may be the branch's output */
    float *gate, *up;     /* [queries][ff], or [mlp_rows][ff] when not `whole_mlp`; gate is PLAIN's only one */
    float *product;       /* [mlp_rows][ff] act(gate) * up; may be gate when not `whole_mlp` */
    float *low_rank;      /* [rows][r] where the model has an adapter; else NULL */
    bool *taken;    /* [rows] scratch: linears that round their inputs take differences of partners, in the place of
                       the inputs in normed, normed_wanted, mlp_normed, attended, product; NULL: they do not */
    bool whole_mlp; /* gate and up hold all rows */
    int mlp_rows;   /* the MLP runs over so many rows at a time */
} plumb_layer_state;

/* Layer i. PLUMB_OK leaves the stream in st->x_out. */
plumb_status plumb_layer_forward(const plumb_model *m, const plumb_rotations *rotations, int i, const plumb_batch *b,
                                 const plumb_layer_state *st) PLUMB_MUST_USE;

#endif
