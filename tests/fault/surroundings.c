/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests faults where there is little room or time: on small stacks, in a handler of another signal, in forked processes,
 * and while the guard is installed by many threads at once.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "filled.h"

#define WORKERS 4

#if CHECK_UNDER_ASAN || CHECK_UNDER_TSAN
#define STACK_EXTRA ((size_t)64 << 10)
#else
#define STACK_EXTRA ((size_t)2 << 10)
#endif

/* ---------------------------------------------------------------------------------------------------------- stacks -- */

static struct {
    const uint8_t *data;
    bool alternate;
} stacks;

static void *
touch_on_a_small_stack(void *argument __attribute__((unused)))
{
    if (stacks.alternate) {
        unsigned long least = getauxval(AT_MINSIGSTKSZ);
        stack_t stack;
        memset(&stack, 0, sizeof stack);
        stack.ss_size = (least == 0 ? (size_t)MINSIGSTKSZ : (size_t)least) + STACK_EXTRA;
        size_t length = stack.ss_size + check_page();
        uint8_t *area = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(area != MAP_FAILED);
        REQUIRE(mprotect(area, check_page(), PROT_NONE) == 0); /* an overflow of the stack is killed by SIGSEGV */
        stack.ss_sp = area + check_page();
        REQUIRE(sigaltstack(&stack, NULL) == 0);
        CHECK_U64(touch(stacks.data, PAGES - 1), 0);
        stack.ss_flags = SS_DISABLE;
        REQUIRE(sigaltstack(&stack, NULL) == 0);
        munmap(area, length);
    } else {
        CHECK_U64(touch(stacks.data, PAGES - 1), 0);
    }
    return NULL;
}

static void
fault_in_a_thread(bool alternate, size_t stack_size)
{
    pthread_t thread;
    pthread_attr_t attributes;
    const char *path = filled_file("stacks");
    mmg_handle handle = open_mapped(path);
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
    stacks.data = span.data;
    stacks.alternate = alternate;
    cut(path);
    REQUIRE(pthread_attr_init(&attributes) == 0);
    REQUIRE(pthread_attr_setstacksize(&attributes, stack_size) == 0);
    REQUIRE(pthread_create(&thread, &attributes, touch_on_a_small_stack, NULL) == 0);
    join(thread);
    pthread_attr_destroy(&attributes);
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_U64(check_info(handle).faults, 1);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
small_alternate_stacks_are_enough(void)
{
    fault_in_a_thread(true, (size_t)1 << 20);
}

static void
small_stacks_are_enough(void)
{
    fault_in_a_thread(false, (size_t)sysconf(_SC_THREAD_STACK_MIN) + STACK_EXTRA);
}

static const uint8_t *in_handler_data;
static volatile sig_atomic_t in_handler_value;

static void
read_in_a_handler(int signo __attribute__((unused)))
{
    in_handler_value = touch(in_handler_data, PAGES - 1);
}

static void
faults_in_a_handler_of_another_signal(void)
{
    struct sigaction action;
    struct sigaction before;
    if (CHECK_UNDER_TSAN) {
        check_skip("ThreadSanitizer blocks every signal while a handler runs");
        return;
    }
    const char *path = filled_file("handler");
    mmg_handle handle = open_mapped(path);
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
    memset(&action, 0, sizeof action);
    action.sa_handler = read_in_a_handler;
    REQUIRE(sigaction(SIGUSR1, &action, &before) == 0);
    in_handler_data = span.data;
    in_handler_value = 1;
    cut(path);
    raise(SIGUSR1);
    CHECK_I64(in_handler_value, 0);
    REQUIRE(sigaction(SIGUSR1, &before, NULL) == 0);
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/* ------------------------------------------------------------------------------------------------------- processes -- */

struct inherited {
    mmg_handle handle;
    mmg_span span;
    const char *path;
};

static void
lose_in_the_child(void *argument)
{
    struct inherited *inherited = argument;
    cut(inherited->path);
    CHECK_U64(touch(inherited->span.data, PAGES - 1), 0);
    CHECK_U64(touch(inherited->span.data, 0), FILLED);
    CHECK_STATUS(mmg_unpin(&inherited->span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_check(inherited->handle), MMG_E_TRUNCATED);
    CHECK_U64(check_info(inherited->handle).faults, 1);
    CHECK_STATUS(mmg_close(inherited->handle, 0), MMG_OK);
    CHECK_STATUS(mmg_close(inherited->handle, 0), MMG_E_HANDLE);
}

static void
a_forked_child_contains_its_own(void)
{
    struct inherited inherited;
    inherited.path = filled_file("forked");
    inherited.handle = open_mapped(inherited.path);
    inherited.span = check_pin(inherited.handle, 0, MMG_TO_END);
    CHECK_EXITED(check_child(lose_in_the_child, &inherited));

    /* The parent has had no fault yet. Its own fault comes now. */
    mmg_info info = check_info(inherited.handle);
    CHECK_U64(info.faults, 0);
    CHECK_U64(info.pins, 1);
    CHECK_STATUS(info.fault_cause, MMG_OK);
    CHECK_U64(touch(inherited.span.data, PAGES - 1), 0);
    CHECK_U64(touch(inherited.span.data, 0), FILLED);
    CHECK_STATUS(mmg_unpin(&inherited.span), MMG_E_TRUNCATED);
    CHECK_U64(check_info(inherited.handle).faults, 1);
    CHECK_STATUS(mmg_close(inherited.handle, 0), MMG_OK);
}

static struct {
    const uint8_t *_Atomic address;
    _Atomic uint64_t contained;
    /** How often the thread found no address. At such a moment it uses no address. */
    _Atomic uint64_t idle;
    _Atomic bool stop;
} handed;

/** Calls mmg_handle_fault() for one region again and again. */
static void *
hand_in_faults(void *argument __attribute__((unused)))
{
    while (!atomic_load(&handed.stop)) {
        const uint8_t *address = atomic_load(&handed.address);
        if (address == NULL) {
            atomic_fetch_add(&handed.idle, 1);
            sched_yield();
            continue;
        }
        siginfo_t info = check_fault(address);
        atomic_fetch_add(&handed.contained, (uint64_t)mmg_handle_fault(SIGBUS, &info, NULL));
    }
    return NULL;
}

static void
close_inherited(void *argument)
{
    const struct inherited *inherited = argument;
    mmg_span span = inherited->span;
    CHECK_U64(touch(span.data, 0), FILLED);
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(inherited->handle, 0), MMG_OK);
}

/**
 * A handler in another thread may hold a mapping at the time of fork(2). In the child no thread ends that hold, and a
 * close must not wait for it.
 */
static void
a_child_forked_amid_faults_can_close(void)
{
    pthread_t threads[2];
    struct inherited inherited;
    inherited.path = filled_file("inherited");
    inherited.handle = open_mapped(inherited.path);
    inherited.span = check_pin(inherited.handle, 0, MMG_TO_END);
    cut(inherited.path);
    CHECK_U64(touch(inherited.span.data, KEPT), 0);
    atomic_store(&handed.contained, 0);
    atomic_store(&handed.stop, false);
    atomic_store(&handed.address, inherited.span.data + KEPT * check_page());
    start(&threads[0], hand_in_faults, NULL);
    start(&threads[1], hand_in_faults, NULL);
    while (atomic_load(&handed.contained) == 0) {
        sched_yield();
    }
    for (uint64_t round = check_scaled(200); round > 0 && check_failures() == 0; round--) {
        CHECK_EXITED(check_child(close_inherited, &inherited));
    }
    atomic_store(&handed.stop, true);
    join(threads[0]);
    join(threads[1]);
    CHECK(atomic_load(&handed.contained) > 0);
    CHECK_STATUS(mmg_unpin(&inherited.span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(inherited.handle, 0), MMG_OK);
}

/**
 * A thread calls mmg_handle_fault() for a region without a pin while the region is closed. Afterwards the host may get
 * memory at the same address, and no zeros may appear in that memory.
 */
static void
a_handler_never_touches_what_comes_after_the_region(void)
{
    pthread_t thread;
    const size_t size = PAGES * check_page();
    const char *path = filled_file("successor");
    atomic_store(&handed.contained, 0);
    atomic_store(&handed.stop, false);
    atomic_store(&handed.address, NULL);
    start(&thread, hand_in_faults, NULL);
    for (uint64_t round = check_scaled(200); round > 0 && check_failures() == 0; round--) {
        mmg_handle handle = open_mapped(path);
        mmg_span span = check_pin(handle, 0, MMG_TO_END);
        uint8_t *address = (uint8_t *)(uintptr_t)span.data;
        CHECK_STATUS(mmg_unpin(&span), MMG_OK);
        atomic_store(&handed.address, address);
        for (uint64_t seen = atomic_load(&handed.contained); seen == atomic_load(&handed.contained);) {
            sched_yield();
        }
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        uint8_t *ours = mmap(address, size, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE, -1, 0);
        REQUIRE(ours == address);
        ours[0] = FILLED;
        for (int turns = 0; turns < 20; turns++) {
            CHECK_U64(touch(ours - 77, 0), FILLED);
        }
        atomic_store(&handed.address, NULL);
        /* The next region may get the same address, so wait until the thread has finished with the address of this
           round. */
        for (uint64_t seen = atomic_load(&handed.idle); seen == atomic_load(&handed.idle);) {
            sched_yield();
        }
        REQUIRE(munmap(ours, size) == 0);
    }
    atomic_store(&handed.stop, true);
    join(thread);
}

/* ----------------------------------------------------------------------------------------------------- installation -- */

static pthread_barrier_t first_barrier;

static void *
open_first(void *argument)
{
    const char *path = argument;
    pthread_barrier_wait(&first_barrier);
    mmg_handle handle = open_mapped(path);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
    cut(path);
    CHECK_U64(touch(span.data, PAGES - 1), 0);
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK_STATUS(mmg_guard_install(), MMG_OK);
    return NULL;
}

static volatile sig_atomic_t foreign;

static void
count_foreign(int signo __attribute__((unused)))
{
    foreign++;
}

/** All threads open their first mapping at the same moment, in a child that has not used the library before. */
static void
install_in_many_threads(void *argument __attribute__((unused)))
{
    static char names[WORKERS * 2][24];
    pthread_t threads[WORKERS * 2];
    signal(SIGBUS, count_foreign);
    REQUIRE(pthread_barrier_init(&first_barrier, NULL, WORKERS * 2) == 0);
    for (int index = 0; index < WORKERS * 2; index++) {
        snprintf(names[index], sizeof names[index], "first-%d", index);
        start(&threads[index], open_first, (void *)(uintptr_t)filled_file(names[index]));
    }
    for (int index = 0; index < WORKERS * 2; index++) {
        join(threads[index]);
    }
    CHECK_I64(foreign, 0);
    raise(SIGBUS);
    CHECK_I64(foreign, 1);
    CHECK_U64(check_stats().foreign_faults, 1);
    CHECK_U64(check_stats().faults, UINT64_C(2) * WORKERS);
}

static void
the_first_mappings_of_many_threads(void)
{
    for (uint64_t round = check_scaled(20); round > 0; round--) {
        CHECK_EXITED(check_child(install_in_many_threads, NULL));
    }
}

static const struct check_case cases[] = {
    {"many threads that open their first mapping at once install one guard", the_first_mappings_of_many_threads, 0},
    {"a small alternate stack is enough", small_alternate_stacks_are_enough, 0},
    {"a small stack is enough", small_stacks_are_enough, 0},
    {"a fault in a handler of another signal is contained", faults_in_a_handler_of_another_signal, 0},
    {"a forked child contains its own faults", a_forked_child_contains_its_own, 0},
    {"a child forked amid faults can close", a_child_forked_amid_faults_can_close, CHECK_THREADS},
    {"a handler never touches what comes after the region", a_handler_never_touches_what_comes_after_the_region,
     CHECK_THREADS},
};

CHECK_MAIN(cases)
