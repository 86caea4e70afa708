/* GGML's blocks in portable C: half floats, and 32 columns of a row at a time. */
#ifndef FLASHKB_BLOCKS_H
#define FLASHKB_BLOCKS_H

#include <string.h>

#include "flashkb.h"

FK_INLINE uint16_t load_u16(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}

FK_INLINE uint32_t load_u32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

FK_INLINE float bits_to_float(uint32_t bits) {
    float v;
    memcpy(&v, &bits, 4);
    return v;
}

FK_INLINE uint32_t float_to_bits(float v) {
    uint32_t bits;
    memcpy(&bits, &v, 4);
    return bits;
}

/* IEEE half to float, subnormals, infinities and NaN included. */
FK_INLINE float half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, magnitude = h & 0x7fffu;
    if (magnitude >= 0x7c00u) return bits_to_float(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
    if (magnitude >= 0x0400u) return bits_to_float(sign | ((magnitude << 13) + 0x38000000u));
    return bits_to_float(sign | float_to_bits((float)magnitude * 0x1p-24f));
}

/* Float to IEEE half, to nearest even. */
FK_INLINE uint16_t float_to_half(float v) {
    uint32_t bits = float_to_bits(v), sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) {
        float shifted = bits_to_float(magnitude) + 0.5f; /* the addition rounds to multiples of 2^-24 */
        return (uint16_t)(sign | (float_to_bits(shifted) - 0x3f000000u));
    }
    return (uint16_t)(sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13));
}

FK_INLINE float load_half(const uint8_t *p) { return half_to_float(load_u16(p)); }

/* Six-bit scales (bytes 0-7 of out) and minima (bytes 8-15) from the twelve bytes of a K block. */
FK_INLINE void six_bits(const uint8_t *packed, uint32_t out[4]) {
    uint32_t low = load_u32(packed), middle = load_u32(packed + 4), high = load_u32(packed + 8);
    out[0] = low & 0x3f3f3f3fu;
    out[1] = (high & 0x0f0f0f0fu) | (((low >> 6) & 0x03030303u) << 4);
    out[2] = middle & 0x3f3f3f3fu;
    out[3] = ((high >> 4) & 0x0f0f0f0fu) | (((middle >> 6) & 0x03030303u) << 4);
}

/* weight = scale * q + offset; where multipliers are not 1 (Q6_K) the two halves of q are also times multiplier[0] and [1]. */
typedef struct {
    int8_t q[GROUP];
    float scale, offset;
    int32_t multiplier[2];
} group_t;

FK_INLINE void unpack_k_group(format_t format, const uint8_t *block, int k, group_t *out) {
    uint32_t six[4];
    uint8_t scales[16];
    six_bits(block + 4, six);
    memcpy(scales, six, 16);
    out->scale = load_half(block) * (float)scales[k];
    out->offset = -(load_half(block + 2) * (float)scales[8 + k]);
    const uint8_t *nibbles = block + (format == Q5_K ? 48 : 16) + 32 * (k / 2);
    for (int i = 0; i < GROUP; i++) out->q[i] = (int8_t)((nibbles[i] >> (4 * (k & 1))) & 15);
    if (format == Q5_K)
        for (int i = 0; i < GROUP; i++) out->q[i] = (int8_t)(out->q[i] | (((block[16 + i] >> k) & 1) << 4));
}

FK_INLINE void unpack_q6_group(const uint8_t *block, int k, group_t *out) {
    const uint8_t *low = block + 64 * (k / 4) + 32 * (k & 1), *high = block + 128 + 32 * (k / 4);
    int low_shift = (k & 2) * 2, high_shift = 2 * (k & 3);
    for (int i = 0; i < GROUP; i++) out->q[i] = (int8_t)((((low[i] >> low_shift) & 15) | (((high[i] >> high_shift) & 3) << 4)) - 32);
    out->scale = load_half(block + 208);
    out->multiplier[0] = (int8_t)block[192 + 2 * k];
    out->multiplier[1] = (int8_t)block[192 + 2 * k + 1];
}

FK_INLINE void unpack_nibbles(const uint8_t *packed, int zero, int8_t *q) {
    for (int i = 0; i < 16; i++) {
        q[i] = (int8_t)((packed[i] & 15) - zero);
        q[i + 16] = (int8_t)((packed[i] >> 4) - zero);
    }
}

/* Blocks of 64 columns in two, three or four bits: a scale (five bits of exponent, three of mantissa, the upper ones of a half float), a zero
   point in eighths of the scale, for three bits the high ones, and two bits for each column; four bits lie as in Q4_0. */
FK_INLINE float tiny_scale(uint8_t code) { return half_to_float((uint16_t)(code << 7)); }

FK_INLINE void unpack_low_bits(format_t format, const uint8_t *block, int k, group_t *out) {
    const uint8_t *high = block + 2, *low = block + (format == Q3_1 ? 10 : 2);
    out->scale = tiny_scale(block[0]);
    out->offset = out->scale * ((float)(int8_t)block[1] * 0.125f);
    if (format == Q4_64) {
        unpack_nibbles(block + 2 + 16 * k, 0, out->q);
        return;
    }
    for (int i = 0; i < GROUP; i++) out->q[i] = (int8_t)((low[i % 16] >> (4 * k + 2 * (i / 16))) & 3);
    if (format == Q3_1)
        for (int i = 0; i < 4; i++)
            for (int bit = 0; bit < 8; bit++) out->q[4 * bit + i] = (int8_t)(out->q[4 * bit + i] + 4 * ((high[4 * k + i] >> bit) & 1));
}

FK_INLINE int is_low_bit(format_t format) { return format == Q2_1 || format == Q3_1 || format == Q4_64; }

FK_INLINE int low_bit_bytes(format_t format) { return format == Q2_1 ? 18 : format == Q3_1 ? 26 : 34; }

FK_INLINE int64_t groups_in_block(format_t format) { return format >= Q4_K ? LANES : is_low_bit(format) ? 2 : 1; }

/* Group g of a quantised row. */
FK_INLINE void unpack_group(format_t format, const uint8_t *row, int64_t g, group_t *out) {
    const uint8_t *block = row + g / groups_in_block(format) * fk_formats[format].block_bytes;
    out->multiplier[0] = out->multiplier[1] = 1;
    out->offset = 0;
    if (format == Q6_K) {
        unpack_q6_group(block, (int)(g % LANES), out);
        return;
    }
    if (format >= Q4_K) {
        unpack_k_group(format, block, (int)(g % LANES), out);
        return;
    }
    if (is_low_bit(format)) {
        unpack_low_bits(format, block, (int)(g & 1), out);
        return;
    }
    out->scale = load_half(block);
    if (format == Q8_0) memcpy(out->q, block + 2, GROUP);
    if (format == Q4_0) unpack_nibbles(block + 2, 8, out->q);
    if (format == Q4_1) {
        out->offset = load_half(block + 2);
        unpack_nibbles(block + 4, 0, out->q);
    }
    if (format == Q5_0) {
        uint32_t high = load_u32(block + 2);
        unpack_nibbles(block + 6, 16, out->q);
        for (int i = 0; i < GROUP; i++) out->q[i] = (int8_t)(out->q[i] + (int8_t)(((high >> i) & 1) << 4));
    }
}

/* Column c of a row of plain floats. */
FK_INLINE float plain_value(format_t format, const uint8_t *row, int64_t c) {
    if (format == F32) return bits_to_float(load_u32(row + 4 * c));
    if (format == F16) return load_half(row + 2 * c);
    return bits_to_float((uint32_t)load_u16(row + 2 * c) << 16);
}

FK_INLINE int has_offset(format_t format) {
    return format == Q4_1 || is_low_bit(format) || format == Q4_K || format == Q5_K;
}

#endif
