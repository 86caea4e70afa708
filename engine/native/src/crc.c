/* CRC-32 as zlib computes it, eight bytes a step. */
#include "flashkb.h"
#include "threads.h"

static uint32_t table[8][256];
static _Atomic int made;
static lock_t making = LOCK_INIT;

/* Called under the lock. */
static void make_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++) value = value & 1 ? value >> 1 ^ 0xedb88320u : value >> 1;
        table[0][i] = value;
    }
    for (int k = 1; k < 8; k++)
        for (int i = 0; i < 256; i++) table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 255];
    atomic_store(&made, 1);
}

FK_EXPORT uint32_t fk_crc32(const uint8_t *data, int64_t size) {
    if (!atomic_load(&made)) {
        lock_take(&making);
        if (!atomic_load(&made)) make_table();
        lock_give(&making);
    }
    uint32_t crc = 0xffffffffu;
    int64_t i = 0;
    for (; i + 8 <= size; i += 8) {
        const uint8_t *d = data + i;
        crc = table[7][(crc ^ d[0]) & 255] ^ table[6][(crc >> 8 ^ d[1]) & 255] ^ table[5][(crc >> 16 ^ d[2]) & 255] ^
              table[4][crc >> 24 ^ d[3]] ^ table[3][d[4]] ^ table[2][d[5]] ^ table[1][d[6]] ^ table[0][d[7]];
    }
    for (; i < size; i++) crc = crc >> 8 ^ table[0][(crc ^ data[i]) & 255];
    return ~crc;
}
