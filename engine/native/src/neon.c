/* ARM64: NEON is always there; the dot product of bytes is asked for at run time. */
#include "flashkb.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#include <math.h>

#include "blocks.h"

#if defined(__linux__)
#include <sys/auxv.h>
static int has_dot_product(void) { return (getauxval(AT_HWCAP) & (1ul << 20)) != 0; /* HWCAP_ASIMDDP */ }
#elif defined(__APPLE__)
static int has_dot_product(void) { return 1; /* every processor that macOS runs on has it */ }
#elif defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
static int has_dot_product(void) { return IsProcessorFeaturePresent(43) != 0; /* PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE */ }
#else
static int has_dot_product(void) { return 0; }
#endif

/* With the instruction or without, the same sums: lane i gets the products of bytes 4 i .. 4 i + 3. */
#define BYTE_PRODUCTS(sum, a, b)                                                              \
    vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b))),           \
                              vpaddlq_s16(vmull_s8(vget_high_s8(a), vget_high_s8(b)))))
#define FUNCTION static
#define INLINE static inline __attribute__((always_inline))
#define PATH(name) name##_plain
#include "neon.inc"
#undef BYTE_PRODUCTS
#undef FUNCTION
#undef INLINE
#undef PATH

#if defined(__clang__)
#define DOT_TARGET __attribute__((target("dotprod")))
#else
#define DOT_TARGET __attribute__((target("arch=armv8.2-a+dotprod")))
#endif
#define BYTE_PRODUCTS(sum, a, b) vdotq_s32(sum, a, b)
#define FUNCTION static DOT_TARGET
#define INLINE static inline __attribute__((always_inline)) DOT_TARGET
#define PATH(name) name##_dot
#include "neon.inc"

static void quantize(const float *x, int64_t groups, activations_t *out) {
    for (int64_t g = 0; g < groups; g++, x += GROUP) {
        float32x4_t v[8], largest = vdupq_n_f32(0), poison = vdupq_n_f32(0);
        int32x4_t sums[2] = {vdupq_n_s32(0), vdupq_n_s32(0)};
        for (int i = 0; i < 8; i++) {
            v[i] = vld1q_f32(x + 4 * i);
            largest = vmaxq_f32(largest, vabsq_f32(v[i]));
            poison = vfmaq_f32(poison, v[i], vdupq_n_f32(0));
        }
        float most = vmaxvq_f32(largest), bad = vaddvq_f32(poison);
        int usable = bad == 0 && most >= 1e-30f;
        float inverse = usable ? 127.0f / most : 0.0f;
        for (int i = 0; i < 8; i += 4) {
            int32x4_t q[4];
            for (int j = 0; j < 4; j++) {
                q[j] = usable ? vcvtnq_s32_f32(vmulq_n_f32(v[i + j], inverse)) : vdupq_n_s32(0);
                sums[i / 4] = vaddq_s32(sums[i / 4], q[j]);
            }
            int16x8_t low = vcombine_s16(vmovn_s32(q[0]), vmovn_s32(q[1])), high = vcombine_s16(vmovn_s32(q[2]), vmovn_s32(q[3]));
            vst1q_s8(out->q + g * GROUP + 4 * i, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
        }
        int32_t first = vaddvq_s32(sums[0]), last = vaddvq_s32(sums[1]);
        out->scale[g] = usable ? most / 127.0f : bad;
        out->sum[g] = first + last;
        out->scaled_sum[g] = out->scale[g] * (float)out->sum[g];
        out->half_sums[2 * g] = (int16_t)first;
        out->half_sums[2 * g + 1] = (int16_t)last;
    }
}

static inline float32x4_t four_halves(const uint16_t *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }

static float score_of(const float *query, const uint16_t *key, int64_t dim) {
    float32x4_t sums[2] = {vdupq_n_f32(0), vdupq_n_f32(0)};
    for (int64_t d = 0; d < dim; d += 8)
        for (int i = 0; i < 2; i++) sums[i] = vfmaq_f32(sums[i], vld1q_f32(query + d + 4 * i), four_halves(key + d + 4 * i));
    return vaddvq_f32(vaddq_f32(sums[0], sums[1]));
}

enum { POSITIONS = 64 };

static void attend(const float *query, const uint16_t *keys, const uint16_t *values, int64_t length, int64_t dim, float scale, float *out) {
    float score[POSITIONS], top = -INFINITY, total = 0;
    if (dim % 8) {
        fk_portable.attend(query, keys, values, length, dim, scale, out);
        return;
    }
    memset(out, 0, (size_t)dim * sizeof(float));
    for (int64_t first = 0; first < length; first += POSITIONS) {
        int count = length - first < POSITIONS ? (int)(length - first) : POSITIONS;
        float highest = top;
        for (int i = 0; i < count; i++) {
            score[i] = score_of(query, keys + (first + i) * dim, dim) * scale;
            highest = score[i] > highest ? score[i] : highest;
        }
        float shrink = expf(top - highest);
        total *= shrink;
        for (int i = 0; i < count; i++) total += score[i] = expf(score[i] - highest);
        for (int64_t d = 0; d < dim; d += 4) {
            float32x4_t sum = vmulq_n_f32(vld1q_f32(out + d), shrink);
            for (int i = 0; i < count; i++) sum = vfmaq_n_f32(sum, four_halves(values + (first + i) * dim + d), score[i]);
            vst1q_f32(out + d, sum);
        }
        top = highest;
    }
    for (int64_t d = 0; d < dim; d += 4) vst1q_f32(out + d, vmulq_n_f32(vld1q_f32(out + d), 1.0f / total));
}

/* e^x to about two units in the last place: 2^n times a polynomial (Cephes). NaN stays NaN. */
static inline float32x4_t exponential(float32x4_t x) {
    x = vminq_f32(vdupq_n_f32(88.3762626f), vmaxq_f32(vdupq_n_f32(-87.3365448f), x));
    float32x4_t n = vrndnq_f32(vmulq_n_f32(x, 1.44269504f));
    float32x4_t r = vfmsq_f32(vfmsq_f32(x, n, vdupq_n_f32(0.693359375f)), n, vdupq_n_f32(-2.12194440e-4f));
    float32x4_t y = vfmaq_f32(vdupq_n_f32(1.3981999507e-3f), vdupq_n_f32(1.9875691500e-4f), r);
    y = vfmaq_f32(vdupq_n_f32(8.3334519073e-3f), y, r);
    y = vfmaq_f32(vdupq_n_f32(4.1665795894e-2f), y, r);
    y = vfmaq_f32(vdupq_n_f32(1.6666665459e-1f), y, r);
    y = vfmaq_f32(vdupq_n_f32(5.0000001201e-1f), y, r);
    y = vfmaq_f32(vaddq_f32(r, vdupq_n_f32(1.0f)), y, vmulq_f32(r, r));
    int32x4_t power = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23);
    return vmulq_f32(y, vreinterpretq_f32_s32(power));
}

static void silu(float *up, const float *gate, int64_t count) {
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) {
        float32x4_t g = vld1q_f32(gate + i), e = exponential(vnegq_f32(g));
        vst1q_f32(up + i, vmulq_f32(vld1q_f32(up + i), vdivq_f32(g, vaddq_f32(vdupq_n_f32(1.0f), e))));
    }
    if (i < count) fk_portable.silu(up + i, gate + i, count - i);
}

static void expand(format_t format, const uint8_t *row, int64_t first, int64_t columns, float *out) {
    const float one = 1.0f;
    memset(out, 0, (size_t)columns * sizeof(float));
    add_rows_plain(format, &row, &one, 1, first, columns, out);
}

const kernels_t *fk_neon(void) {
    static const kernels_t kernels = {"neon", quantize, dot_plain, dot_many_plain, dot_plain_plain, expand, add_rows_plain, attend, silu};
    return &kernels;
}

const kernels_t *fk_neon_dot(void) {
    static const kernels_t kernels = {"neon-dot", quantize, dot_dot, dot_many_dot, dot_plain_dot, expand, add_rows_dot, attend, silu};
    return has_dot_product() ? &kernels : NULL;
}
#else
const kernels_t *fk_neon(void) { return NULL; }
const kernels_t *fk_neon_dot(void) { return NULL; }
#endif
