/* x86-64 with AVX2, FMA and F16C (2013 and later). */
#include "flashkb.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>

#include "blocks.h"
#define TARGET "avx2,fma,f16c"
#define KERNELS_NAME "avx2"
#include "x86.inc"

const kernels_t *fk_avx2(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") ? &kernels : NULL;
}
#else
const kernels_t *fk_avx2(void) { return NULL; }
#endif
