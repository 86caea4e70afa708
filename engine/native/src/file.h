/* A file of weights, open for positional reads. */
#ifndef FLASHKB_FILE_H
#define FLASHKB_FILE_H

#include "flashkb.h"
#include "threads.h"

#if defined(_WIN32)
typedef HANDLE file_t;
#else
typedef int file_t;
#endif

enum { ALIGNMENT = 4096, BOUNCE = 1 << 20 };

typedef struct {
    file_t handle;
    int direct;
    int alignment; /* what offset, size and address must be multiples of; 1: nothing */
    int64_t size;
} weights_t;

/* FK_OK with all `size` bytes at `to`, or FK_END_OF_FILE, or FK_IO with the system's *error. `bounce` is BOUNCE bytes of fk_aligned_memory. */
int fk_file_read(const weights_t *file, uint8_t *to, int64_t size, int64_t offset, uint8_t *bounce, int *error);

void *fk_aligned_memory(size_t bytes); /* to ALIGNMENT; NULL without memory */
void fk_aligned_free(void *memory);

#endif
