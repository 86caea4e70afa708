/* Rounding 64 columns of many rows to blocks of two to four bits, each column's error passed on to those behind it. */
#include <string.h>

#include "blocks.h"

enum { COLUMNS = 64, STRIP = 16, SHRINKS = 8, SHIFTS = 3 };

static const float shrinks[SHRINKS] = {0.55f, 0.63f, 0.7f, 0.77f, 0.83f, 0.89f, 0.95f, 1.0f}, shifts[SHIFTS] = {-0.13f, 0.0f, 0.13f};

typedef struct {
    int bits;
    float *values; /* [64][rows] */
    int64_t rows, factor_stride, out_stride;
    const float *factor, *importance;
    uint8_t *out;
} rounding_t;

/* Sixteen rows on their way: the columns, and what was chosen for each row. */
typedef struct {
    float v[COLUMNS][STRIP], scale[STRIP], zero[STRIP];
    uint8_t quants[COLUMNS][STRIP];
} strip_t;

/* To the nearest whole number, halves to even, for magnitudes below 2^22. */
FK_INLINE float whole(float v) { return v + 12582912.0f - 12582912.0f; }

FK_INLINE float within(float v, float low, float high) { return v < low ? low : v > high ? high : v; }

/* The nearest scale that a code stands for; see engine/lowbit.py. */
FK_INLINE float nearest_scale(float scale) {
    uint32_t bits = float_to_bits(within(scale, 0x1p-14f, 61440.0f));
    return bits_to_float((bits + (1u << 19)) & ~((1u << 20) - 1));
}

/* The error of each row when it is rounded by these scales and zero points. */
FK_INLINE void errors(const strip_t *s, const float *importance, float top, const float *scale, const float *zero, float *error) {
    float inverse[STRIP];
    for (int r = 0; r < STRIP; r++) {
        error[r] = 0;
        inverse[r] = 1.0f / scale[r];
    }
    for (int c = 0; c < COLUMNS; c++)
        for (int r = 0; r < STRIP; r++) {
            float q = whole(within(s->v[c][r] * inverse[r] - zero[r], 0.0f, top)), off = (q + zero[r]) * scale[r] - s->v[c][r];
            error[r] += importance[c] * (off * off);
        }
}

static void choose(strip_t *s, const float *importance, float top) {
    float low[STRIP], high[STRIP], scale[STRIP], zero[STRIP], error[STRIP], least[STRIP];
    for (int r = 0; r < STRIP; r++) {
        low[r] = high[r] = s->v[0][r];
        least[r] = 3e38f;
    }
    for (int c = 1; c < COLUMNS; c++)
        for (int r = 0; r < STRIP; r++) {
            low[r] = s->v[c][r] < low[r] ? s->v[c][r] : low[r];
            high[r] = s->v[c][r] > high[r] ? s->v[c][r] : high[r];
        }
    for (int i = 0; i < SHRINKS * SHIFTS; i++) {
        for (int r = 0; r < STRIP; r++) {
            float radius = (high[r] - low[r]) * 0.5f, middle = (low[r] + high[r]) * 0.5f + radius * shifts[i % SHIFTS];
            scale[r] = nearest_scale(radius * (2.0f * shrinks[i / SHIFTS] / top));
            zero[r] = whole(within((middle / scale[r] - top * 0.5f) * 8.0f, -128.0f, 127.0f)) * 0.125f;
        }
        errors(s, importance, top, scale, zero, error);
        for (int r = 0; r < STRIP; r++) {
            int better = error[r] < least[r];
            least[r] = better ? error[r] : least[r];
            s->scale[r] = better || i == 0 ? scale[r] : s->scale[r];
            s->zero[r] = better || i == 0 ? zero[r] : s->zero[r];
        }
    }
}

/* Column after column; what is left in v are the errors, divided by the factor's diagonal. */
static void round_strip(strip_t *s, const float *factor, int64_t stride, float top) {
    float inverse[STRIP], error[STRIP];
    for (int r = 0; r < STRIP; r++) inverse[r] = 1.0f / s->scale[r];
    for (int c = 0; c < COLUMNS; c++) {
        const float *row = factor + c * stride;
        float share = 1.0f / row[c];
        for (int r = 0; r < STRIP; r++) {
            float q = whole(within(s->v[c][r] * inverse[r] - s->zero[r], 0.0f, top));
            s->quants[c][r] = (uint8_t)q;
            s->v[c][r] = error[r] = (s->v[c][r] - (q + s->zero[r]) * s->scale[r]) * share;
        }
        for (int i = c + 1; i < COLUMNS; i++)
            for (int r = 0; r < STRIP; r++) s->v[i][r] -= row[i] * error[r];
    }
}

/* See `unpack_low_bits` for the places of the bits. */
static void write_block(const strip_t *s, int r, int bits, uint8_t *block) {
    uint8_t *high = block + 2, *low = block + (bits == 3 ? 10 : 2);
    memset(block, 0, (size_t)(2 + COLUMNS * bits / 8));
    block[0] = (uint8_t)((float_to_bits(s->scale[r]) >> 20) - (112u << 3));
    block[1] = (uint8_t)(int8_t)(s->zero[r] * 8.0f);
    for (int c = 0; c < COLUMNS; c++) {
        int k = c / GROUP, i = c % GROUP, q = s->quants[c][r];
        if (bits == 4) {
            block[2 + 16 * k + i % 16] = (uint8_t)(block[2 + 16 * k + i % 16] | q << (4 * (i / 16)));
            continue;
        }
        low[i % 16] = (uint8_t)(low[i % 16] | (q & 3) << (4 * k + 2 * (i / 16)));
        if (bits == 3) high[4 * k + i % 4] = (uint8_t)(high[4 * k + i % 4] | (q >> 2) << (i / 4));
    }
}

static void round_piece(void *context, int64_t first, int64_t last) {
    const rounding_t *job = context;
    const float top = (float)((1 << job->bits) - 1);
    strip_t s;
    for (int64_t from = first * STRIP; from < last * STRIP && from < job->rows; from += STRIP) {
        int count = job->rows - from < STRIP ? (int)(job->rows - from) : STRIP;
        memset(s.v, 0, sizeof s.v);
        for (int c = 0; c < COLUMNS; c++) memcpy(s.v[c], job->values + c * job->rows + from, (size_t)count * sizeof(float));
        choose(&s, job->importance, top);
        round_strip(&s, job->factor, job->factor_stride, top);
        for (int c = 0; c < COLUMNS; c++) memcpy(job->values + c * job->rows + from, s.v[c], (size_t)count * sizeof(float));
        for (int r = 0; r < count; r++) write_block(&s, r, job->bits, job->out + (from + r) * job->out_stride);
    }
}

/* values [64][rows] become the errors of rounding over the factor's diagonal; `out` takes a block for each row, out_stride apart. factor: the
   upper triangle, of these 64 columns, of the inverse second moments' Cholesky factor. */
FK_EXPORT int fk_round_block(int bits, float *values, int64_t rows, const float *factor, int64_t factor_stride, const float *importance,
                             uint8_t *out, int64_t out_stride) {
    if (bits < 2 || bits > 4 || rows < 0) return FK_BAD_ARGUMENT;
    rounding_t job = {bits, values, rows, factor_stride, out_stride, factor, importance, out};
    fk_call_lock();
    fk_pool_run(round_piece, &job, (rows + STRIP - 1) / STRIP, 4);
    fk_call_unlock();
    return FK_OK;
}
