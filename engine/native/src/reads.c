/* Batches of positional reads with many in flight: threads of their own do blocking reads, so that reads run while the pool computes. */
#include "file.h"

enum { READERS = 16 };

typedef struct {
    const weights_t *file;
    const int64_t *offsets, *sizes, *places;
    uint8_t *into;
    int64_t count;
    _Atomic int64_t next, finished;
    _Atomic int error, system_error;
    _Atomic int64_t failed;
} batch_t;

static void read_pieces(batch_t *batch, uint8_t *bounce) {
    const weights_t *file = batch->file;
    for (int64_t i; (i = atomic_fetch_add(&batch->next, 1)) < batch->count;) {
        int64_t offset = batch->offsets[i], size = batch->sizes[i];
        uint8_t *to = batch->into + batch->places[i];
        int error = 0, result = fk_file_read(file, to, size, offset, bounce, &error);
        int none = FK_OK;
        if (result && atomic_compare_exchange_strong(&batch->error, &none, result)) {
            atomic_store(&batch->system_error, error);
            atomic_store(&batch->failed, i);
        }
        atomic_fetch_add(&batch->finished, 1);
    }
}

static struct {
    lock_t lock, one_at_a_time;
    signal_t work, over;
    batch_t *batch; /* NULL: nothing to do */
    int inside;     /* readers that hold the batch */
    int threads;
} readers = {.lock = LOCK_INIT, .one_at_a_time = LOCK_INIT, .work = SIGNAL_INIT, .over = SIGNAL_INIT};

static void reader(void *bounce) {
    lock_take(&readers.lock);
    for (;;) {
        while (!readers.batch || atomic_load(&readers.batch->next) >= readers.batch->count) signal_wait(&readers.work, &readers.lock);
        batch_t *batch = readers.batch;
        readers.inside++;
        lock_give(&readers.lock);
        read_pieces(batch, bounce);
        lock_take(&readers.lock);
        readers.inside--;
        signal_all(&readers.over);
    }
}

/* Readers for `wanted` pieces in flight; they live as long as the process. Called under the lock. */
static void start_readers(int64_t wanted) {
    static thread_start_t starts[READERS];
    static thread_t handles[READERS];
    while (readers.threads < READERS && readers.threads < wanted) {
        void *bounce = fk_aligned_memory(BOUNCE);
        if (!bounce) return;
        starts[readers.threads] = (thread_start_t){reader, bounce};
        if (thread_make(&handles[readers.threads], &starts[readers.threads])) return;
        readers.threads++;
    }
}

/* FK_OK, or FK_END_OF_FILE, FK_IO, FK_NO_MEMORY with the first failed piece and the system's error number. */
FK_EXPORT int fk_read_batch(void *file, const int64_t *offsets, const int64_t *sizes, uint8_t *into, const int64_t *places, int64_t count,
                            int64_t *failed, int *system_error) {
    batch_t batch = {.file = file, .offsets = offsets, .sizes = sizes, .places = places, .into = into, .count = count};
    lock_take(&readers.one_at_a_time);
    lock_take(&readers.lock);
    start_readers(count);
    int able = readers.threads > 0;
    if (able) {
        readers.batch = &batch;
        signal_all(&readers.work);
        while (atomic_load(&batch.finished) < count || readers.inside) signal_wait(&readers.over, &readers.lock);
        readers.batch = NULL;
    }
    lock_give(&readers.lock);
    lock_give(&readers.one_at_a_time);
    *failed = atomic_load(&batch.failed);
    *system_error = atomic_load(&batch.system_error);
    return able ? atomic_load(&batch.error) : FK_NO_MEMORY;
}
