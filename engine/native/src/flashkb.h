/* What the files of the library share: weight formats, quantised activations, and the table of kernels of one instruction set. */
#ifndef FLASHKB_H
#define FLASHKB_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define FK_EXPORT __declspec(dllexport)
#else
#define FK_EXPORT __attribute__((visibility("default")))
#endif
#define FK_INLINE static inline __attribute__((always_inline))

enum { GROUP = 32, LANES = 8, OCTET = GROUP * LANES, ACTIVATION_PAD = 64 };

/* The order is that of NATIVE_FORMATS in library.py. */
typedef enum { F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q8_0, Q2_1, Q3_1, Q4_64, Q4_K, Q5_K, Q6_K, FORMATS } format_t;

typedef struct {
    int64_t block_columns, block_bytes;
    int quantized;
} format_facts_t;

extern const format_facts_t fk_formats[FORMATS];

/*
 * Activations in int8 with a scale for every 32 columns.
 *
 * width 1: one token, everything in column order.
 * width 8: eight tokens side by side, so that a vector holds one value of each: q is [groups][8 chunks][8 tokens][4 columns], the other
 * fields are [groups][8 tokens]. Missing tokens are zero.
 */
typedef struct {
    int8_t *q;
    float *scale;       /* largest magnitude / 127 */
    float *scaled_sum;  /* scale * sum of q: meets the offset of a weight group */
    int32_t *sum;       /* sum of q: meets the zero point of formats that store unsigned quants */
    int16_t *half_sums; /* sums of q over the first and the last 16 columns of a group: two for each value of the fields above */
} activations_t;

/*
 * Every path adds up a row in this one order, so a token has the same bits alone and among others: group g adds into lane g % 8, its
 * integer product times (weight scale * activation scale) first, its offset times the scaled sum second; `fk_lanes` adds the lanes.
 * Plain floats add column c into lane c % 16.
 */
typedef struct {
    const char *name;
    void (*quantize)(const float *x, int64_t groups, activations_t *out);
    /* With `lanes` [8] the sum goes on from there and is left there, for a row that comes in parts. */
    float (*dot)(format_t format, const uint8_t *row, int64_t groups, const activations_t *x, float *lanes);
    /* At most 4 rows against blocks of eight tokens; out[token * out_stride + row]. `lanes` is NULL or [blocks][lane_rows][8 lanes][8 tokens],
       of which the first rows are these, and then takes what would go to `out`. */
    void (*dot_many)(format_t format, const uint8_t *const *rows, int row_count, int64_t groups, const activations_t *x, int64_t blocks,
                     int64_t tokens, float *out, int64_t out_stride, uint8_t *scratch, float *lanes, int64_t lane_rows);
    /* x is float32 [tokens][x_stride]; `lanes` is NULL or [tokens][lane_rows][16]. */
    void (*dot_plain)(format_t format, const uint8_t *row, int64_t columns, const float *x, int64_t x_stride, int64_t tokens, float *out,
                      int64_t out_stride, float *lanes, int64_t lane_rows);
    /* columns [first, first + columns) of a row as floats: scale * quant + offset; both are multiples of 32 for quantised formats */
    void (*expand)(format_t format, const uint8_t *row, int64_t first, int64_t columns, float *out);
    /* out[c] += coefficients[r] * (what expand gives for row r), rows in order */
    void (*add_rows)(format_t format, const uint8_t *const *rows, const float *coefficients, int row_count, int64_t first, int64_t columns,
                     float *out);
    /*
     * One head of causal attention: query [dim] over `length` keys and values of the cache, half floats, `dim` apart. Blocks of 64 positions from the
     * first on, each softmax rescaled when a later block has a larger score, so the bits do not depend on who asks.
     */
    void (*attend)(const float *query, const uint16_t *keys, const uint16_t *values, int64_t length, int64_t dim, float scale, float *out);
    /* up[i] = up[i] * gate[i] / (1 + exp(-gate[i])) */
    void (*silu)(float *up, const float *gate, int64_t count);
} kernels_t;

extern const kernels_t fk_portable;
const kernels_t *fk_avx2(void); /* NULL where the processor or the build lacks it */
const kernels_t *fk_vnni(void);
const kernels_t *fk_neon(void);
const kernels_t *fk_neon_dot(void);
const kernels_t *fk_kernels(void); /* the best of this machine, or what fk_use chose */

/* Scratch bytes that dot_many needs: four unpacked rows with their scales. */
int64_t fk_scratch_bytes(int64_t groups);

/* Floats between one block of a part-wise sum and the next row's. */
enum { BLOCK_LANES = LANES * LANES, PLAIN_LANES = 2 * LANES };

FK_INLINE float fk_lanes(const float *lane) {
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* pool.c */
typedef void (*fk_work_t)(void *context, int64_t first, int64_t last);
/* Calls work on pieces of [0, count), `grain` at a time, from this thread and the pool's; returns when all are done. */
void fk_pool_run(fk_work_t work, void *context, int64_t count, int64_t grain);
int fk_pool_threads(void);

/* Memory that grows and stays, one for each use; 64-byte aligned. Only the thread that holds the call lock asks for it. */
enum { SCRATCH_ACTIVATIONS, SCRATCH_TOKEN, SCRATCH_PIECES, SCRATCHES };
void *fk_scratch(int which, size_t bytes);
void fk_call_lock(void);
void fk_call_unlock(void);

/* crc.c */
FK_EXPORT uint32_t fk_crc32(const uint8_t *data, int64_t size);

/* A matrix as Python describes it; `bias` NULL where there is none, `data` NULL where there is no such matrix. */
typedef struct {
    int64_t format, rows, row_stride, columns;
    const uint8_t *data;
    const float *bias;
} matrix_t;

/* One of several products with the same activations; out[token * out_stride + row], or `lanes` where the columns come in parts. */
typedef struct {
    const matrix_t *w;
    float *out;
    int64_t out_stride;
    float *lanes;
} product_t;

/* matmul.c: without the call lock, for use inside larger calls. All of `products` have as many columns. */
int fk_products(const product_t *products, int64_t count, const float *x, int64_t n, int64_t x_stride);
/* Rows whose columns lie in pieces one after the other, all quantised or all plain: what x [n][x_stride] over all their columns makes is added
   to `lanes`, of which fk_lane_floats says how many there are. All pieces but the last of a row hold a multiple of 256 columns. */
int fk_add_pieces(const matrix_t *pieces, int64_t count, const float *x, int64_t n, int64_t x_stride, float *lanes);
FK_EXPORT int64_t fk_lane_floats(int format, int64_t rows, int64_t n);
FK_EXPORT void fk_finish_product(int format, const float *lanes, int64_t rows, int64_t n, float *out);
/* The rows of `w` in `order` (NULL: as they lie), added to what `out` holds. coefficients [n][coefficient_stride], by place in memory. */
int fk_row_sums(const matrix_t *w, const float *coefficients, int64_t n, int64_t coefficient_stride, const int64_t *order, float *out,
                int64_t out_stride);

enum { FK_OK = 0, FK_NO_MEMORY = -1, FK_BAD_ARGUMENT = -2, FK_END_OF_FILE = -3, FK_IO = -4 };

#endif
