/* The kernels in plain C: any processor, and the pattern that the vector paths follow. */
#include <float.h>
#include <math.h>

#include "blocks.h"

const format_facts_t fk_formats[FORMATS] = {
    [F32] = {1, 4, 0},     [F16] = {1, 2, 0},     [BF16] = {1, 2, 0},      [Q4_0] = {32, 18, 1},   [Q4_1] = {32, 20, 1},
    [Q5_0] = {32, 22, 1}, [Q8_0] = {32, 34, 1}, [Q2_1] = {64, 18, 1}, [Q3_1] = {64, 26, 1}, [Q4_64] = {64, 34, 1},
    [Q4_K] = {256, 144, 1}, [Q5_K] = {256, 176, 1}, [Q6_K] = {256, 210, 1},
};

static void quantize(const float *x, int64_t groups, activations_t *out) {
    for (int64_t g = 0; g < groups; g++, x += GROUP) {
        float largest = 0, poison = 0;
        for (int i = 0; i < GROUP; i++) {
            float magnitude = fabsf(x[i]);
            largest = magnitude > largest ? magnitude : largest;
            poison += x[i] * 0.0f; /* NaN when any is infinite or NaN */
        }
        int usable = poison == 0 && largest >= 1e-30f;
        float inverse = usable ? 127.0f / largest : 0.0f;
        int sums[2] = {0, 0};
        for (int i = 0; i < GROUP; i++) {
            int q = usable ? (int)nearbyintf(x[i] * inverse) : 0;
            out->q[g * GROUP + i] = (int8_t)q;
            sums[i / 16] += q;
        }
        out->scale[g] = usable ? largest / 127.0f : poison;
        out->sum[g] = sums[0] + sums[1];
        out->scaled_sum[g] = out->scale[g] * (float)out->sum[g];
        out->half_sums[2 * g] = (int16_t)sums[0];
        out->half_sums[2 * g + 1] = (int16_t)sums[1];
    }
}

static int32_t group_product(const group_t *w, const int8_t *x) {
    int32_t first = 0, last = 0;
    for (int i = 0; i < 16; i++) first += w->q[i] * x[i];
    for (int i = 16; i < GROUP; i++) last += w->q[i] * x[i];
    return first * w->multiplier[0] + last * w->multiplier[1];
}

static float dot(format_t format, const uint8_t *row, int64_t groups, const activations_t *x, float *lanes) {
    float lane[LANES] = {0};
    if (lanes) memcpy(lane, lanes, sizeof lane);
    group_t w;
    for (int64_t g = 0; g < groups; g++) {
        unpack_group(format, row, g, &w);
        lane[g % LANES] += (float)group_product(&w, x->q + g * GROUP) * (w.scale * x->scale[g]);
        if (has_offset(format)) lane[g % LANES] += w.offset * x->scaled_sum[g];
    }
    if (lanes) memcpy(lanes, lane, sizeof lane);
    return fk_lanes(lane);
}

/* One row against blocks of eight tokens; lane is [8][8 tokens] for each block. */
static void add_group(const group_t *w, int offset, const activations_t *x, int64_t g, int64_t tokens, float lane[LANES][LANES]) {
    int8_t column[GROUP];
    for (int64_t t = 0; t < tokens; t++) {
        for (int chunk = 0; chunk < LANES; chunk++) memcpy(column + 4 * chunk, x->q + ((g * LANES + chunk) * LANES + t) * 4, 4);
        float *at = &lane[g % LANES][t];
        *at += (float)group_product(w, column) * (w->scale * x->scale[g * LANES + t]);
        if (offset) *at += w->offset * x->scaled_sum[g * LANES + t];
    }
}

static void dot_many(format_t format, const uint8_t *const *rows, int row_count, int64_t groups, const activations_t *x, int64_t blocks,
                     int64_t tokens, float *out, int64_t out_stride, uint8_t *scratch, float *lanes, int64_t lane_rows) {
    group_t *unpacked = (group_t *)scratch;
    for (int r = 0; r < row_count; r++) {
        for (int64_t g = 0; g < groups; g++) unpack_group(format, rows[r], g, &unpacked[g]);
        for (int64_t b = 0; b < blocks; b++) {
            int64_t here = tokens - b * LANES < LANES ? tokens - b * LANES : LANES;
            float lane[LANES][LANES] = {{0}}, *kept = lanes ? lanes + (b * lane_rows + r) * BLOCK_LANES : NULL;
            if (kept) memcpy(lane, kept, sizeof lane);
            for (int64_t g = 0; g < groups; g++) add_group(&unpacked[g], has_offset(format), &x[b], g, here, lane);
            if (kept) memcpy(kept, lane, sizeof lane);
            for (int64_t t = 0; t < here && !kept; t++) {
                float mine[LANES];
                for (int i = 0; i < LANES; i++) mine[i] = lane[i][t];
                out[(b * LANES + t) * out_stride + r] = fk_lanes(mine);
            }
        }
    }
}

int64_t fk_scratch_bytes(int64_t groups) { return (groups + LANES) * (int64_t)sizeof(group_t) * 4; }

static void dot_plain(format_t format, const uint8_t *row, int64_t columns, const float *x, int64_t x_stride, int64_t tokens, float *out,
                      int64_t out_stride, float *lanes, int64_t lane_rows) {
    for (int64_t t = 0; t < tokens; t++) {
        float lane[PLAIN_LANES] = {0}, *kept = lanes ? lanes + t * lane_rows * PLAIN_LANES : NULL;
        if (kept) memcpy(lane, kept, sizeof lane);
        for (int64_t c = 0; c < columns; c++) lane[c % PLAIN_LANES] += plain_value(format, row, c) * x[t * x_stride + c];
        if (kept) {
            memcpy(kept, lane, sizeof lane);
            continue;
        }
        for (int i = 0; i < LANES; i++) lane[i] += lane[i + LANES];
        out[t * out_stride] = fk_lanes(lane);
    }
}

static void expand(format_t format, const uint8_t *row, int64_t first, int64_t columns, float *out) {
    group_t w;
    if (!fk_formats[format].quantized) {
        for (int64_t c = 0; c < columns; c++) out[c] = plain_value(format, row, first + c);
        return;
    }
    for (int64_t c = 0; c < columns; c += GROUP) {
        unpack_group(format, row, (first + c) / GROUP, &w);
        for (int i = 0; i < GROUP; i++) out[c + i] = w.scale * (float)w.multiplier[i / 16] * (float)w.q[i] + w.offset;
    }
}

static void add_rows(format_t format, const uint8_t *const *rows, const float *coefficients, int row_count, int64_t first, int64_t columns,
                     float *out) {
    float values[GROUP];
    for (int r = 0; r < row_count; r++) {
        for (int64_t c = 0; c < columns; c += GROUP) {
            int64_t here = columns - c < GROUP ? columns - c : GROUP;
            expand(format, rows[r], first + c, here, values);
            for (int64_t i = 0; i < here; i++) out[c + i] += coefficients[r] * values[i];
        }
    }
}

enum { POSITIONS = 64 };

static void attend(const float *query, const uint16_t *keys, const uint16_t *values, int64_t length, int64_t dim, float scale, float *out) {
    float score[POSITIONS], top = -INFINITY, total = 0;
    for (int64_t d = 0; d < dim; d++) out[d] = 0;
    for (int64_t first = 0; first < length; first += POSITIONS) {
        int count = length - first < POSITIONS ? (int)(length - first) : POSITIONS;
        float highest = top;
        for (int i = 0; i < count; i++) {
            dot_plain(F16, (const uint8_t *)(keys + (first + i) * dim), dim, query, dim, 1, &score[i], 1, NULL, 0);
            score[i] *= scale;
            highest = score[i] > highest ? score[i] : highest;
        }
        float shrink = expf(top - highest);
        total *= shrink;
        for (int64_t d = 0; d < dim; d++) out[d] *= shrink;
        for (int i = 0; i < count; i++) {
            float weight = expf(score[i] - highest);
            const uint16_t *value = values + (first + i) * dim;
            total += weight;
            for (int64_t d = 0; d < dim; d++) out[d] += weight * half_to_float(value[d]);
        }
        top = highest;
    }
    for (int64_t d = 0; d < dim; d++) out[d] /= total;
}

static void silu(float *up, const float *gate, int64_t count) {
    for (int64_t i = 0; i < count; i++) up[i] *= gate[i] / (1.0f + expf(-gate[i]));
}

const kernels_t fk_portable = {"scalar", quantize, dot, dot_many, dot_plain, expand, add_rows, attend, silu};
