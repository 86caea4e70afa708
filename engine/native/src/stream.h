/* Tiles of feed-forward weights that come from files, round after round, read ahead of the arithmetic. */
#ifndef FLASHKB_STREAM_H
#define FLASHKB_STREAM_H

#include "flashkb.h"

/* A matrix within a tile: `format` -1 where there is none. */
typedef struct {
    int64_t format, offset, row_bytes, columns;
} part_t;

/* How a tile lies. `neuron_major`: a row of down for each neuron, and tiles of one neuron; else a row of down for each output. */
typedef struct {
    part_t up, gate, down;
    int64_t neurons, stride, neuron_major;
} form_t;

/* Neighbouring tiles of a layer in a file: `tiles` of them, `first` of which is the layer's tile number. A tile is checked against its CRC-32
   when it is read for the first time; `checked` then remembers that. */
typedef struct {
    void *file;
    int64_t offset, layer, first, tiles;
    const form_t *form;
    const uint32_t *checksums;
    uint8_t *checked;
} run_t;

typedef struct stream stream_t;

/* The next run if it is one of `layer`, else NULL. */
const run_t *fk_stream_next(const stream_t *stream, int64_t layer);
/* The tiles of the next run, waited for; NULL when reading failed. Good until fk_stream_give. */
const uint8_t *fk_stream_take(stream_t *stream);
void fk_stream_give(stream_t *stream);

#endif
