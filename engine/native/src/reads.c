/* Batches of positional reads with many in flight: threads of their own do blocking reads, so that reads run while the pool computes. */
#include "reads.h"

#include <string.h>

enum { READERS = 16 };

/* Rows of a piece that lie row_stride apart in the file, each to its own place. */
static int read_rows(const reads_t *batch, const int64_t *places, int64_t size, int64_t offset, uint8_t *bounce, int *error) {
    uint8_t *aside = bounce + BOUNCE;
    int result = fk_file_read(batch->file, aside, size, offset, bounce, error);
    for (int64_t at = 0; !result && at < size; at += batch->row_stride, places++)
        if (*places >= 0) memcpy(batch->into + *places, aside + at, (size_t)batch->row_bytes);
    return result;
}

static void read_pieces(reads_t *batch, uint8_t *bounce) {
    for (int64_t i; (i = atomic_fetch_add(&batch->next, 1)) < batch->count;) {
        int64_t offset = batch->offsets[i], size = batch->sizes[i];
        int error = 0, none = FK_OK, result;
        if (batch->first_row && batch->first_row[i] >= 0)
            result = read_rows(batch, batch->row_places + batch->first_row[i], size, offset, bounce, &error);
        else result = fk_file_read(batch->file, batch->into + batch->places[i], size, offset, bounce, &error);
        if (result && atomic_compare_exchange_strong(&batch->error, &none, result)) {
            atomic_store(&batch->system_error, error);
            atomic_store(&batch->failed, i);
        }
        atomic_fetch_add(&batch->finished, 1);
    }
}

static struct {
    lock_t lock;
    signal_t work, over;
    reads_t *first;
    int threads;
} readers = {.lock = LOCK_INIT, .work = SIGNAL_INIT, .over = SIGNAL_INIT};

static reads_t *batch_with_work(void) {
    for (reads_t *batch = readers.first; batch; batch = batch->behind)
        if (atomic_load(&batch->next) < batch->count) return batch;
    return NULL;
}

static void reader(void *bounce) {
    lock_take(&readers.lock);
    for (;;) {
        reads_t *batch;
        while (!(batch = batch_with_work())) signal_wait(&readers.work, &readers.lock);
        batch->inside++;
        lock_give(&readers.lock);
        read_pieces(batch, bounce);
        lock_take(&readers.lock);
        batch->inside--;
        signal_all(&readers.over);
    }
}

/* Readers for `wanted` pieces in flight; they live as long as the process. Called under the lock. */
static void start_readers(int64_t wanted) {
    static thread_start_t starts[READERS];
    static thread_t handles[READERS];
    while (readers.threads < READERS && readers.threads < wanted) {
        void *bounce = fk_aligned_memory(BOUNCE + SCATTERED);
        if (!bounce) return;
        starts[readers.threads] = (thread_start_t){reader, bounce};
        if (thread_make(&handles[readers.threads], &starts[readers.threads])) return;
        readers.threads++;
    }
}

int fk_reads_start(reads_t *batch) {
    atomic_store(&batch->next, 0);
    atomic_store(&batch->finished, 0);
    atomic_store(&batch->error, FK_OK);
    batch->inside = batch->waiting = 0;
    batch->behind = NULL;
    if (batch->count == 0) return FK_OK;
    lock_take(&readers.lock);
    start_readers(batch->count);
    int able = readers.threads > 0;
    if (able) {
        reads_t **end = &readers.first;
        while (*end) end = &(*end)->behind;
        *end = batch;
        batch->waiting = 1;
        signal_all(&readers.work);
    }
    lock_give(&readers.lock);
    return able ? FK_OK : FK_NO_MEMORY;
}

int fk_reads_finish(reads_t *batch) {
    if (!batch->waiting) return FK_OK;
    lock_take(&readers.lock);
    while (atomic_load(&batch->finished) < batch->count || batch->inside) signal_wait(&readers.over, &readers.lock);
    reads_t **place = &readers.first;
    while (*place != batch) place = &(*place)->behind;
    *place = batch->behind;
    batch->waiting = 0;
    lock_give(&readers.lock);
    return atomic_load(&batch->error);
}

/* FK_OK, or FK_END_OF_FILE, FK_IO, FK_NO_MEMORY with the first failed piece and the system's error number. */
FK_EXPORT int fk_read_batch(void *file, const int64_t *offsets, const int64_t *sizes, uint8_t *into, const int64_t *places, int64_t count,
                            int64_t *failed, int *system_error) {
    reads_t batch = {.file = file, .offsets = offsets, .sizes = sizes, .places = places, .into = into, .count = count};
    int result = fk_reads_start(&batch);
    if (!result) result = fk_reads_finish(&batch);
    *failed = atomic_load(&batch.failed);
    *system_error = atomic_load(&batch.system_error);
    return result;
}
