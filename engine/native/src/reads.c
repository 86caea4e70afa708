/*
 * Batches of positional reads with many in flight, past the page cache where the system allows it.
 *
 * Threads of their own do blocking reads, so that reads run while the pool computes. A piece whose offset, size and address suit direct I/O is
 * read in place; any other goes through a bounce buffer that covers it.
 */
#if !defined(_WIN32)
#define _GNU_SOURCE /* O_DIRECT */
#define _DARWIN_C_SOURCE
#define _FILE_OFFSET_BITS 64
#endif

#include "flashkb.h"
#include "threads.h"

#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#include <malloc.h>
typedef HANDLE file_t;
#else
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
typedef int file_t;
#endif

enum { READERS = 16, ALIGNMENT = 4096, BOUNCE = 1 << 20 };

typedef struct {
    file_t handle;
    int direct;
    int alignment; /* what offset, size and address must be multiples of; 1: nothing */
    int64_t size;
} weights_t;

typedef struct {
    const weights_t *file;
    const int64_t *offsets, *sizes, *places;
    uint8_t *into;
    int64_t count;
    _Atomic int64_t next, finished;
    _Atomic int error, system_error;
    _Atomic int64_t failed;
} batch_t;

#if defined(_WIN32)
static void *aligned_memory(size_t bytes) { return _aligned_malloc(bytes, ALIGNMENT); }

static int last_error(void) { return (int)GetLastError(); }

static int open_once(const char *path, int direct, weights_t *file) {
    int length = MultiByteToWideChar(CP_UTF8, 0, path, -1, NULL, 0);
    wchar_t *wide = malloc(sizeof(wchar_t) * (size_t)(length > 0 ? length : 1));
    if (!wide) return ERROR_NOT_ENOUGH_MEMORY;
    MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, length);
    file->handle = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL, OPEN_EXISTING,
                               FILE_FLAG_OVERLAPPED | (direct ? FILE_FLAG_NO_BUFFERING : 0), NULL);
    int error = file->handle == INVALID_HANDLE_VALUE ? last_error() : 0;
    free(wide);
    LARGE_INTEGER size;
    if (!error && !GetFileSizeEx(file->handle, &size)) {
        error = last_error();
        CloseHandle(file->handle);
    }
    if (error) return error;
    file->size = size.QuadPart;
    file->direct = direct;
    file->alignment = direct ? ALIGNMENT : 1;
    return 0;
}

static void close_handle(const weights_t *file) { CloseHandle(file->handle); }

/* Bytes read, 0 at the end of the file, -1 with *error. */
static int64_t read_some(const weights_t *file, uint8_t *to, int64_t size, int64_t offset, int *error) {
    OVERLAPPED at = {0};
    DWORD wanted = size > 1 << 30 ? 1u << 30 : (DWORD)size, got = 0;
    at.Offset = (DWORD)offset;
    at.OffsetHigh = (DWORD)(offset >> 32);
    at.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (!at.hEvent) {
        *error = last_error();
        return -1;
    }
    int64_t result = -1;
    if ((ReadFile(file->handle, to, wanted, NULL, &at) || GetLastError() == ERROR_IO_PENDING) &&
        GetOverlappedResult(file->handle, &at, &got, TRUE))
        result = got;
    else if (GetLastError() == ERROR_HANDLE_EOF) result = 0;
    else *error = last_error();
    CloseHandle(at.hEvent);
    return result;
}
#else
static void *aligned_memory(size_t bytes) {
    void *memory = NULL;
    return posix_memalign(&memory, ALIGNMENT, bytes) ? NULL : memory;
}

static int open_once(const char *path, int direct, weights_t *file) {
    int flags = O_RDONLY | O_CLOEXEC;
#if defined(O_DIRECT)
    if (direct) flags |= O_DIRECT;
#endif
    file->handle = open(path, flags);
    if (file->handle < 0) return errno;
    struct stat facts;
    if (fstat(file->handle, &facts)) {
        int error = errno;
        close(file->handle);
        return error;
    }
    file->size = facts.st_size;
    file->direct = 0;
    file->alignment = 1;
#if defined(O_DIRECT)
    file->direct = direct;
    file->alignment = direct ? 512 : 1;
#elif defined(F_NOCACHE)
    file->direct = direct && fcntl(file->handle, F_NOCACHE, 1) != -1;
#endif
    return 0;
}

static void close_handle(const weights_t *file) { close(file->handle); }

static int64_t read_some(const weights_t *file, uint8_t *to, int64_t size, int64_t offset, int *error) {
    for (;;) {
        ssize_t got = pread(file->handle, to, (size_t)(size > 1 << 30 ? 1 << 30 : size), (off_t)offset);
        if (got >= 0) return got;
        if (errno == EINTR) continue;
        *error = errno;
        return -1;
    }
}
#endif

/* Whether a direct read at this alignment is accepted; a disk whose blocks are 4096 bytes refuses 512. */
static int accepts(const weights_t *file, int alignment) {
    uint8_t *page = aligned_memory(2 * ALIGNMENT);
    int error = 0, accepted = page != NULL;
    if (page && file->size > 2 * alignment) accepted = read_some(file, page + alignment, alignment, alignment, &error) == alignment;
    else if (page) accepted = read_some(file, page, ALIGNMENT, 0, &error) >= 0;
#if defined(_WIN32)
    _aligned_free(page);
#else
    free(page);
#endif
    return accepted;
}

/* 0 with *file set, or the system's error number. */
FK_EXPORT int fk_open(const char *path, int direct, void **file, int64_t *size, int *is_direct) {
    weights_t *opened = calloc(1, sizeof *opened);
    if (!opened) return FK_NO_MEMORY;
    int error = open_once(path, direct, opened);
    if (error && direct) error = open_once(path, direct = 0, opened);
    if (!error && opened->alignment > 1 && !accepts(opened, opened->alignment)) {
        opened->alignment = ALIGNMENT;
        if (!accepts(opened, ALIGNMENT)) {
            close_handle(opened);
            error = open_once(path, 0, opened);
        }
    }
    if (error) {
        free(opened);
        return error;
    }
    *file = opened;
    *size = opened->size;
    *is_direct = opened->direct;
    return FK_OK;
}

FK_EXPORT void fk_close(void *file) {
    close_handle(file);
    free(file);
}

/* Until `size` bytes are there; FK_OK, FK_END_OF_FILE or FK_IO. A direct read may end within a block only at the end of the file. */
static int read_all(const weights_t *file, uint8_t *to, int64_t size, int64_t least, int64_t offset, int *error) {
    for (int64_t done = 0; done < least;) {
        int64_t got = read_some(file, to + done, size - done, offset + done, error);
        if (got < 0) return FK_IO;
        if (got == 0 || (done + got < least && got % file->alignment)) return FK_END_OF_FILE;
        done += got;
    }
    return FK_OK;
}

static int through_bounce(const weights_t *file, uint8_t *to, int64_t size, int64_t offset, uint8_t *bounce, int *error) {
    while (size > 0) {
        int64_t skip = offset % file->alignment, here = size < BOUNCE - skip - ALIGNMENT ? size : BOUNCE - skip - ALIGNMENT;
        int64_t span = (skip + here + file->alignment - 1) / file->alignment * file->alignment;
        int result = read_all(file, bounce, span, skip + here, offset - skip, error);
        if (result) return result;
        memcpy(to, bounce + skip, (size_t)here);
        to += here;
        offset += here;
        size -= here;
    }
    return FK_OK;
}

static void read_pieces(batch_t *batch, uint8_t *bounce) {
    const weights_t *file = batch->file;
    for (int64_t i; (i = atomic_fetch_add(&batch->next, 1)) < batch->count;) {
        int64_t offset = batch->offsets[i], size = batch->sizes[i];
        uint8_t *to = batch->into + batch->places[i];
        int error = 0, result;
        if ((offset | size | (int64_t)(uintptr_t)to) % file->alignment) result = through_bounce(file, to, size, offset, bounce, &error);
        else result = read_all(file, to, size, size, offset, &error);
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
        void *bounce = aligned_memory(BOUNCE);
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
