/* x86-64 with the byte products of AVX-512 VNNI (in 256-bit vectors, which do not lower the clock). */
#include "flashkb.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>

#include "blocks.h"
#define TARGET "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni"
#define KERNELS_NAME "avx512vnni"
#define WITH_VNNI
#include "x86.inc"

const kernels_t *fk_vnni(void) {
    __builtin_cpu_init();
    return fk_avx2() && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni")
               ? &kernels
               : NULL;
}
#else
const kernels_t *fk_vnni(void) { return NULL; }
#endif
