/* Whole transformer layers in one call: norm, projections, rotary embedding, attention over the cache, feed-forward. */
#include <math.h>
#include <string.h>

#include "blocks.h"
#include "stream.h"

#define HALF_MOST 65504.0f

enum { TOKENS_AT_ONCE = 64 /* bounds the scratch memory of a long prompt */, MOST_TILES = 64 /* of a run */ };

/* The shape of a model. `rotation` is [positions][cosines, sines of rotary_dim / 2] for the tokens of the call, NULL where positions are
   learned. Keys and values are half floats [layers][kv_heads][capacity][head_dim]. `ffn`: the most neurons that are worked on at once. `lane_format`:
   the format of down where a layer's sums come in parts, of the quantised or the plain kind; -1 where none does. `parallel`: the
   feed-forward sees what the attention sees. */
typedef struct {
    int64_t hidden, heads, kv_heads, head_dim, ffn, capacity, lane_format, rotary_dim, activation, parallel;
    double epsilon;
} shape_t;

/* Some of a layer's neurons in memory for good: `down` has their columns, or a row for each with `down_is_neuron_major`. */
typedef struct {
    matrix_t up, gate, down; /* gate.data NULL: up alone is activated */
} held_t;

typedef struct {
    const float *attention_norm, *attention_norm_bias, *ffn_norm, *ffn_norm_bias;
    const float *query_norm, *query_norm_bias, *key_norm, *key_norm_bias; /* of each head by itself; NULL where there are none */
    matrix_t query, key, value, output;
    const held_t *held; /* in the order in which they are added up */
    int64_t held_count;
    const float *up_bias; /* of every neuron, those that fill up the last tile too */
    const float *down_bias;
    int64_t down_is_neuron_major;
} layer_t;

typedef struct {
    const float *x, *weight, *bias;
    float *out;
    int64_t width;
    double epsilon;
} norm_job_t;

static double sum_of(const float *x, int64_t count) {
    double lane[8] = {0}, sum = 0;
    for (int64_t i = 0; i < count; i++) lane[i % 8] += x[i];
    for (int i = 0; i < 8; i++) sum += lane[i];
    return sum;
}

static double squares_of(const float *x, int64_t count, float mean) {
    float lane[16] = {0};
    double sum = 0;
    int64_t i = 0;
    for (; i + 16 <= count; i += 16)
        for (int k = 0; k < 16; k++) lane[k] += (x[i + k] - mean) * (x[i + k] - mean);
    for (; i < count; i++) lane[i % 16] += (x[i] - mean) * (x[i] - mean);
    for (int k = 0; k < 16; k++) sum += lane[k];
    return sum;
}

/* RMS norm, or layer norm where there is a bias. */
static void norm_piece(void *context, int64_t first, int64_t last) {
    norm_job_t *job = context;
    int64_t width = job->width;
    const float *weight = job->weight, *bias = job->bias;
    for (int64_t t = first; t < last; t++) {
        const float *x = job->x + t * width;
        float *out = job->out + t * width, mean = bias ? (float)(sum_of(x, width) / (double)width) : 0.0f;
        float scale = (float)(1.0 / sqrt(squares_of(x, width, mean) / (double)width + job->epsilon));
        if (bias)
            for (int64_t i = 0; i < width; i++) out[i] = (x[i] - mean) * scale * weight[i] + bias[i];
        else
            for (int64_t i = 0; i < width; i++) out[i] = x[i] * scale * weight[i];
    }
}

static void normalise(const float *x, int64_t n, int64_t width, const float *weight, const float *bias, double epsilon, float *out) {
    norm_job_t job = {x, weight, bias, out, width, epsilon};
    fk_pool_run(norm_piece, &job, n, 4);
}

typedef struct {
    const shape_t *shape;
    const layer_t *layer;
    const float *rotation;
    float *query, *key, *value, *mixed;
    uint16_t *keys, *values; /* of this layer */
    int64_t first;           /* position of token 0 */
} attention_job_t;

static void rotate(float *head, const float *rotation, int64_t dim) {
    int64_t half = dim / 2;
    for (int64_t i = 0; i < half; i++) {
        float left = head[i], right = head[i + half], cosine = rotation[i], sine = rotation[i + half];
        head[i] = left * cosine - right * sine;
        head[i + half] = right * cosine + left * sine;
    }
}

static void norm_heads(float *heads, int64_t count, const shape_t *s, const float *weight, const float *bias) {
    norm_job_t job = {heads, weight, bias, heads, s->head_dim, s->epsilon};
    if (weight) norm_piece(&job, 0, count);
}

/* What no half float can hold becomes the largest one; NaN stays. */
static void store_halves(const float *from, int64_t count, uint16_t *to) {
    for (int64_t i = 0; i < count; i++) {
        float v = from[i];
        to[i] = float_to_half(v > HALF_MOST ? HALF_MOST : v < -HALF_MOST ? -HALF_MOST : v);
    }
}

/* Norm and rotate the queries and keys of tokens, and put keys and values into the cache. */
static void store_piece(void *context, int64_t first, int64_t last) {
    attention_job_t *job = context;
    const shape_t *s = job->shape;
    const layer_t *layer = job->layer;
    for (int64_t t = first; t < last; t++) {
        const float *rotation = job->rotation ? job->rotation + t * s->rotary_dim : NULL;
        norm_heads(job->query + t * s->heads * s->head_dim, s->heads, s, layer->query_norm, layer->query_norm_bias);
        norm_heads(job->key + t * s->kv_heads * s->head_dim, s->kv_heads, s, layer->key_norm, layer->key_norm_bias);
        for (int64_t h = 0; rotation && h < s->heads; h++) rotate(job->query + (t * s->heads + h) * s->head_dim, rotation, s->rotary_dim);
        for (int64_t h = 0; h < s->kv_heads; h++) {
            float *key = job->key + (t * s->kv_heads + h) * s->head_dim;
            int64_t place = (h * s->capacity + job->first + t) * s->head_dim;
            if (rotation) rotate(key, rotation, s->rotary_dim);
            store_halves(key, s->head_dim, job->keys + place);
            store_halves(job->value + (t * s->kv_heads + h) * s->head_dim, s->head_dim, job->values + place);
        }
    }
}

/* A piece is one head of one token. */
static void attend_piece(void *context, int64_t first, int64_t last) {
    attention_job_t *job = context;
    const shape_t *s = job->shape;
    float scale = (float)(1.0 / sqrt((double)s->head_dim));
    for (int64_t i = first; i < last; i++) {
        int64_t t = i / s->heads, group = i % s->heads / (s->heads / s->kv_heads), place = group * s->capacity * s->head_dim;
        fk_kernels()->attend(job->query + i * s->head_dim, job->keys + place, job->values + place, job->first + t + 1, s->head_dim, scale,
                             job->mixed + i * s->head_dim);
    }
}

/* A short cache is not worth sharing out. */
static void attend_all(attention_job_t *job, int64_t n) {
    int64_t heads = job->shape->heads;
    fk_pool_run(attend_piece, job, n * heads, n == 1 && job->first < 64 ? heads : 1);
}

static void add_to(float *x, const float *y, const float *bias, int64_t n, int64_t width) {
    for (int64_t t = 0; t < n; t++)
        for (int64_t i = 0; i < width; i++) x[t * width + i] += bias ? y[t * width + i] + bias[i] : y[t * width + i];
}

/* Floats of scratch that a block of tokens needs beside its normed states and its output: the larger of attention's and the neurons'. */
static int64_t block_floats(const shape_t *s) {
    int64_t attention = 2 * s->heads * s->head_dim + 2 * s->kv_heads * s->head_dim, ffn = 2 * s->ffn;
    return attention > ffn ? attention : ffn;
}

/* x [n][hidden] += attention; n at most TOKENS_AT_ONCE. `scratch` has room for two states of each token and block_floats. */
static int attention_block(const shape_t *s, const layer_t *layer, float *x, int64_t n, const float *rotation, int64_t first, uint16_t *keys,
                           uint16_t *values, float *scratch) {
    int64_t wide = s->heads * s->head_dim, narrow = s->kv_heads * s->head_dim;
    float *normed = scratch, *out = normed + n * s->hidden, *query = out + n * s->hidden, *mixed = query + n * wide;
    float *key = mixed + n * wide, *value = key + n * narrow;
    attention_job_t job = {s, layer, rotation, query, key, value, mixed, keys, values, first};
    product_t inputs[] = {{&layer->query, query, wide, NULL}, {&layer->key, key, narrow, NULL}, {&layer->value, value, narrow, NULL}};
    product_t output = {&layer->output, out, s->hidden, NULL};
    normalise(x, n, s->hidden, layer->attention_norm, layer->attention_norm_bias, s->epsilon, normed);
    int failed = fk_products(inputs, 3, normed, n, s->hidden);
    if (failed) return failed;
    fk_pool_run(store_piece, &job, n, 8);
    attend_all(&job, n);
    failed = fk_products(&output, 1, mixed, n, wide);
    if (!failed) add_to(x, out, NULL, n, s->hidden);
    return failed;
}

/* The order is that of ACTIVATIONS in library.py. */
enum { SILU, GELU, GELU_TANH, RELU, RELU2, ACTIVATIONS };

typedef struct {
    float *up;
    const float *gate; /* NULL: up alone is activated */
    int64_t kind;
} activation_job_t;

static float activated(int64_t kind, float x) {
    float positive = x < 0 ? 0 : x;
    switch (kind) {
    case SILU: return x / (1.0f + expf(-x));
    case GELU: return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    case GELU_TANH: return 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * (x * x * x))));
    case RELU: return positive;
    default: return positive * positive;
    }
}

static void activate_piece(void *context, int64_t first, int64_t last) {
    activation_job_t *job = context;
    float *up = job->up;
    const float *gate = job->gate;
    if (gate && job->kind == SILU) fk_kernels()->silu(up + first, gate + first, last - first);
    else if (gate)
        for (int64_t i = first; i < last; i++) up[i] *= activated(job->kind, gate[i]);
    else
        for (int64_t i = first; i < last; i++) up[i] = activated(job->kind, up[i]);
}

/* up [n][width] = up * f(gate), or f(up). Curves that cost tens of nanoseconds a neuron are shared out within a token. */
static void activate(float *up, const float *gate, int64_t kind, int64_t n, int64_t width) {
    activation_job_t job = {up, gate, kind};
    fk_pool_run(activate_piece, &job, n * width, kind == GELU || kind == GELU_TANH ? 1024 : width);
}

/* What a layer's neurons add to tokens, summed up part by part in the order of the neurons. */
typedef struct {
    const shape_t *shape;
    const layer_t *layer;
    int64_t n;
    const float *normed; /* [n][hidden] */
    float *neurons;      /* [tokens of a block][2 * neurons of a part] */
    float *lanes;        /* fk_lane_floats of each block of tokens, one after the other; unused where down is neuron-major */
    float *out;          /* [n][hidden] */
} feed_t;

static int64_t block_of(int64_t n, int64_t t) { return n - t < TOKENS_AT_ONCE ? n - t : TOKENS_AT_ONCE; }

static float *lanes_of(const feed_t *feed, int64_t format, int64_t t) {
    return feed->lanes + (t ? fk_lane_floats((int)format, feed->shape->hidden, TOKENS_AT_ONCE) * (t / TOKENS_AT_ONCE) : 0);
}

/* `ins`: the rows of up and, with `gated`, of gate, in turns. `down`: the pieces of down that belong to them, or all their rows. */
static int add_neurons(const feed_t *feed, const matrix_t *ins, int64_t tiles, int gated, const matrix_t *down, int64_t pieces, int whole) {
    const shape_t *s = feed->shape;
    product_t inputs[2 * MOST_TILES];
    int64_t neurons = 0, failed = FK_OK;
    for (int64_t i = 0; i < tiles; i++) neurons += ins[i * (1 + gated)].rows;
    for (int64_t t = 0; t < feed->n && !failed; t += TOKENS_AT_ONCE) {
        int64_t n = block_of(feed->n, t), place = 0;
        float *up = feed->neurons, *gate = gated ? up + n * neurons : NULL;
        for (int64_t i = 0; i < tiles; place += ins[i++ * (1 + gated)].rows) {
            inputs[i] = (product_t){&ins[i * (1 + gated)], up + place, neurons, NULL};
            if (gated) inputs[tiles + i] = (product_t){&ins[2 * i + 1], gate + place, neurons, NULL};
        }
        failed = fk_products(inputs, tiles * (1 + gated), feed->normed + t * s->hidden, n, s->hidden);
        if (failed) break;
        activate(up, gate, s->activation, n, neurons);
        float *out = feed->out + t * s->hidden;
        product_t product = {down, out, s->hidden, NULL};
        if (feed->layer->down_is_neuron_major) failed = fk_row_sums(down, up, n, neurons, NULL, out, s->hidden);
        else if (whole) failed = fk_products(&product, 1, up, n, neurons);
        else failed = fk_add_pieces(down, pieces, up, n, neurons, lanes_of(feed, down->format, t));
    }
    return (int)failed;
}

static matrix_t part_of(const part_t *part, const uint8_t *tile, int64_t rows, int64_t row_stride, const float *bias) {
    return (matrix_t){part->format, rows, row_stride, part->columns, tile + part->offset, bias};
}

/* The tiles of a run. */
static int add_tiles(const feed_t *feed, const run_t *run, const uint8_t *tiles) {
    const form_t *form = run->form;
    matrix_t ins[2 * MOST_TILES], downs[MOST_TILES];
    const float *bias = feed->layer->up_bias ? feed->layer->up_bias + run->first * form->neurons : NULL;
    if (form->neuron_major) {
        ins[0] = part_of(&form->up, tiles, run->tiles, form->stride, bias);
        downs[0] = part_of(&form->down, tiles, run->tiles, form->stride, NULL);
        return add_neurons(feed, ins, 1, 0, downs, 1, 0);
    }
    int gated = form->gate.format >= 0;
    for (int64_t i = 0; i < run->tiles; i++) {
        const uint8_t *tile = tiles + i * form->stride;
        ins[i * (1 + gated)] = part_of(&form->up, tile, form->neurons, form->up.row_bytes, bias ? bias + i * form->neurons : NULL);
        if (gated) ins[2 * i + 1] = part_of(&form->gate, tile, form->neurons, form->gate.row_bytes, NULL);
        downs[i] = part_of(&form->down, tile, feed->shape->hidden, form->down.row_bytes, NULL);
    }
    return add_neurons(feed, ins, run->tiles, gated, downs, run->tiles, 0);
}

/* The neurons that are read, in the order of their tiles. */
static int add_streamed(const feed_t *feed, int64_t number, stream_t *stream) {
    int64_t before = -1;
    for (const run_t *run; (run = fk_stream_next(stream, number)) && run->first > before;) {
        before = run->first;
        const uint8_t *tiles = fk_stream_take(stream);
        int failed = tiles ? add_tiles(feed, run, tiles) : FK_IO;
        if (failed) return failed;
        fk_stream_give(stream);
    }
    return FK_OK;
}

static void finish_lanes(const feed_t *feed, int64_t format) {
    int64_t hidden = feed->shape->hidden;
    for (int64_t t = 0; t < feed->n; t += TOKENS_AT_ONCE)
        fk_finish_product((int)format, lanes_of(feed, format, t), hidden, block_of(feed->n, t), feed->out + t * hidden);
}

/* x [n][hidden] += feed-forward of `from`. One group of neurons that is all the layer has needs no lanes. */
static int feed_forward(const shape_t *s, const layer_t *layer, int64_t number, float *x, const float *from, feed_t *feed, stream_t *stream,
                        int64_t lane_floats) {
    int streamed = stream && fk_stream_next(stream, number), whole = !streamed && layer->held_count == 1, failed = FK_OK;
    int64_t n = feed->n, format = s->lane_format;
    feed->layer = layer;
    normalise(from, n, s->hidden, layer->ffn_norm, layer->ffn_norm_bias, s->epsilon, (float *)feed->normed);
    if (layer->down_is_neuron_major) memset(feed->out, 0, (size_t)(n * s->hidden) * sizeof(float));
    else if (!whole) memset(feed->lanes, 0, (size_t)lane_floats * sizeof(float));
    for (int64_t i = 0; i < layer->held_count && !failed; i++) {
        const held_t *held = &layer->held[i];
        matrix_t ins[] = {held->up, held->gate};
        failed = add_neurons(feed, ins, 1, held->gate.data != NULL, &held->down, 1, whole);
    }
    if (streamed && !failed) failed = add_streamed(feed, number, stream);
    if (!failed && !whole && !layer->down_is_neuron_major) finish_lanes(feed, format);
    if (!failed) add_to(x, feed->out, layer->down_bias, n, s->hidden);
    return failed;
}

/* x [n][hidden] through all layers; their keys and values go to the cache at positions first, first + 1, ... `shape.ffn` is the most neurons
   that a part of a layer has; `stream` NULL where all are held. */
FK_EXPORT int fk_layers(const shape_t *shape, const layer_t *layers, int64_t count, float *x, int64_t n, const float *rotation, int64_t first,
                        uint16_t *keys, uint16_t *values, stream_t *stream) {
    if (n < 0 || first < 0 || first + n > shape->capacity) return FK_BAD_ARGUMENT;
    if (shape->activation < 0 || shape->activation >= ACTIVATIONS || shape->rotary_dim > shape->head_dim) return FK_BAD_ARGUMENT;
    if (n == 0) return FK_OK;
    int64_t cache_layer = shape->kv_heads * shape->capacity * shape->head_dim, block = block_of(n, 0), failed = FK_OK;
    int64_t states = 2 * n * shape->hidden, most = block * block_floats(shape);
    int64_t lanes = shape->lane_format < 0 ? 0 : fk_lane_floats((int)shape->lane_format, shape->hidden, n);
    fk_call_lock();
    int64_t kept = shape->parallel ? n * shape->hidden : 0;
    float *scratch = fk_scratch(SCRATCH_TOKEN, (size_t)(states + most + lanes + kept) * sizeof(float));
    feed_t feed = {.shape = shape, .n = n, .normed = scratch, .out = scratch + n * shape->hidden};
    feed.neurons = scratch + states;
    feed.lanes = feed.neurons + most;
    float *before = shape->parallel ? feed.lanes + lanes : x;
    if (!scratch) failed = FK_NO_MEMORY;
    for (int64_t l = 0; l < count && !failed; l++) {
        if (shape->parallel) memcpy(before, x, (size_t)kept * sizeof(float));
        for (int64_t t = 0; t < n && !failed; t += TOKENS_AT_ONCE)
            failed = attention_block(shape, &layers[l], x + t * shape->hidden, block_of(n, t), rotation ? rotation + t * shape->rotary_dim : NULL,
                                     first + t, keys + l * cache_layer, values + l * cache_layer, scratch);
        if (!failed) failed = feed_forward(shape, &layers[l], l, x, before, &feed, stream, lanes);
    }
    fk_call_unlock();
    return (int)failed;
}

/* The steps of a layer one by one, for feed-forwards that are not all in memory: the same bits as fk_layers gives. */
FK_EXPORT int fk_normalise(const float *x, int64_t n, int64_t width, const float *weight, const float *bias, double epsilon, float *out) {
    fk_call_lock();
    normalise(x, n, width, weight, bias, epsilon, out);
    fk_call_unlock();
    return FK_OK;
}

/* query, out [n][heads][dim]; keys and values of the whole sequence, `capacity` positions from one key head to the next. */
FK_EXPORT int fk_attention(const float *query, int64_t n, int64_t heads, int64_t kv_heads, int64_t dim, const uint16_t *keys,
                           const uint16_t *values, int64_t capacity, int64_t first, float *out) {
    shape_t shape = {.heads = heads, .kv_heads = kv_heads, .head_dim = dim, .capacity = capacity};
    attention_job_t job = {.shape = &shape, .mixed = out, .first = first};
    job.query = (float *)query; /* attend_piece only reads queries, keys and values */
    job.keys = (uint16_t *)keys;
    job.values = (uint16_t *)values;
    fk_call_lock();
    attend_all(&job, n);
    fk_call_unlock();
    return FK_OK;
}

/* up [n][width] = up * f(gate), or f(up) where gate is NULL. */
FK_EXPORT int fk_activate(float *up, const float *gate, int64_t kind, int64_t n, int64_t width) {
    if (kind < 0 || kind >= ACTIVATIONS) return FK_BAD_ARGUMENT;
    if (n <= 0 || width <= 0) return FK_OK;
    fk_call_lock();
    activate(up, gate, kind, n, width);
    fk_call_unlock();
    return FK_OK;
}
