/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The second thread, blocked signals and children. The second thread makes every so many calls in place of the first, one
 * after the other, so that pins end and faults come on other threads than they began on, and equal choices lead to equal
 * calls. A third thread makes calls that change nothing, all the time.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model_parts.h"

#define CALLS_OF_A_CHILD 24

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t second;
    pthread_t third;
    void (*step)(void); /* what the second thread has to do; NULL: nothing */
    bool is_over;
    bool is_child; /* a child has no other threads */
    atomic_bool is_noise_over;
    bool has_noise;
} threads = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void *
second_main(void *unused)
{
    pthread_mutex_lock(&threads.mutex);
    while (!threads.is_over) {
        if (threads.step != NULL) {
            threads.step();
            threads.step = NULL;
            pthread_cond_broadcast(&threads.changed);
        }
        pthread_cond_wait(&threads.changed, &threads.mutex);
    }
    pthread_mutex_unlock(&threads.mutex);
    return unused;
}

/** Asks for the counters and the losses, and uses dead handles, while the other threads open and close. */
static void *
third_main(void *unused)
{
    uint64_t state = 88172645463325252u;
    while (!atomic_load(&threads.is_noise_over)) {
        mmg_stats stats = MMG_STATS_INIT;
        mmg_span span = MMG_SPAN_INIT;
        mmg_loss loss = MMG_LOSS_INIT;
        uint64_t count = 0;
        uint64_t next = 0;
        uint8_t byte = 0;
        state ^= state << 13; /* xorshift */
        state ^= state >> 7;
        state ^= state << 17;
        const mmg_handle dead = state | UINT64_C(1) << 63; /* no handle has this bit */
        must(mmg_stats_get(&stats) == MMG_OK, "mmg_stats_get fails beside other calls");
        must(mmg_losses_get(0, &loss, 1, &count, &next) == MMG_OK, "mmg_losses_get fails beside other calls");
        must(mmg_pin(dead, 0, 0, &span) == MMG_E_HANDLE, "a dead handle was pinned");
        must(mmg_read(dead, 0, &byte, 1, &count) == MMG_E_HANDLE, "a dead handle was read");
        must(mmg_close(dead, MMG_CLOSE_STRICT) == MMG_E_HANDLE, "a dead handle was closed");
        must(mmg_check(dead) == MMG_E_HANDLE, "a dead handle was checked");
        must(mmg_guard_state() >= MMG_GUARD_NONE, "there is no state of the guard");
        usleep(500);
    }
    return unused;
}

void
threads_start(void)
{
    must(pthread_create(&threads.second, NULL, second_main, NULL) == 0, "no second thread");
    threads.has_noise = getenv("MMAPGUARD_FUZZ_QUIET") == NULL;
    must(!threads.has_noise || pthread_create(&threads.third, NULL, third_main, NULL) == 0, "no third thread");
}

void
threads_stop(void)
{
    pthread_mutex_lock(&threads.mutex);
    threads.is_over = true;
    pthread_cond_broadcast(&threads.changed);
    pthread_mutex_unlock(&threads.mutex);
    pthread_join(threads.second, NULL);
    atomic_store(&threads.is_noise_over, true);
    if (threads.has_noise) {
        pthread_join(threads.third, NULL);
    }
}

/** Makes a call on this thread, or has the second one make it and waits. */
void
on_some_thread(void (*step)(void))
{
    if (threads.is_child || !one_in(16)) {
        step();
        return;
    }
    pthread_mutex_lock(&threads.mutex);
    threads.step = step;
    pthread_cond_broadcast(&threads.changed);
    while (threads.step != NULL) {
        pthread_cond_wait(&threads.changed, &threads.mutex);
    }
    pthread_mutex_unlock(&threads.mutex);
}

/** Makes a call that reads no span while SIGBUS is blocked in the thread, where the guard can contain nothing. */
void
step_masked(void)
{
    static void (*const steps[])(void) = {step_open,  step_close, step_pin,   step_unpin,  step_read,
                                          step_check, step_info,  step_stats, step_advise, step_resident};
    const bool searches = one_in(500);
    const int32_t before = mmg_guard_state();
    sigset_t bus;
    sigset_t old;
    sigemptyset(&bus);
    sigaddset(&bus, SIGBUS);
    pthread_sigmask(SIG_BLOCK, &bus, &old);
    model.doing = "mmg_guard_state";
    must(before == MMG_GUARD_NONE || mmg_guard_state() == MMG_GUARD_BLOCKED, "a blocked SIGBUS is not told");
    model.is_masked = true;
    if (searches) {
        usleep(20000); /* for 10 ms, a thread that has searched a region does not ask about the guard again */
        step_find();
    } else {
        steps[below(sizeof steps / sizeof *steps)]();
    }
    model.is_masked = false;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    model.doing = "mmg_guard_state";
    must(mmg_guard_state() != MMG_GUARD_BLOCKED, "SIGBUS is told to be blocked");
}

/** Closes the regions that a lease holds. The lease is the parent's, so they are no longer STABLE in a child. */
static void
close_leased(void)
{
    for (size_t index = 0; index < PINS; index++) {
        struct pin *pin = &model.pins[index];
        if (pin->span.pin != 0 && pin->region->opened.means == MMG_MEANS_LEASE) {
            mmg_status status = mmg_unpin(&pin->span);
            must(status == MMG_OK || status == MMG_E_UNSTABLE, "a pin of the parent cannot be ended");
            if (--pin->region->pins == 0 && pin->region->handle == 0) {
                region_end(pin->region);
            }
        }
    }
    for (size_t index = 0; index < REGIONS; index++) {
        struct region *region = &model.regions[index];
        if (region->used && region->opened.means == MMG_MEANS_LEASE) {
            must(mmg_close(region->handle, MMG_CLOSE_STRICT) == MMG_OK, "a handle of the parent cannot be closed");
            region->handle = 0;
            region_end(region);
        }
    }
}

/** Forks a child that reads, pins and closes what it has inherited. The files stay as they are. */
void
step_fork(void)
{
    static void (*const steps[])(void) = {step_close, step_pin,   step_unpin, step_touch,  step_touch,   step_read,
                                          step_find,  step_check, step_info,  step_export, step_resident};
    int wait_status = 0;
    if (threads.is_child || !one_in(40)) {
        return;
    }
    uint64_t seed = draw(8);
    fflush(NULL);
    pid_t child = fork();
    must(child >= 0, "fork");
    if (child == 0) {
        struct chance chance = {.state = seed};
        threads.is_child = true;
        model.chance = &chance;
        close_leased();
        for (int call = 0; call < CALLS_OF_A_CHILD; call++) {
            steps[below(sizeof steps / sizeof *steps)]();
        }
        close_everything();
        _exit(0);
    }
    model.doing = "fork";
    must(waitpid(child, &wait_status, 0) == child, "waitpid");
    must(WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0, "a child has disagreed, or was killed");
}
