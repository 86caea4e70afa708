/*
 * The window of a ReLU layer (section 3 of LLM in a flash): the neurons that were wanted lately, in one block of memory that is never
 * allocated again. What is fetched takes the places of what was unwanted longest, or those behind the used ones while there are any, so the
 * block has no holes and nothing that stays is ever moved. Neighbours come with one read, over the gaps between them.
 *
 * The first `pinned` slots hold neurons 0 .. pinned - 1 for good. After a failed read its places hold nobody (-1).
 */
#include <stdlib.h>
#include <string.h>

#include "reads.h"

enum { FK_CORRUPT = -5, FK_FULL = -6, OLDEST = 63, ROWS_TOGETHER = 8 };

/* As `_Spec` in native/window.py. The arrays are Python's: rows [slots][slot_bytes], held [slots], slot and last [neurons]. */
typedef struct {
    void *file;
    int64_t offset, file_stride, slot_bytes, neurons, slots, pinned, gap, longest, half, squared;
    matrix_t up, down; /* `data` NULL; row_stride: offset within a slot; bias: of all neurons */
    uint8_t *rows;
    int64_t *held, *slot, *last;
    const uint32_t *checksums; /* NULL: not checked */
    uint8_t *checked;
} spec_t;

typedef struct {
    spec_t s;
    int64_t used, fresh, bytes, reads;
    _Atomic int64_t corrupt; /* a neuron whose checksum was wrong, or -1 */
    int64_t *list;                      /* neurons under way, [slots] */
    int64_t *new_places;                /* their slots */
    int64_t *offsets, *sizes, *places, *first_row; /* pieces, [2 slots] each */
    int64_t *row_places;                /* [slots * (gap + 1)] */
    const uint8_t **pointers;
    float *active;
    activations_t token; /* in int8, where up is quantised */
    reads_t batch;
} window_t;

FK_EXPORT void fk_window_close(window_t *w) {
    if (!w) return;
    fk_reads_finish(&w->batch);
    free(w->list);
    free(w->pointers);
    free(w->active);
    free(w->token.scale);
    free(w);
}

/* Room for one token's activations, zero behind its last group; 0 without memory. */
static int make_token(activations_t *token, int64_t columns) {
    int64_t groups = (columns / GROUP + LANES - 1) / LANES * LANES;
    float *room = calloc((size_t)groups, GROUP + 4 * sizeof(float));
    if (!room) return 0;
    *token = (activations_t){(int8_t *)(room + 4 * groups), room, room + groups, (int32_t *)(room + 2 * groups), (int16_t *)(room + 3 * groups)};
    return 1;
}

/* NULL without memory. */
FK_EXPORT window_t *fk_window_open(const spec_t *spec) {
    window_t *w = calloc(1, sizeof *w);
    size_t room = (size_t)spec->slots;
    if (!w) return NULL;
    w->s = *spec;
    w->list = malloc(sizeof(int64_t) * room * (size_t)(11 + spec->gap));
    w->pointers = malloc(sizeof(uint8_t *) * room);
    w->active = malloc(sizeof(float) * room);
    if (!w->list || !w->pointers || !w->active || !make_token(&w->token, spec->up.columns)) {
        fk_window_close(w);
        return NULL;
    }
    w->new_places = w->list + room;
    w->offsets = w->new_places + room; /* two pieces a neuron where halves are read apart */
    w->sizes = w->offsets + 2 * room;
    w->places = w->sizes + 2 * room;
    w->first_row = w->places + 2 * room;
    w->row_places = w->first_row + 2 * room;
    w->used = spec->pinned;
    return w;
}

/* used, bytes, reads, the neuron whose checksum was wrong. */
FK_EXPORT void fk_window_state(const window_t *w, int64_t *out) {
    int64_t state[] = {w->used, w->bytes, w->reads, w->corrupt};
    memcpy(out, state, sizeof state);
}

/* Forget all but the pinned ones; nothing may be under way. */
FK_EXPORT void fk_window_clear(window_t *w) {
    for (; w->used > w->s.pinned; w->used--)
        if (w->s.held[w->used - 1] >= 0) w->s.slot[w->s.held[w->used - 1]] = -1;
    w->fresh = 0;
}

static int64_t age_of(const window_t *w, int64_t place, int64_t now) {
    int64_t neuron = w->s.held[place], age = neuron < 0 ? OLDEST : now - w->s.last[neuron];
    return age < OLDEST ? age : OLDEST;
}

/* Forget the `count` neurons that were wanted longest ago; their places, ascending, go to w->new_places. */
static void forget(window_t *w, int64_t count, int64_t now) {
    int64_t of_age[OLDEST + 1] = {0}, limit = OLDEST, older = 0, found = 0;
    for (int64_t place = w->s.pinned; place < w->used; place++) of_age[age_of(w, place, now)]++;
    while (older + of_age[limit] < count) older += of_age[limit--];
    int64_t of_limit = count - older;
    for (int64_t place = w->s.pinned; place < w->used && found < count; place++) {
        int64_t age = age_of(w, place, now);
        if (age < limit || (age == limit && of_limit-- <= 0)) continue;
        if (w->s.held[place] >= 0) w->s.slot[w->s.held[place]] = -1;
        w->new_places[found++] = place;
    }
}

/* Where the i-th neuron of w->list goes in the rows. */
static int64_t byte_of(const window_t *w, int64_t i) { return w->new_places[i] * w->s.slot_bytes; }

/* How many of w->list from i on one read brings: those behind it with gaps of at most `gap`, as far as `longest` rows reach. */
static int64_t run_from(const window_t *w, int64_t i, int64_t listed) {
    int64_t last = i;
    while (last + 1 < listed && w->list[last + 1] - w->list[last] <= w->s.gap + 1 && w->list[last + 1] - w->list[i] < w->s.longest) last++;
    return last - i + 1;
}

/* The places of the rows of a piece, -1 for those between the wanted ones; returns 0 where they follow one another, as in the file. */
static int64_t lay_rows(const window_t *w, int64_t i, int64_t run, int64_t *out) {
    int64_t rows = 0, scattered = w->s.slot_bytes != w->s.file_stride;
    for (int64_t k = i; k < i + run; k++) {
        for (; rows < w->list[k] - w->list[i]; rows++) out[rows] = -1, scattered = 1;
        out[rows++] = byte_of(w, k);
        scattered |= byte_of(w, k) != byte_of(w, i) + (k - i) * w->s.slot_bytes;
    }
    return scattered ? rows : 0;
}

static int64_t add_piece(window_t *w, int64_t piece, int64_t offset, int64_t size, int64_t place, int64_t first_row) {
    w->offsets[piece] = offset;
    w->sizes[piece] = size;
    w->places[piece] = place;
    w->first_row[piece] = first_row;
    w->bytes += size;
    return piece + 1;
}

/* One piece for each run in w->list, or two for each neuron where halves are read apart. */
static int64_t describe_reads(window_t *w, int64_t listed) {
    const spec_t *s = &w->s;
    int64_t pieces = 0, rows = 0;
    for (int64_t i = 0, run; i < listed; i += run) {
        run = run_from(w, i, listed);
        int64_t offset = s->offset + w->list[i] * s->file_stride, place = byte_of(w, i);
        if (s->half) {
            pieces = add_piece(w, pieces, offset, s->half, place, -1);
            pieces = add_piece(w, pieces, offset + s->half, s->slot_bytes - s->half, place + s->half, -1);
            continue;
        }
        int64_t size = (w->list[i + run - 1] - w->list[i]) * s->file_stride + s->slot_bytes;
        int64_t laid = run == 1 ? 0 : lay_rows(w, i, run, w->row_places + rows);
        pieces = add_piece(w, pieces, offset, size, place, laid ? rows : -1);
        rows += laid;
    }
    w->reads += pieces;
    return pieces;
}

/* Nobody is where the neurons under way were to go. */
static void drop_fresh(window_t *w) {
    for (int64_t i = 0; i < w->fresh; i++) {
        w->s.held[w->new_places[i]] = -1;
        w->s.slot[w->list[i]] = -1;
    }
    w->fresh = 0;
}

/* Make room for those of the wanted neurons (ascending) that are not held, and start reading them. FK_FULL: they do not fit. */
FK_EXPORT int fk_window_fetch(window_t *w, const int64_t *wanted, int64_t count, int64_t now) {
    spec_t *s = &w->s;
    int64_t present = 0, missing = 0;
    for (int64_t i = 0; i < count; i++) {
        present += s->slot[wanted[i]] >= s->pinned;
        missing += s->slot[wanted[i]] < 0;
    }
    if (present + missing > s->slots - s->pinned) return FK_FULL;
    w->fresh = 0;
    for (int64_t i = 0; i < count; i++) {
        s->last[wanted[i]] = now;
        if (s->slot[wanted[i]] < 0) w->list[w->fresh++] = wanted[i];
    }
    int64_t holes = w->used + missing > s->slots ? w->used + missing - s->slots : 0;
    if (holes) forget(w, holes, now);
    for (int64_t i = 0; i < missing; i++) {
        if (i >= holes) w->new_places[i] = w->used++;
        s->held[w->new_places[i]] = w->list[i];
        s->slot[w->list[i]] = w->new_places[i];
    }
    w->batch = (reads_t){.file = s->file, .offsets = w->offsets, .sizes = w->sizes, .places = w->places, .into = s->rows};
    w->batch.first_row = w->first_row;
    w->batch.row_places = w->row_places;
    w->batch.row_bytes = s->slot_bytes;
    w->batch.row_stride = s->file_stride;
    w->batch.count = describe_reads(w, missing);
    int result = fk_reads_start(&w->batch);
    if (result) drop_fresh(w);
    return result;
}

static void check_piece(void *context, int64_t first, int64_t last) {
    window_t *w = context;
    for (int64_t i = first; i < last; i++) {
        int64_t neuron = w->list[i];
        if (w->s.checked[neuron]) continue;
        if (fk_crc32(w->s.rows + byte_of(w, i), w->s.slot_bytes) == w->s.checksums[neuron]) w->s.checked[neuron] = 1;
        else atomic_store(&w->corrupt, neuron); /* whichever of several was written last */
    }
}

/* Until what was fetched is there, checked where it is new. After an error none of it is held. */
FK_EXPORT int fk_window_wait(window_t *w, int *system_error) {
    int result = fk_reads_finish(&w->batch);
    *system_error = atomic_load(&w->batch.system_error);
    atomic_store(&w->corrupt, -1);
    if (!result && w->s.checksums && w->fresh > 0) {
        fk_call_lock();
        fk_pool_run(check_piece, w, w->fresh, 16);
        fk_call_unlock();
        if (atomic_load(&w->corrupt) >= 0) result = FK_CORRUPT;
    }
    if (result) drop_fresh(w);
    w->fresh = 0;
    return result;
}

typedef struct {
    window_t *w;
    const int64_t *wanted;
    const activations_t *quantized;
    const float *x;
} up_job_t;

static void up_piece(void *context, int64_t first, int64_t last) {
    up_job_t *job = context;
    spec_t *s = &job->w->s;
    const kernels_t *k = fk_kernels();
    format_t format = (format_t)s->up.format;
    for (int64_t i = first; i < last; i++) {
        const uint8_t *row = s->rows + s->slot[job->wanted[i]] * s->slot_bytes + s->up.row_stride;
        float value;
        if (job->quantized) value = k->dot(format, row, s->up.columns / GROUP, job->quantized, NULL);
        else k->dot_plain(format, row, s->up.columns, job->x, 0, 1, &value, 1, NULL, 0);
        if (s->up.bias) value += s->up.bias[job->wanted[i]];
        value = value < 0 ? 0 : value;
        job->w->active[i] = s->squared ? value * value : value;
    }
}

typedef struct {
    window_t *w;
    int64_t count, step;
    float *out;
} down_job_t;

static void down_piece(void *context, int64_t first, int64_t last) {
    down_job_t *job = context;
    const matrix_t *down = &job->w->s.down;
    int64_t from = first * job->step, end = last * job->step < down->columns ? last * job->step : down->columns;
    for (int64_t i = 0; i < job->count; i += ROWS_TOGETHER) {
        int rows = (int)(job->count - i < ROWS_TOGETHER ? job->count - i : ROWS_TOGETHER);
        fk_kernels()->add_rows((format_t)down->format, job->w->pointers + i, job->w->active + i, rows, from, end - from, job->out + from);
    }
}

/* out [hidden] += the down columns of the wanted neurons times w->active, in their order; those that give 0 are skipped. */
static void add_down(window_t *w, const int64_t *wanted, int64_t count, float *out) {
    const spec_t *s = &w->s;
    int64_t firing = 0, step = fk_formats[s->down.format].quantized ? GROUP : 16, units = (s->down.columns + step - 1) / step;
    for (int64_t i = 0; i < count; i++) {
        if (w->active[i] == 0) continue;
        w->active[firing] = w->active[i];
        w->pointers[firing++] = s->rows + s->slot[wanted[i]] * s->slot_bytes + s->down.row_stride;
    }
    down_job_t job = {w, firing, step, out};
    int64_t share = (units + 2 * fk_pool_threads() - 1) / (2 * fk_pool_threads());
    fk_pool_run(down_piece, &job, units, share < 4 ? 4 : share);
}

/* What the wanted neurons, all held, make of x [hidden], added to out [hidden]. */
FK_EXPORT int fk_window_apply(window_t *w, const int64_t *wanted, int64_t count, const float *x, float *out) {
    up_job_t job = {w, wanted, fk_formats[w->s.up.format].quantized ? &w->token : NULL, x};
    fk_call_lock();
    if (job.quantized) fk_kernels()->quantize(x, w->s.up.columns / GROUP, &w->token);
    fk_pool_run(up_piece, &job, count, 16);
    add_down(w, wanted, count, out);
    fk_call_unlock();
    return FK_OK;
}

/* As fk_window_apply, with what each neuron gives already known: active [count]. */
FK_EXPORT int fk_window_sum(window_t *w, const int64_t *wanted, int64_t count, const float *active, float *out) {
    fk_call_lock();
    memcpy(w->active, active, (size_t)count * sizeof(float));
    add_down(w, wanted, count, out);
    fk_call_unlock();
    return FK_OK;
}
