/* Batches of reads that run while their caller does something else. */
#ifndef FLASHKB_READS_H
#define FLASHKB_READS_H

#include "file.h"

enum { SCATTERED = 1 << 18 }; /* the most bytes of a piece whose rows are scattered */

/* Pieces of a file and their places in memory; the arrays are the caller's and stay until fk_reads_finish. A piece whose `first_row` is not
   -1 is read aside: of every row_stride bytes the first row_bytes are put to row_places[first_row], and so on, or nowhere where that is -1. */
typedef struct reads {
    const weights_t *file;
    const int64_t *offsets, *sizes, *places;
    uint8_t *into;
    const int64_t *first_row, *row_places; /* NULL: every piece goes to its place */
    int64_t count, row_bytes, row_stride;
    _Atomic int64_t next, finished;
    _Atomic int error, system_error;
    _Atomic int64_t failed;
    int inside, waiting; /* readers that hold it; whether it is queued */
    struct reads *behind;
} reads_t;

/* FK_OK with the reads under way, or FK_NO_MEMORY. Several batches may be under way; readers take them in the order of their start. */
int fk_reads_start(reads_t *batch);
/* Waits for the batch: FK_OK, or FK_END_OF_FILE or FK_IO of the first piece that failed. Harmless when it was not started. */
int fk_reads_finish(reads_t *batch);

#endif
