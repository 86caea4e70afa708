/*
 * A persistent pool for work of microseconds.
 *
 * The caller works too and never waits for a thread that holds no piece: a job is over when its pieces are, so a core that another program
 * keeps busy costs its help and nothing more. Workers spin for a bounded time after a job and then sleep.
 */
#include "flashkb.h"
#include "threads.h"

#include <stdlib.h>

enum { MAX_THREADS = 64, SPINS = 4000 };
#define CLOSED 0xffffffffu

static struct {
    _Atomic uint64_t ticket; /* job number << 32 | next piece */
    _Atomic(fk_work_t) work;
    _Atomic(void *) context;
    _Atomic int64_t count, grain;
    _Atomic uint32_t pieces;
    _Atomic uint32_t done;
    _Atomic int sleepers, stopping;
    int threads; /* the caller included; 0: not started */
    thread_t handles[MAX_THREADS];
    lock_t lock;
    signal_t signal;
} pool = {.lock = LOCK_INIT, .signal = SIGNAL_INIT};

static lock_t call_lock = LOCK_INIT;
static thread_start_t starts[MAX_THREADS];

#if defined(_WIN32)
DWORD WINAPI fk_thread_entry(LPVOID start) {
#else
void *fk_thread_entry(void *start) {
#endif
    thread_start_t *mine = start;
    mine->body(mine->context);
    return 0;
}

/* Takes pieces of the job that `ticket` names until none is left. A successful exchange proves that the job is still that one: its fields
   change only after the ticket has been closed. */
static void help(uint64_t ticket) {
    uint32_t job = (uint32_t)(ticket >> 32);
    while ((uint32_t)(ticket >> 32) == job && (uint32_t)ticket != CLOSED) {
        uint32_t piece = (uint32_t)ticket;
        fk_work_t work = atomic_load(&pool.work);
        void *context = atomic_load(&pool.context);
        int64_t count = atomic_load(&pool.count), grain = atomic_load(&pool.grain);
        if (piece >= atomic_load(&pool.pieces)) return;
        if (!atomic_compare_exchange_weak(&pool.ticket, &ticket, ticket + 1)) continue;
        int64_t first = (int64_t)piece * grain;
        work(context, first, first + grain < count ? first + grain : count);
        atomic_fetch_add_explicit(&pool.done, 1, memory_order_release);
        ticket = atomic_load(&pool.ticket);
    }
}

static int fresh(uint64_t ticket, uint32_t seen) { return (uint32_t)(ticket >> 32) != seen && (uint32_t)ticket != CLOSED; }

static void sleep_until_fresh(uint32_t seen) {
    lock_take(&pool.lock);
    atomic_fetch_add(&pool.sleepers, 1);
    while (!fresh(atomic_load(&pool.ticket), seen) && !atomic_load(&pool.stopping)) signal_wait(&pool.signal, &pool.lock);
    atomic_fetch_sub(&pool.sleepers, 1);
    lock_give(&pool.lock);
}

static void worker(void *context) {
    uint32_t seen = (uint32_t)(uintptr_t)context;
    while (!atomic_load(&pool.stopping)) {
        uint64_t ticket = atomic_load_explicit(&pool.ticket, memory_order_acquire);
        for (int spin = 0; spin < SPINS && !fresh(ticket, seen); spin++) {
            cpu_relax();
            ticket = atomic_load_explicit(&pool.ticket, memory_order_acquire);
        }
        if (!fresh(ticket, seen)) {
            sleep_until_fresh(seen);
            continue;
        }
        seen = (uint32_t)(ticket >> 32);
        help(ticket);
    }
}

static void stop_workers(void) {
    lock_take(&pool.lock);
    atomic_store(&pool.stopping, 1);
    signal_all(&pool.signal);
    lock_give(&pool.lock);
    for (int i = 1; i < pool.threads; i++) thread_join(pool.handles[i]);
    atomic_store(&pool.stopping, 0);
    pool.threads = 0;
}

/* How many threads work on a call from now on, the caller's included; returns how many could be had. */
FK_EXPORT int fk_set_threads(int threads) {
    threads = threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
    fk_call_lock();
    stop_workers();
    uintptr_t job = (uintptr_t)(atomic_load(&pool.ticket) >> 32);
    for (pool.threads = 1; pool.threads < threads; pool.threads++) {
        starts[pool.threads] = (thread_start_t){worker, (void *)job};
        if (thread_make(&pool.handles[pool.threads], &starts[pool.threads])) break;
    }
    int made = pool.threads;
    fk_call_unlock();
    return made;
}

int fk_pool_threads(void) { return pool.threads < 1 ? 1 : pool.threads; }

void fk_pool_run(fk_work_t work, void *context, int64_t count, int64_t grain) {
    if (count <= 0) return;
    if (pool.threads <= 1 || count <= grain) {
        work(context, 0, count);
        return;
    }
    uint64_t job = ((atomic_load(&pool.ticket) >> 32) + 1) & 0xffffffffu;
    uint32_t pieces = (uint32_t)((count + grain - 1) / grain);
    atomic_store(&pool.ticket, job << 32 | CLOSED);
    atomic_store(&pool.work, work);
    atomic_store(&pool.context, context);
    atomic_store(&pool.count, count);
    atomic_store(&pool.grain, grain);
    atomic_store(&pool.pieces, pieces);
    atomic_store(&pool.done, 0);
    atomic_store(&pool.ticket, job << 32);
    if (atomic_load(&pool.sleepers)) {
        lock_take(&pool.lock);
        signal_all(&pool.signal);
        lock_give(&pool.lock);
    }
    help(job << 32);
    for (int spin = 0; atomic_load_explicit(&pool.done, memory_order_acquire) < pieces; spin++) {
        if (spin < SPINS) cpu_relax();
        else thread_yield();
    }
}

void fk_call_lock(void) { lock_take(&call_lock); }
void fk_call_unlock(void) { lock_give(&call_lock); }

void *fk_scratch(int which, size_t bytes) {
    static struct {
        void *raw;
        size_t size;
    } held[SCRATCHES];
    if (held[which].size < bytes) {
        free(held[which].raw);
        held[which].raw = malloc(bytes + 64);
        held[which].size = held[which].raw ? bytes : 0;
    }
    if (!held[which].raw) return NULL;
    return (void *)(((uintptr_t)held[which].raw + 63) & ~(uintptr_t)63);
}
