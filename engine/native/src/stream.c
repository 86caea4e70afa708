/*
 * A ring of buffers that threads of its own fill ahead, past the last run to the first, so that the next token finds its first tiles in memory.
 *
 * Threads take pieces of runs in order; the thread that brings the last piece of a run checks its tiles and declares it ready.
 */
#if !defined(_WIN32)
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#endif

#include "stream.h"

#include <stdlib.h>
#include <string.h>

#include "file.h"

enum { MOST_READERS = 16, MOST_SLOTS = 64, FK_CORRUPT = -5 };

typedef struct {
    stream_t *stream;
    uint8_t *bounce;
    int number;
} seat_t;

struct stream {
    run_t *runs;
    int64_t count, slot_bytes, depth, piece_bytes, coming_piece_bytes; /* the latter from the next run on */
    uint8_t *slots;
    int64_t taking, taking_piece; /* the next piece to read: of run `taking`, counted on over all rounds */
    int64_t given;                /* the run that the arithmetic asks for next */
    int64_t missing[MOST_SLOTS];  /* pieces not yet there of the run in a slot */
    int ready[MOST_SLOTS];
    int in_flight, closing, failure, system_error;
    int64_t failed_run, failed_tile;
    int64_t bytes, reads, stall_ns;
    lock_t lock;
    signal_t room, parked, arrived;
    int threads, active; /* those past the first `active` wait */
    thread_t handles[MOST_READERS];
    thread_start_t starts[MOST_READERS];
    seat_t seats[MOST_READERS];
};

static int64_t run_bytes(const run_t *run) { return run->tiles * run->form->stride; }

static const run_t *run_of(const stream_t *s, int64_t number) { return &s->runs[number % s->count]; }

/* The first tile of a run that is not what was written, or -1. */
static int64_t altered_tile(const run_t *run, const uint8_t *tiles) {
    for (int64_t i = 0; i < run->tiles; i++) {
        int64_t tile = run->first + i;
        if (run->checked[tile]) continue;
        if (fk_crc32(tiles + i * run->form->stride, run->form->stride) != run->checksums[tile]) return i;
        run->checked[tile] = 1;
    }
    return -1;
}

/* Called under the lock. */
static void fail(stream_t *s, int failure, int system_error, int64_t run, int64_t tile) {
    if (s->failure) return;
    s->failure = failure;
    s->system_error = system_error;
    s->failed_run = run % s->count;
    s->failed_tile = tile;
    signal_all(&s->arrived);
}

/* One piece of a run; called under the lock and returns under it. */
static void bring_piece(stream_t *s, uint8_t *bounce) {
    if (s->taking_piece == 0) s->piece_bytes = s->coming_piece_bytes;
    int64_t number = s->taking, slot = number % s->depth, from = s->taking_piece * s->piece_bytes;
    const run_t *run = run_of(s, number);
    int64_t whole = run_bytes(run), size = whole - from < s->piece_bytes ? whole - from : s->piece_bytes;
    uint8_t *tiles = s->slots + slot * s->slot_bytes;
    if (s->taking_piece == 0) s->missing[slot] = (whole + s->piece_bytes - 1) / s->piece_bytes;
    s->taking_piece = from + size < whole ? s->taking_piece + 1 : 0;
    if (s->taking_piece == 0) s->taking++;
    s->in_flight++;
    lock_give(&s->lock);
    int error = 0, result = fk_file_read(run->file, tiles + from, size, run->offset + from, bounce, &error);
    lock_take(&s->lock);
    s->bytes += size;
    s->reads++;
    if (result) fail(s, result, error, number, 0);
    else if (--s->missing[slot] == 0) {
        lock_give(&s->lock);
        int64_t altered = altered_tile(run, tiles);
        lock_take(&s->lock);
        if (altered >= 0) fail(s, FK_CORRUPT, 0, number, altered);
        s->ready[slot] = altered < 0;
        signal_all(&s->arrived);
    }
    s->in_flight--;
    if (s->failure) signal_all(&s->arrived); /* fk_stream_restart waits for the last one */
}

static void reader(void *context) {
    seat_t *seat = context;
    stream_t *s = seat->stream;
    lock_take(&s->lock);
    while (!s->closing) {
        if (seat->number >= s->active) signal_wait(&s->parked, &s->lock);
        else if (s->failure || s->taking - s->given >= s->depth) signal_wait(&s->room, &s->lock);
        else bring_piece(s, seat->bounce);
    }
    lock_give(&s->lock);
    fk_aligned_free(seat->bounce);
}

FK_EXPORT void fk_stream_close(stream_t *s) {
    lock_take(&s->lock);
    s->closing = 1;
    signal_all(&s->room);
    signal_all(&s->parked);
    lock_give(&s->lock);
    for (int i = 0; i < s->threads; i++) thread_join(s->handles[i]);
    fk_aligned_free(s->slots);
    free(s->runs);
    free(s);
}

/* A copy of `runs` is kept; what they point to must outlive the stream. NULL without memory or threads. */
FK_EXPORT stream_t *fk_stream_open(const run_t *runs, int64_t count, int64_t slot_bytes, int64_t depth, int64_t piece_bytes, int threads) {
    stream_t *s = malloc(sizeof *s);
    if (!s) return NULL;
    *s = (stream_t){.count = count, .slot_bytes = slot_bytes, .coming_piece_bytes = piece_bytes, .active = threads,
                    .lock = LOCK_INIT, .room = SIGNAL_INIT, .parked = SIGNAL_INIT, .arrived = SIGNAL_INIT};
    s->depth = depth > MOST_SLOTS ? MOST_SLOTS : depth;
    s->runs = malloc(sizeof *runs * (size_t)count);
    s->slots = fk_aligned_memory((size_t)(slot_bytes * s->depth));
    if (s->runs && s->slots) {
        memcpy(s->runs, runs, sizeof *runs * (size_t)count);
        for (; s->threads < MOST_READERS; s->threads++) {
            seat_t *seat = &s->seats[s->threads];
            *seat = (seat_t){s, fk_aligned_memory(BOUNCE), s->threads};
            s->starts[s->threads] = (thread_start_t){reader, seat};
            if (!seat->bounce) break;
            if (!thread_make(&s->handles[s->threads], &s->starts[s->threads])) continue;
            fk_aligned_free(seat->bounce);
            break;
        }
    }
    if (s->threads > 0) return s;
    fk_stream_close(s);
    return NULL;
}

/* From the first run on again, after a failure or a pass that ended early. */
FK_EXPORT void fk_stream_restart(stream_t *s) {
    lock_take(&s->lock);
    s->failure = s->failure ? s->failure : FK_IO; /* nothing new is begun meanwhile */
    while (s->in_flight) signal_wait(&s->arrived, &s->lock);
    s->failure = 0;
    s->taking = s->taking_piece = s->given = 0;
    memset(s->ready, 0, sizeof s->ready);
    signal_all(&s->room);
    lock_give(&s->lock);
}

/* FK_OK, or what failed, with the run, its tile and the system's error number. */
FK_EXPORT int fk_stream_failure(stream_t *s, int64_t *run, int64_t *tile, int *system_error) {
    lock_take(&s->lock);
    int failure = s->failure;
    *run = s->failed_run;
    *tile = s->failed_tile;
    *system_error = s->system_error;
    lock_give(&s->lock);
    return failure;
}

/* Bytes, reads and nanoseconds that the arithmetic waited, since the last call. */
FK_EXPORT void fk_stream_counts(stream_t *s, int64_t *out) {
    lock_take(&s->lock);
    out[0] = s->bytes, out[1] = s->reads, out[2] = s->stall_ns;
    s->bytes = s->reads = s->stall_ns = 0;
    lock_give(&s->lock);
}

const run_t *fk_stream_next(const stream_t *s, int64_t layer) {
    const run_t *run = run_of(s, s->given);
    return run->layer == layer ? run : NULL;
}

const uint8_t *fk_stream_take(stream_t *s) {
    int64_t slot = s->given % s->depth;
    lock_take(&s->lock);
    if (!s->ready[slot] && !s->failure) {
        int64_t began = now_ns();
        while (!s->ready[slot] && !s->failure) signal_wait(&s->arrived, &s->lock);
        s->stall_ns += now_ns() - began;
    }
    int there = s->ready[slot];
    lock_give(&s->lock);
    return there ? s->slots + slot * s->slot_bytes : NULL;
}

void fk_stream_give(stream_t *s) {
    lock_take(&s->lock);
    s->ready[s->given % s->depth] = 0;
    s->given++;
    signal_all(&s->room);
    lock_give(&s->lock);
}

/* How many threads read from now on, and in pieces of how many bytes from the next run on. */
FK_EXPORT void fk_stream_pace(stream_t *s, int readers, int64_t piece_bytes) {
    lock_take(&s->lock);
    s->active = readers < 1 ? 1 : readers;
    s->coming_piece_bytes = piece_bytes;
    signal_all(&s->parked);
    lock_give(&s->lock);
}

/* Takes and gives `runs` runs without any arithmetic: what reading alone costs. */
FK_EXPORT int fk_stream_drain(stream_t *s, int64_t runs) {
    for (; runs > 0; runs--) {
        if (!fk_stream_take(s)) return FK_IO;
        fk_stream_give(s);
    }
    return FK_OK;
}
