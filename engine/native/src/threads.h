/* Threads, locks and signals of POSIX and of Windows under one set of names. */
#ifndef FLASHKB_THREADS_H
#define FLASHKB_THREADS_H

#include <stdatomic.h>
#include <stdint.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
typedef SRWLOCK lock_t;
typedef CONDITION_VARIABLE signal_t;
#define LOCK_INIT SRWLOCK_INIT
#define SIGNAL_INIT CONDITION_VARIABLE_INIT
static inline void lock_take(lock_t *l) { AcquireSRWLockExclusive(l); }
static inline void lock_give(lock_t *l) { ReleaseSRWLockExclusive(l); }
static inline void signal_wait(signal_t *s, lock_t *l) { SleepConditionVariableSRW(s, l, INFINITE, 0); }
static inline void signal_all(signal_t *s) { WakeAllConditionVariable(s); }
typedef struct {
    void (*body)(void *);
    void *context;
} thread_start_t;
typedef HANDLE thread_t;
DWORD WINAPI fk_thread_entry(LPVOID start);
static inline int thread_make(thread_t *t, thread_start_t *start) {
    *t = CreateThread(NULL, 0, fk_thread_entry, start, 0, NULL);
    return *t ? 0 : -1;
}
static inline void thread_join(thread_t t) {
    WaitForSingleObject(t, INFINITE);
    CloseHandle(t);
}
static inline void thread_yield(void) { SwitchToThread(); }
static inline int64_t now_ns(void) {
    LARGE_INTEGER ticks, rate;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&rate);
    return ticks.QuadPart / rate.QuadPart * 1000000000 + ticks.QuadPart % rate.QuadPart * 1000000000 / rate.QuadPart;
}
#else
#include <pthread.h>
#include <sched.h>
#include <time.h>
typedef pthread_mutex_t lock_t;
typedef pthread_cond_t signal_t;
#define LOCK_INIT PTHREAD_MUTEX_INITIALIZER
#define SIGNAL_INIT PTHREAD_COND_INITIALIZER
static inline void lock_take(lock_t *l) { pthread_mutex_lock(l); }
static inline void lock_give(lock_t *l) { pthread_mutex_unlock(l); }
static inline void signal_wait(signal_t *s, lock_t *l) { pthread_cond_wait(s, l); }
static inline void signal_all(signal_t *s) { pthread_cond_broadcast(s); }
typedef struct {
    void (*body)(void *);
    void *context;
} thread_start_t;
typedef pthread_t thread_t;
void *fk_thread_entry(void *start);
static inline int thread_make(thread_t *t, thread_start_t *start) { return pthread_create(t, NULL, fk_thread_entry, start); }
static inline void thread_join(thread_t t) { pthread_join(t, NULL); }
static inline void thread_yield(void) { sched_yield(); }
static inline int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
#endif

static inline void cpu_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

#endif
