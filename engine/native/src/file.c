/*
 * Files of weights: positional reads past the page cache where the system allows it, with every system's own calls.
 *
 * A read whose offset, size and address suit direct I/O goes straight to its place; any other goes through a bounce buffer that covers it.
 */
#if !defined(_WIN32)
#define _GNU_SOURCE /* O_DIRECT */
#define _DARWIN_C_SOURCE
#define _FILE_OFFSET_BITS 64
#endif

#include "file.h"

#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#include <malloc.h>
#else
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#if defined(_WIN32)
void *fk_aligned_memory(size_t bytes) { return _aligned_malloc(bytes, ALIGNMENT); }

void fk_aligned_free(void *memory) { _aligned_free(memory); }

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
void *fk_aligned_memory(size_t bytes) {
    void *memory = NULL;
    return posix_memalign(&memory, ALIGNMENT, bytes) ? NULL : memory;
}

void fk_aligned_free(void *memory) { free(memory); }

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
    uint8_t *page = fk_aligned_memory(2 * ALIGNMENT);
    int error = 0, accepted = page != NULL;
    if (page && file->size > 2 * alignment) accepted = read_some(file, page + alignment, alignment, alignment, &error) == alignment;
    else if (page) accepted = read_some(file, page, ALIGNMENT, 0, &error) >= 0;
    fk_aligned_free(page);
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

int fk_file_read(const weights_t *file, uint8_t *to, int64_t size, int64_t offset, uint8_t *bounce, int *error) {
    if ((offset | size | (int64_t)(uintptr_t)to) % file->alignment) return through_bounce(file, to, size, offset, bounce, error);
    return read_all(file, to, size, size, offset, error);
}
