/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests faults at bad moments: many at once, on one page, while the region is closed, in a forked process, on small
 * stacks, in a handler of another signal, and with SIGBUS blocked while the library itself reads.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define PAGES 64
#define KEPT 3  /* pages that stay when a file is cut */
#define MANY 60 /* mappings cut at once */
#define WORKERS 4
#define FILLED 0x5A

#if CHECK_UNDER_ASAN || CHECK_UNDER_TSAN
#define STACK_EXTRA ((size_t)64 << 10)
#else
#define STACK_EXTRA ((size_t)2 << 10)
#endif

/** Makes a file without zero bytes, so that every zero is a lost byte. */
static const char *
filled_file(const char *name)
{
    size_t size = PAGES * check_page();
    uint8_t *bytes = malloc(size);
    REQUIRE(bytes != NULL);
    memset(bytes, FILLED, size);
    const char *path = check_file_with(name, bytes, size);
    free(bytes);
    return path;
}

static void
refill(const char *path)
{
    uint8_t bytes[4096];
    memset(bytes, FILLED, sizeof bytes);
    int descriptor = open(path, O_WRONLY | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    for (uint64_t at = 0; at < PAGES * check_page(); at += sizeof bytes) {
        REQUIRE(pwrite(descriptor, bytes, sizeof bytes, (off_t)at) == (ssize_t)sizeof bytes);
    }
    close(descriptor);
}

static void
cut(const char *path)
{
    check_truncate(path, KEPT * check_page());
}

static mmg_handle
open_mapped(const char *path)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    return check_open(path, &options);
}

static uint8_t
touch(const uint8_t *bytes, uint64_t page)
{
    return *(const volatile uint8_t *)(bytes + page * check_page() + 77);
}

static void
block_sigbus(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGBUS);
    REQUIRE(pthread_sigmask(how, &set, NULL) == 0);
}

static void
start(pthread_t *thread, void *(*body)(void *), void *argument)
{
    REQUIRE(pthread_create(thread, NULL, body, argument) == 0);
}

static void
join(pthread_t thread)
{
    REQUIRE(pthread_join(thread, NULL) == 0);
}

/* ------------------------------------------------------------------------------------------------------ one page -- */

static struct {
    pthread_barrier_t barrier;
    const uint8_t *data;
    uint64_t rounds;
} same;

static void *
touch_same_page(void *argument __attribute__((unused)))
{
    for (uint64_t round = 0; round < same.rounds; round++) {
        pthread_barrier_wait(&same.barrier);
        CHECK_U64(touch(same.data, KEPT + round % (PAGES - KEPT)), 0);
        pthread_barrier_wait(&same.barrier);
    }
    return NULL;
}

static void
two_threads_on_one_page(void)
{
    pthread_t threads[2];
    const char *path = filled_file("same");
    same.rounds = check_scaled(500);
    REQUIRE(pthread_barrier_init(&same.barrier, NULL, 3) == 0);
    start(&threads[0], touch_same_page, NULL);
    start(&threads[1], touch_same_page, NULL);
    for (uint64_t round = 0; round < same.rounds; round++) {
        mmg_handle handle = open_mapped(path);
        mmg_span span = check_pin(handle, 0, MMG_TO_END);
        same.data = span.data;
        cut(path);
        pthread_barrier_wait(&same.barrier);
        pthread_barrier_wait(&same.barrier);
        CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
        mmg_info info = check_info(handle);
        CHECK(info.faults == 1 || info.faults == 2);
        CHECK_U64(info.fault_offset, KEPT * check_page());
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        refill(path);
    }
    join(threads[0]);
    join(threads[1]);
    pthread_barrier_destroy(&same.barrier);
}

static struct {
    pthread_barrier_t barrier;
    mmg_handle handle;
    uint64_t rounds;
} told;

/** Reads a page that a fault of another thread replaces, and asks for losses at once. */
static void *
ask_at_once(void *argument __attribute__((unused)))
{
    uint64_t state = check_seed();
    for (uint64_t round = 0; round < told.rounds; round++) {
        pthread_barrier_wait(&told.barrier);
        mmg_span span = MMG_SPAN_INIT;
        REQUIRE_STATUS(mmg_pin(told.handle, (PAGES - 1) * check_page(), check_page(), &span), MMG_OK);
        pthread_barrier_wait(&told.barrier);
        for (volatile uint64_t turns = check_random_below(&state, 8000); turns > 0; turns--) {
        }
        uint8_t value = touch(span.data, 0);
        CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
        CHECK_U64(value, 0);
        pthread_barrier_wait(&told.barrier);
    }
    return NULL;
}

/** The library must record a loss before any thread can read its zeros. */
static void
no_zero_is_seen_before_its_loss_is_reported(void)
{
    pthread_t thread;
    const char *path = filled_file("told");
    told.rounds = check_scaled(2000);
    REQUIRE(pthread_barrier_init(&told.barrier, NULL, 2) == 0);
    start(&thread, ask_at_once, NULL);
    for (uint64_t round = 0; round < told.rounds; round++) {
        told.handle = open_mapped(path);
        mmg_span span = check_pin(told.handle, 0, MMG_TO_END);
        pthread_barrier_wait(&told.barrier);
        cut(path);
        pthread_barrier_wait(&told.barrier);
        CHECK_U64(touch(span.data, KEPT), 0);
        CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
        pthread_barrier_wait(&told.barrier);
        CHECK_STATUS(mmg_close(told.handle, 0), MMG_OK);
        refill(path);
    }
    join(thread);
    pthread_barrier_destroy(&told.barrier);
}

/* --------------------------------------------------------------------------------------------------------- closing -- */

static struct {
    pthread_barrier_t barrier;
    _Atomic uint64_t handle;
    uint64_t rounds;
} closing;

/** Pins, reads and unpins until the handle is closed. When a read found a zero, the unpin must report the loss. */
static void *
read_until_closed(void *argument __attribute__((unused)))
{
    for (uint64_t round = 0; round < closing.rounds; round++) {
        pthread_barrier_wait(&closing.barrier);
        mmg_handle handle = atomic_load(&closing.handle);
        for (mmg_status status = MMG_OK; status != MMG_E_HANDLE;) {
            mmg_span span = MMG_SPAN_INIT;
            status = mmg_pin(handle, 0, MMG_TO_END, &span);
            CHECK(status == MMG_OK || status == MMG_E_TRUNCATED || status == MMG_E_HANDLE);
            if (status == MMG_OK) {
                bool lost = false;
                for (uint64_t page = 0; page < PAGES; page++) {
                    uint8_t value = touch(span.data, page);
                    CHECK(value == FILLED || (value == 0 && page >= KEPT));
                    lost = lost || value == 0;
                }
                mmg_status ended = mmg_unpin(&span);
                CHECK(ended == MMG_E_TRUNCATED || (ended == MMG_OK && !lost));
            }
        }
        pthread_barrier_wait(&closing.barrier);
    }
    return NULL;
}

static void
closing_races_faults(void)
{
    pthread_t threads[WORKERS];
    uint64_t state = check_seed();
    const char *path = filled_file("closing");
    closing.rounds = check_scaled(60);
    REQUIRE(pthread_barrier_init(&closing.barrier, NULL, WORKERS + 1) == 0);
    for (int index = 0; index < WORKERS; index++) {
        start(&threads[index], read_until_closed, NULL);
    }
    for (uint64_t round = 0; round < closing.rounds; round++) {
        mmg_handle handle = open_mapped(path);
        atomic_store(&closing.handle, handle);
        pthread_barrier_wait(&closing.barrier);
        for (uint64_t turns = check_random_below(&state, 4); turns > 0; turns--) {
            sched_yield();
        }
        cut(path);
        for (uint64_t turns = check_random_below(&state, 3); turns > 0; turns--) {
            sched_yield();
        }
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        pthread_barrier_wait(&closing.barrier);
        refill(path);
    }
    for (int index = 0; index < WORKERS; index++) {
        join(threads[index]);
    }
    pthread_barrier_destroy(&closing.barrier);
    CHECK_U64(check_mappings_of(path), 0);
}

/* ---------------------------------------------------------------------------------------------- many mappings at once -- */

static struct {
    const char *paths[MANY];
    mmg_handle handles[MANY];
    mmg_span spans[MANY];
    pthread_barrier_t barrier;
} many;

static void *
touch_many(void *argument)
{
    int first = *(const int *)argument;
    pthread_barrier_wait(&many.barrier);
    for (int index = 0; index < MANY; index++) {
        CHECK_U64(touch(many.spans[(first + index) % MANY].data, PAGES - 1), 0);
    }
    return NULL;
}

static void
open_and_cut_many(void)
{
    static char names[MANY][24];
    for (int index = 0; index < MANY; index++) {
        snprintf(names[index], sizeof names[index], "many-%d", index);
        many.paths[index] = filled_file(names[index]);
        many.handles[index] = open_mapped(many.paths[index]);
        many.spans[index] = check_pin(many.handles[index], 0, MMG_TO_END);
    }
    for (int index = 0; index < MANY; index++) {
        cut(many.paths[index]);
    }
}

static void
close_many(void)
{
    for (int index = 0; index < MANY; index++) {
        for (uint64_t page = 0; page < PAGES; page++) {
            CHECK_U64(touch(many.spans[index].data, page), page < KEPT ? FILLED : 0);
        }
        CHECK_STATUS(mmg_unpin(&many.spans[index]), MMG_E_TRUNCATED);
        CHECK_STATUS(mmg_check(many.handles[index]), MMG_E_TRUNCATED);
        mmg_info info = check_info(many.handles[index]);
        CHECK(info.faults >= 1 && info.faults <= WORKERS);
        CHECK_U64(info.fault_offset, KEPT * check_page());
        CHECK_STATUS(mmg_close(many.handles[index], 0), MMG_OK);
    }
}

static void
sixty_mappings_at_once(void)
{
    pthread_t threads[WORKERS];
    int first[WORKERS];
    REQUIRE(pthread_barrier_init(&many.barrier, NULL, WORKERS) == 0);
    open_and_cut_many();
    for (int index = 0; index < WORKERS; index++) {
        first[index] = index * MANY / WORKERS;
        start(&threads[index], touch_many, &first[index]);
    }
    for (int index = 0; index < WORKERS; index++) {
        join(threads[index]);
    }
    close_many();
    pthread_barrier_destroy(&many.barrier);
}

static struct sigaction below;
static volatile sig_atomic_t raised;

/**
 * Restores the action that it found, and raises the signal, as Python's faulthandler does. The guard then gets a signal
 * without an address.
 */
static void
restore_and_raise(int signo)
{
    raised++;
    sigaction(signo, &below, NULL);
    raise(signo);
}

/** Runs in a child, since it changes the action of SIGBUS. */
static void
raise_over_many(void *argument __attribute__((unused)))
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = restore_and_raise;
    action.sa_flags = SA_NODEFER;
    open_and_cut_many();
    REQUIRE(sigaction(SIGBUS, &action, &below) == 0);
    CHECK_U64(touch(many.spans[MANY / 2].data, PAGES - 1), 0);
    CHECK_I64(raised, 1);
    if (!CHECK_UNDER_TSAN) { /* ThreadSanitizer ignores the call and keeps its own handler on top */
        CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    }
    close_many();
}

static void
sixty_mappings_and_a_raised_signal(void)
{
    CHECK_EXITED(check_child(raise_over_many, NULL));
}

/* ---------------------------------------------------------------------------------------- reads of the library -- */

static struct {
    const char *path;
    _Atomic bool stop;
} hammer;

static void *
cut_and_refill(void *argument __attribute__((unused)))
{
    while (!atomic_load(&hammer.stop)) {
        cut(hammer.path);
        sched_yield();
        refill(hammer.path);
        sched_yield();
    }
    return NULL;
}

static void
exit_of_the_host(int signo __attribute__((unused)))
{
    _exit(99);
}

/** Searches while another thread cuts and refills the file. The state of the guard must not matter. */
static void
search_unprotected(void *argument)
{
    bool displaced = argument != NULL;
    pthread_t thread;
    uint64_t position = 0;
    const char *path = filled_file("searched");
    mmg_handle handle = open_mapped(path);
    mmg_status status = MMG_OK;
    if (displaced) {
        signal(SIGBUS, exit_of_the_host);
    } else {
        block_sigbus(SIG_BLOCK);
    }
    CHECK_I64(mmg_guard_state(), displaced ? MMG_GUARD_DISPLACED : MMG_GUARD_BLOCKED);
    CHECK_STATUS(mmg_find(handle, 0, MMG_TO_END, "ZZZa", 4, &position), MMG_OK);
    CHECK_U64(position, MMG_NOT_FOUND);
    hammer.path = path;
    atomic_store(&hammer.stop, false);
    start(&thread, cut_and_refill, NULL);
    for (uint64_t round = check_scaled(2000); round > 0 && check_failures() == 0; round--) {
        mmg_handle fresh = 0;
        mmg_options options = check_backing(MMG_BACKING_MAP);
        status = mmg_find(handle, 0, MMG_TO_END, "ZZZa", 4, &position);
        CHECK(status == MMG_OK || status == MMG_E_TRUNCATED);
        CHECK(status != MMG_OK || position == MMG_NOT_FOUND);
        if (mmg_open(path, &options, &fresh, NULL) == MMG_OK) {
            if (displaced) { /* undo the open, which has put the guard back on top */
                CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
                signal(SIGBUS, exit_of_the_host);
            }
            status = mmg_find(fresh, 0, MMG_TO_END, "ZZZa", 4, &position);
            CHECK(status == MMG_OK || status == MMG_E_TRUNCATED);
            CHECK_STATUS(mmg_close(fresh, 0), MMG_OK);
        }
    }
    atomic_store(&hammer.stop, true);
    join(thread);
    cut(path);
    CHECK_STATUS(mmg_find(handle, 0, MMG_TO_END, "ZZZa", 4, &position), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_find(handle, 0, KEPT * check_page(), "ZZZZ", 4, &position), MMG_OK);
    CHECK_U64(position, 0);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    CHECK_U64(check_info(handle).faults, 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
find_with_sigbus_blocked(void)
{
    CHECK_EXITED(check_child(search_unprotected, NULL));
}

static void
find_with_the_guard_displaced(void)
{
    int yes = 1;
    CHECK_EXITED(check_child(search_unprotected, &yes));
}

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
    /* This case is the first, since its children must come from a process without the guard. */
    {"many threads that open their first mapping at once install one guard", the_first_mappings_of_many_threads, 0},
    {"two threads that fault on one page are both served", two_threads_on_one_page, CHECK_THREADS},
    {"no zero is seen before its loss is reported", no_zero_is_seen_before_its_loss_is_reported, CHECK_THREADS},
    {"closing a region while it faults loses nothing", closing_races_faults, CHECK_THREADS},
    {"sixty mappings cut at once are all contained", sixty_mappings_at_once, CHECK_THREADS},
    {"sixty mappings cut at once survive a signal without an address", sixty_mappings_and_a_raised_signal, 0},
    {"find is a status while SIGBUS is blocked", find_with_sigbus_blocked, 0},
    {"find is a status while the guard is displaced", find_with_the_guard_displaced, 0},
    {"a small alternate stack is enough", small_alternate_stacks_are_enough, 0},
    {"a small stack is enough", small_stacks_are_enough, 0},
    {"a fault in a handler of another signal is contained", faults_in_a_handler_of_another_signal, 0},
    {"a forked child contains its own faults", a_forked_child_contains_its_own, 0},
    {"a child forked amid faults can close", a_child_forked_amid_faults_can_close, CHECK_THREADS},
    {"a handler never touches what comes after the region", a_handler_never_touches_what_comes_after_the_region,
     CHECK_THREADS},
};

CHECK_MAIN(cases)
