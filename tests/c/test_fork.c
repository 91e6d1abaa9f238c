/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests forks. A child may use and close the handles that it has inherited. Neither process notices what the other one
 * does with them.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[4096];
static mmg_handle mapped;
static mmg_handle copied;
static mmg_span span;

static void
set_up(void)
{
    mmg_options map = check_backing(MMG_BACKING_MAP);
    mmg_options copy = check_backing(MMG_BACKING_COPY);
    snprintf(path, sizeof path, "%s", check_file("file", 200000));
    mapped = check_open(path, &map);
    copied = check_open(path, &copy);
    REQUIRE_STATUS(mmg_pin(mapped, 1000, 100000, &span), MMG_OK);
}

static void
tear_down(void)
{
    CHECK(check_is_pattern(span.data, 1000, 100000));
    CHECK_STATUS(mmg_check(mapped), MMG_OK);
    CHECK_STATUS(mmg_check(copied), MMG_OK);
    CHECK_U64(check_info(mapped).pins, 1);
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK_STATUS(mmg_close(mapped, MMG_CLOSE_STRICT), MMG_OK);
    CHECK_STATUS(mmg_close(copied, MMG_CLOSE_STRICT), MMG_OK);
}

static void
use_everything(void *unused)
{
    (void)unused;
    mmg_handle handles[2] = {mapped, copied};
    for (size_t index = 0; index < 2; index++) {
        mmg_span own = MMG_SPAN_INIT;
        uint8_t buffer[100];
        uint64_t number = 0;
        uint32_t what = 0;
        CHECK_STATUS(mmg_pin(handles[index], 0, MMG_TO_END, &own), MMG_OK);
        CHECK(check_is_pattern(own.data, 0, own.size));
        CHECK_STATUS(mmg_unpin(&own), MMG_OK);
        CHECK_STATUS(mmg_read(handles[index], 5, buffer, sizeof buffer, &number), MMG_OK);
        CHECK(number == sizeof buffer && check_is_pattern(buffer, 5, sizeof buffer));
        CHECK_STATUS(mmg_find(handles[index], 0, MMG_TO_END, buffer, 20, &number), MMG_OK);
        CHECK_U64(number, 5);
        CHECK_STATUS(mmg_check(handles[index]), MMG_OK);
        CHECK_STATUS(mmg_changed(handles[index], &what), MMG_OK);
        CHECK_U64(what, 0);
    }
    CHECK_STATUS(mmg_close(check_open(path, NULL), 0), MMG_OK);
}

static void
close_everything(void *unused)
{
    use_everything(unused);
    mmg_stats before = check_stats();
    CHECK_STATUS(mmg_close(mapped, MMG_CLOSE_STRICT), MMG_E_BUSY);
    CHECK_STATUS(mmg_close(mapped, 0), MMG_OK);
    CHECK_STATUS(mmg_close(copied, 0), MMG_OK);
    CHECK(check_is_pattern(span.data, 1000, 100000));
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK_STATUS(mmg_close(mapped, 0), MMG_E_HANDLE);
    CHECK_U64(check_stats().handles, before.handles - 2);
    CHECK_U64(check_stats().regions, before.regions - 2);
    CHECK_U64(check_mappings_of(path), 0);
}

static void
a_child_may_use_what_it_inherited(void)
{
    set_up();
    CHECK_EXITED(check_child(use_everything, NULL));
    tear_down();
}

static void
a_child_may_close_what_it_inherited(void)
{
    set_up();
    CHECK_EXITED(check_child(close_everything, NULL));
    CHECK_EXITED(check_child(close_everything, NULL));
    tear_down();
}

static bool
is_write_locked_by_nobody(void)
{
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    bool is_free = flock(descriptor, LOCK_EX | LOCK_NB) == 0;
    close(descriptor);
    return is_free;
}

static bool
is_posix_locked_by_nobody(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    bool is_free = fcntl(descriptor, F_OFD_SETLK, &lock) == 0;
    close(descriptor);
    return is_free;
}

static void
a_child_that_closes_leaves_the_parents_lock_in_place(void)
{
    set_up();
    CHECK(!is_write_locked_by_nobody());
    CHECK_EXITED(check_child(close_everything, NULL));
    CHECK(!is_write_locked_by_nobody());
    tear_down();
    CHECK(is_write_locked_by_nobody());
}

static void
close_one(void *handle)
{
    CHECK_STATUS(mmg_close(*(mmg_handle *)handle, 0), MMG_OK);
}

static void
a_child_that_closes_leaves_the_parents_ofd_lock_in_place(void)
{
    snprintf(path, sizeof path, "%s", check_file("file", 200000));
    mmg_options options = check_backing(MMG_BACKING_MAP);
    options.lock = MMG_LOCK_OFD;
    mmg_handle handle = check_open(path, &options);
    CHECK(!is_posix_locked_by_nobody());
    CHECK_EXITED(check_child(close_one, &handle));
    CHECK(!is_posix_locked_by_nobody());
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK(is_posix_locked_by_nobody());
}

static void
a_parent_that_closes_leaves_its_childs_lock_in_place(void)
{
    int go[2];
    int wait_status = 0;
    char byte = 0;
    snprintf(path, sizeof path, "%s", check_file("file", 200000));
    mmg_handle handle = check_open(path, NULL);
    REQUIRE(pipe2(go, O_CLOEXEC) == 0);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        close(go[1]);
        CHECK(read(go[0], &byte, 1) == 0);
        mmg_span own = MMG_SPAN_INIT;
        CHECK_STATUS(mmg_pin(handle, 0, MMG_TO_END, &own), MMG_OK);
        CHECK(check_is_pattern(own.data, 0, own.size));
        CHECK_STATUS(mmg_unpin(&own), MMG_OK);
        check_child_end();
    }
    close(go[0]);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    /* The child has the same mapping, and the lock must last as long as that mapping. */
    CHECK(!is_write_locked_by_nobody());
    close(go[1]);
    REQUIRE(waitpid(child, &wait_status, 0) == child);
    CHECK_EXITED(wait_status);
    CHECK(is_write_locked_by_nobody());
}

static void
truncate_and_touch(void *unused)
{
    (void)unused;
    check_truncate(path, 0);
    for (uint64_t at = 0; at < span.size; at += check_page()) {
        CHECK_U64(((const volatile uint8_t *)span.data)[at], 0);
    }
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_check(mapped), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_check(copied), MMG_OK);
}

static void
a_fault_in_a_child_is_contained_there(void)
{
    set_up();
    CHECK_EXITED(check_child(truncate_and_touch, NULL));
    CHECK_U64(check_info(mapped).faults, 0);
    CHECK_STATUS(mmg_check(mapped), MMG_E_TRUNCATED); /* the file is short for the parent, too */
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(mapped, 0), MMG_OK);
    CHECK_STATUS(mmg_close(copied, 0), MMG_OK);
}

/** A child opens a file. The parent must refuse the number of that handle. */
static void
a_handle_opened_by_a_child_is_not_one_of_the_parents(void)
{
    int ends[2];
    int wait_status = 0;
    mmg_handle theirs = 0;
    const char *file = check_file("file", 100);
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    fflush(NULL);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        mmg_handle own = check_open(file, NULL);
        CHECK(write(ends[1], &own, sizeof own) == sizeof own);
        check_child_end();
    }
    REQUIRE(read(ends[0], &theirs, sizeof theirs) == sizeof theirs);
    REQUIRE(waitpid(child, &wait_status, 0) == child);
    CHECK_EXITED(wait_status);
    CHECK(theirs != 0);
    CHECK_STATUS(mmg_check(theirs), MMG_E_HANDLE);
    CHECK_STATUS(mmg_close(theirs, 0), MMG_E_HANDLE);
    close(ends[0]);
    close(ends[1]);
}

/** The pin of `span` has ended before the fork, with a copy of the span. The child is the first to ask about the lease. */
static void
end_dead_span(void *handle)
{
    const uint64_t losses = check_stats().losses;
    CHECK_STATUS(mmg_close(*(mmg_handle *)handle, MMG_CLOSE_STRICT), MMG_OK);
    CHECK_STATUS(mmg_unpin(&span), MMG_E_HANDLE);
    CHECK_U64(check_stats().losses, losses);
}

static void
a_dead_span_asks_nothing_about_a_region_that_is_gone(void)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    options.guarantee = MMG_GUARANTEE_STABLE;
    mmg_handle handle = check_open(check_file("file", 200000), &options);
    mmg_handle other = check_open(check_file("other", 200000), &options); /* while there is a lease, an unpin asks */
    const bool has_lease = check_info(handle).means == MMG_MEANS_LEASE;
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    mmg_span copy = span;
    CHECK_STATUS(mmg_unpin(&copy), MMG_OK);
    CHECK_EXITED(check_child(end_dead_span, &handle));
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK_STATUS(mmg_close(other, 0), MMG_OK);
    if (!has_lease) {
        CHECK(!check_kernel_has_leases());
        check_skip("the file system under TMPDIR gives no lease, or the file is not ours");
    }
}

static void
many_generations(void *depth)
{
    use_everything(NULL);
    if (*(int *)depth > 0) {
        int next = *(int *)depth - 1;
        CHECK_EXITED(check_child(many_generations, &next));
    }
    close_everything(NULL);
}

static void
grandchildren_inherit_as_children_do(void)
{
    int depth = 4;
    set_up();
    CHECK_EXITED(check_child(many_generations, &depth));
    tear_down();
}

/** Ends the threads that keep the library busy while the main thread forks. */
static atomic_bool stop;

static void *
keep_busy(void *argument)
{
    (void)argument;
    while (!atomic_load(&stop)) {
        mmg_span own = MMG_SPAN_INIT;
        mmg_handle handle = check_open(path, NULL);
        REQUIRE_STATUS(mmg_pin(handle, 0, 10, &own), MMG_OK);
        REQUIRE_STATUS(mmg_close(handle, 0), MMG_OK);
        REQUIRE_STATUS(mmg_unpin(&own), MMG_OK);
    }
    return NULL;
}

static void
a_fork_amid_calls_of_other_threads_leaves_a_working_child(void)
{
    pthread_t threads[2];
    set_up();
    atomic_store(&stop, false);
    for (size_t index = 0; index < 2; index++) {
        REQUIRE(pthread_create(&threads[index], NULL, keep_busy, NULL) == 0);
    }
    for (uint64_t round = 0; round < check_scaled(100); round++) {
        CHECK_EXITED(check_child(use_everything, NULL));
    }
    atomic_store(&stop, true);
    for (size_t index = 0; index < 2; index++) {
        REQUIRE(pthread_join(threads[index], NULL) == 0);
    }
    tear_down();
}

static const struct check_case cases[] = {
    {"a child may use what it inherited", a_child_may_use_what_it_inherited, 0},
    {"a child may close what it inherited", a_child_may_close_what_it_inherited, 0},
    {"a child that closes leaves the parent's lock in place", a_child_that_closes_leaves_the_parents_lock_in_place, 0},
    {"a child that closes leaves the parent's OFD lock in place",
     a_child_that_closes_leaves_the_parents_ofd_lock_in_place, 0},
    {"a parent that closes leaves its child's lock in place", a_parent_that_closes_leaves_its_childs_lock_in_place, 0},
    {"a fault in a child is contained there", a_fault_in_a_child_is_contained_there, CHECK_LOSES},
    {"a handle opened by a child is not one of the parent's", a_handle_opened_by_a_child_is_not_one_of_the_parents, 0},
    {"a dead span asks nothing about a region that is gone", a_dead_span_asks_nothing_about_a_region_that_is_gone, 0},
    {"grandchildren inherit as children do", grandchildren_inherit_as_children_do, 0},
    {"a fork amid calls of other threads leaves a working child",
     a_fork_amid_calls_of_other_threads_leaves_a_working_child, CHECK_THREADS},
};

CHECK_MAIN(cases)
