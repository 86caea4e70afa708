/* Matrix products over the pool: a matrix's rows times activations, and the weighted sum of rows. */
#include <stdlib.h>
#include <string.h>

#include "flashkb.h"
#include "threads.h"

static const kernels_t *_Atomic chosen;

const kernels_t *fk_kernels(void) {
    const kernels_t *best = atomic_load(&chosen);
    if (best) return best;
    best = fk_vnni();
    if (!best) best = fk_avx2();
    if (!best) best = fk_neon_dot();
    if (!best) best = fk_neon();
    if (!best) best = &fk_portable;
    atomic_store(&chosen, best);
    return best;
}

FK_EXPORT const char *fk_name(void) { return fk_kernels()->name; }

/* Takes the path of that name if this machine has it; for tests and measurements. */
FK_EXPORT int fk_use(const char *name) {
    const kernels_t *paths[] = {fk_vnni(), fk_avx2(), fk_neon_dot(), fk_neon(), &fk_portable};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (!paths[i] || strcmp(paths[i]->name, name) != 0) continue;
        fk_call_lock();
        atomic_store(&chosen, paths[i]);
        fk_call_unlock();
        return FK_OK;
    }
    return FK_BAD_ARGUMENT;
}

static int64_t up(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

enum { GROUP_BYTES = GROUP + 4 + 4 + 4 + 4 };

static activations_t carve(uint8_t *at, int64_t values) {
    float *scale = (float *)(void *)(at + values * GROUP);
    return (activations_t){(int8_t *)at, scale, scale + values, (int32_t *)(scale + 2 * values), (int16_t *)(scale + 3 * values)};
}

typedef struct {
    const float *x;
    int64_t x_stride, n, groups, padded;
    uint8_t *rows;         /* each pool piece's own token in column order */
    activations_t *blocks; /* [n / 8] of width 8, or one of width 1 */
} quantizing_t;

/* Block b of eight tokens: each quantised in column order, then laid side by side. */
static void quantize_block(const quantizing_t *job, int64_t b) {
    const kernels_t *k = fk_kernels();
    activations_t one = carve(job->rows + b * job->padded * GROUP_BYTES, job->padded), *many = &job->blocks[b];
    for (int64_t t = 0; t < LANES; t++) {
        if (b * LANES + t < job->n) k->quantize(job->x + (b * LANES + t) * job->x_stride, job->groups, &one);
        else memset(one.q, 0, (size_t)(job->padded * GROUP_BYTES));
        for (int64_t g = 0; g < job->groups; g++) {
            int64_t to = g * LANES + t;
            for (int chunk = 0; chunk < LANES; chunk++) memcpy(many->q + ((g * LANES + chunk) * LANES + t) * 4, one.q + g * GROUP + 4 * chunk, 4);
            many->scale[to] = one.scale[g];
            many->scaled_sum[to] = one.scaled_sum[g];
            many->sum[to] = one.sum[g];
            memcpy(many->half_sums + 2 * to, one.half_sums + 2 * g, 4);
        }
    }
}

static void quantize_piece(void *context, int64_t first, int64_t last) {
    for (int64_t b = first; b < last; b++) quantize_block(context, b);
}

/* The activations of n tokens in scratch memory, or NULL without memory. */
static activations_t *quantize_all(const float *x, int64_t n, int64_t x_stride, int64_t groups) {
    int64_t padded = up(groups, LANES), blocks = n == 1 ? 1 : up(n, LANES) / LANES;
    size_t head = (size_t)up(blocks * (int64_t)sizeof(activations_t), 64), one = (size_t)(padded * GROUP_BYTES);
    uint8_t *memory = fk_scratch(SCRATCH_ACTIVATIONS, head + (size_t)blocks * one * (n == 1 ? 1 : LANES + 1));
    if (!memory) return NULL;
    activations_t *all = (activations_t *)(void *)memory;
    memory += head;
    if (n == 1) {
        memset(memory + (padded - LANES) * GROUP, 0, one - (size_t)((padded - LANES) * GROUP));
        all[0] = carve(memory, padded);
        fk_kernels()->quantize(x, groups, &all[0]);
        return all;
    }
    quantizing_t job = {x, x_stride, n, groups, padded, memory + (size_t)blocks * one * LANES, all};
    for (int64_t b = 0; b < blocks; b++) all[b] = carve(memory + (size_t)b * one * LANES, padded * LANES);
    fk_pool_run(quantize_piece, &job, blocks, 1);
    return all;
}

/* One product's activations: float32 [n][x_stride], and in int8 where its weights are quantised. */
typedef struct {
    const float *x;
    int64_t n, x_stride;
    const activations_t *quantized;
} input_t;

static int quantized_rows(const product_t *p, const input_t *in, int64_t first, int64_t last) {
    const kernels_t *k = fk_kernels();
    format_t format = (format_t)p->w->format;
    int64_t groups = p->w->columns / GROUP;
    if (in->n == 1) {
        for (int64_t r = first; r < last; r++) {
            float sum = k->dot(format, p->w->data + r * p->w->row_stride, groups, in->quantized, p->lanes ? p->lanes + r * LANES : NULL);
            if (!p->lanes) p->out[r] = sum;
        }
        return FK_OK;
    }
    uint8_t *scratch = malloc((size_t)fk_scratch_bytes(groups));
    if (!scratch) return FK_NO_MEMORY;
    for (int64_t r = first; r < last; r += 4) {
        int count = last - r < 4 ? (int)(last - r) : 4;
        const uint8_t *rows[4];
        for (int i = 0; i < count; i++) rows[i] = p->w->data + (r + i) * p->w->row_stride;
        k->dot_many(format, rows, count, groups, in->quantized, up(in->n, LANES) / LANES, in->n, p->out + r, p->out_stride, scratch,
                    p->lanes ? p->lanes + r * BLOCK_LANES : NULL, p->w->rows);
    }
    free(scratch);
    return FK_OK;
}

/* Few tokens against some rows at a time, so that both stay in the first-level cache. */
static void plain_rows(const product_t *p, const input_t *in, int64_t first, int64_t last) {
    enum { ROWS = 8, TOKENS = 4 };
    const matrix_t *w = p->w;
    for (int64_t from = first; from < last; from += ROWS)
        for (int64_t t = 0; t < in->n; t += TOKENS)
            for (int64_t r = from; r < last && r < from + ROWS; r++)
                fk_kernels()->dot_plain((format_t)w->format, w->data + r * w->row_stride, w->columns, in->x + t * in->x_stride, in->x_stride,
                                        in->n - t < TOKENS ? in->n - t : TOKENS, p->out + t * p->out_stride + r, p->out_stride,
                                        p->lanes ? p->lanes + (t * w->rows + r) * PLAIN_LANES : NULL, w->rows);
}

static int product_rows(const product_t *p, const input_t *in, int64_t first, int64_t last) {
    int failed = FK_OK;
    if (fk_formats[p->w->format].quantized) failed = quantized_rows(p, in, first, last);
    else plain_rows(p, in, first, last);
    if (!p->w->bias || p->lanes) return failed;
    for (int64_t t = 0; t < in->n; t++)
        for (int64_t r = first; r < last; r++) p->out[t * p->out_stride + r] += p->w->bias[r];
    return failed;
}

typedef struct {
    const product_t *products;
    const input_t *inputs; /* one for all products, or one for each piece */
    int64_t count;
    _Atomic int failed;
} job_t;

/* Rows [first, last) of all products one after the other. */
static void product_piece(void *context, int64_t first, int64_t last) {
    job_t *job = context;
    for (const product_t *p = job->products; first < last; p++) {
        int64_t rows = p->w->rows;
        if (first < rows && product_rows(p, job->inputs, first, last < rows ? last : rows)) atomic_store(&job->failed, 1);
        first = first < rows ? 0 : first - rows;
        last -= rows;
    }
}

/* Rows a piece: enough pieces to share evenly, none so small that taking it costs more than its work. */
static int64_t grain_of(int64_t rows, int64_t bytes_of_work) {
    int64_t share = up(rows, fk_pool_threads() * 8) / (fk_pool_threads() * 8);
    int64_t least = 16384 / (bytes_of_work < 1 ? 1 : bytes_of_work) + 1;
    return up(share > least ? share : least, 4);
}

static int64_t row_bytes(const matrix_t *w) {
    const format_facts_t *facts = &fk_formats[w->format];
    return w->columns / facts->block_columns * facts->block_bytes;
}

int fk_products(const product_t *products, int64_t count, const float *x, int64_t n, int64_t x_stride) {
    const matrix_t *w = products[0].w;
    input_t in = {x, n, x_stride, NULL};
    job_t job = {products, &in, count, 0};
    int64_t rows = 0;
    int quantized = 0;
    for (int64_t i = 0; i < count; i++) {
        rows += products[i].w->rows;
        quantized |= fk_formats[products[i].w->format].quantized;
    }
    if (quantized && !(in.quantized = quantize_all(x, n, x_stride, w->columns / GROUP))) return FK_NO_MEMORY;
    fk_pool_run(product_piece, &job, rows, grain_of(rows, row_bytes(w) * n));
    return atomic_load(&job.failed) ? FK_NO_MEMORY : FK_OK;
}

/* Rows [first, last), piece of columns after piece. */
static void pieces_piece(void *context, int64_t first, int64_t last) {
    job_t *job = context;
    for (int64_t i = 0; i < job->count; i++)
        if (product_rows(&job->products[i], &job->inputs[i], first, last)) atomic_store(&job->failed, 1);
}

/* The activations from a group of 32 columns on. */
static activations_t from_group(const activations_t *all, int64_t group, int64_t width) {
    int64_t at = group * width;
    return (activations_t){all->q + at * GROUP, all->scale + at, all->scaled_sum + at, all->sum + at, all->half_sums + 2 * at};
}

int fk_add_pieces(const matrix_t *pieces, int64_t count, const float *x, int64_t n, int64_t x_stride, float *lanes) {
    int64_t columns = 0, blocks = n == 1 ? 1 : up(n, LANES) / LANES, first = 0;
    const activations_t *all = NULL;
    for (int64_t i = 0; i < count; i++) columns += pieces[i].columns;
    if (fk_formats[pieces[0].format].quantized && !(all = quantize_all(x, n, x_stride, columns / GROUP))) return FK_NO_MEMORY;
    size_t each = sizeof(product_t) + sizeof(input_t) + (size_t)blocks * sizeof(activations_t);
    product_t *products = fk_scratch(SCRATCH_PIECES, (size_t)count * each);
    if (!products) return FK_NO_MEMORY;
    input_t *inputs = (input_t *)(void *)(products + count);
    activations_t *shifted = (activations_t *)(void *)(inputs + count);
    for (int64_t i = 0; i < count; i++, first += pieces[i - 1].columns) {
        products[i] = (product_t){&pieces[i], lanes, 0, lanes}; /* `out` is not written to */
        inputs[i] = (input_t){x + first, n, x_stride, all ? shifted : NULL};
        for (int64_t b = 0; all && b < blocks; b++) *shifted++ = from_group(&all[b], first / GROUP, n == 1 ? 1 : LANES);
    }
    job_t job = {products, inputs, count, 0};
    fk_pool_run(pieces_piece, &job, pieces[0].rows, grain_of(pieces[0].rows, row_bytes(&pieces[0]) * count * n));
    return atomic_load(&job.failed) ? FK_NO_MEMORY : FK_OK;
}

enum { ROWS_AT_ONCE = 8 };

typedef struct {
    format_t format;
    const matrix_t *w;
    int64_t n, coefficient_stride, out_stride, step;
    const float *coefficients;
    const int64_t *order;
    float *out;
    _Atomic int failed;
} sum_t;

/* The next rows that some token wants, from place *next of the order on; returns how many. */
static int gather_rows(const sum_t *job, int64_t *next, const uint8_t **rows, int64_t *indices) {
    int count = 0;
    for (; *next < job->w->rows && count < ROWS_AT_ONCE; (*next)++) {
        int64_t r = job->order ? job->order[*next] : *next;
        int used = 0;
        for (int64_t t = 0; t < job->n && !used; t++) used = job->coefficients[t * job->coefficient_stride + r] != 0;
        if (!used) continue;
        rows[count] = job->w->data + r * job->w->row_stride;
        indices[count++] = r;
    }
    return count;
}

/* Columns [first, last) in units of job->step. With several tokens a row is expanded once for all of them. */
static void sum_piece(void *context, int64_t first, int64_t last) {
    sum_t *job = context;
    const kernels_t *k = fk_kernels();
    const uint8_t *rows[ROWS_AT_ONCE];
    int64_t indices[ROWS_AT_ONCE], r = 0, from = first * job->step;
    int64_t columns = (last * job->step < job->w->columns ? last * job->step : job->w->columns) - from;
    float coefficients[ROWS_AT_ONCE], *expanded = NULL;
    int count, several = job->n > 1;
    if (several && !(expanded = malloc((size_t)columns * ROWS_AT_ONCE * sizeof(float)))) {
        atomic_store(&job->failed, 1);
        return;
    }
    while ((count = gather_rows(job, &r, rows, indices)) > 0) {
        for (int i = 0; several && i < count; i++) {
            k->expand(job->format, rows[i], from, columns, expanded + i * columns);
            rows[i] = (const uint8_t *)(expanded + i * columns);
        }
        for (int64_t t = 0; t < job->n; t++) {
            for (int i = 0; i < count; i++) coefficients[i] = job->coefficients[t * job->coefficient_stride + indices[i]];
            k->add_rows(several ? F32 : job->format, rows, coefficients, count, several ? 0 : from, columns,
                        job->out + t * job->out_stride + from);
        }
    }
    free(expanded);
}

int fk_row_sums(const matrix_t *w, const float *coefficients, int64_t n, int64_t coefficient_stride, const int64_t *order, float *out,
                int64_t out_stride) {
    int64_t step = fk_formats[w->format].quantized ? GROUP : 16;
    sum_t job = {(format_t)w->format, w, n, coefficient_stride, out_stride, step, coefficients, order, out, 0};
    int64_t units = up(w->columns, step) / step, share = up(units, fk_pool_threads() * 2) / (fk_pool_threads() * 2);
    fk_pool_run(sum_piece, &job, units, share < 4 ? 4 : share);
    return atomic_load(&job.failed) ? FK_NO_MEMORY : FK_OK;
}

static int bad(int format, int64_t rows, int64_t columns, int64_t n) {
    return format < 0 || format >= FORMATS || rows < 0 || n < 0 || columns <= 0 || columns % fk_formats[format].block_columns;
}

FK_EXPORT int fk_matmul(int format, const uint8_t *weights, int64_t rows, int64_t row_stride, int64_t columns, const float *x, int64_t n,
                        int64_t x_stride, float *out, int64_t out_stride) {
    if (bad(format, rows, columns, n)) return FK_BAD_ARGUMENT;
    if (n == 0 || rows == 0) return FK_OK;
    fk_call_lock();
    matrix_t w = {format, rows, row_stride, columns, weights, NULL};
    product_t product = {&w, out, out_stride, NULL};
    int result = fk_products(&product, 1, x, n, x_stride);
    fk_call_unlock();
    return result;
}

FK_EXPORT int fk_weighted_sum(int format, const uint8_t *weights, int64_t rows, int64_t row_stride, int64_t columns,
                              const float *coefficients, int64_t n, int64_t coefficient_stride, const int64_t *order, float *out,
                              int64_t out_stride) {
    if (bad(format, rows, columns, n)) return FK_BAD_ARGUMENT;
    if (n == 0) return FK_OK;
    fk_call_lock();
    matrix_t w = {format, rows, row_stride, columns, weights, NULL};
    int result = fk_row_sums(&w, coefficients, n, coefficient_stride, order, out, out_stride);
    fk_call_unlock();
    return result;
}

/* As fk_matmul for some of the columns: what they add goes to `lanes`, which begins as zeros and is as large as fk_lane_floats says. All parts
   but the last hold a multiple of 256 columns; then the sum has the bits of one product over all columns. */
FK_EXPORT int fk_add_product(int format, const uint8_t *weights, int64_t rows, int64_t row_stride, int64_t columns, const float *x, int64_t n,
                             int64_t x_stride, float *lanes) {
    if (bad(format, rows, columns, n)) return FK_BAD_ARGUMENT;
    if (n == 0 || rows == 0) return FK_OK;
    matrix_t w = {format, rows, row_stride, columns, weights, NULL};
    fk_call_lock();
    int result = fk_add_pieces(&w, 1, x, n, x_stride, lanes);
    fk_call_unlock();
    return result;
}

int64_t fk_lane_floats(int format, int64_t rows, int64_t n) {
    if (!fk_formats[format].quantized) return n * rows * PLAIN_LANES;
    return n == 1 ? rows * LANES : up(n, LANES) * rows * LANES;
}

/* The sums that the lanes hold: out [n][rows]. */
void fk_finish_product(int format, const float *lanes, int64_t rows, int64_t n, float *out) {
    for (int64_t t = 0; t < n; t++)
        for (int64_t r = 0; r < rows; r++) {
            float lane[LANES];
            for (int i = 0; i < LANES; i++) {
                const float *plain = lanes + (t * rows + r) * PLAIN_LANES;
                if (!fk_formats[format].quantized) lane[i] = plain[i] + plain[i + LANES];
                else lane[i] = n == 1 ? lanes[r * LANES + i] : lanes[(t / LANES * rows + r) * BLOCK_LANES + i * LANES + t % LANES];
            }
            out[t * rows + r] = fk_lanes(lane);
        }
}
