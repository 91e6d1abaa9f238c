/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests that the writer of a small file does not wait until a large file is copied. The program defines copy_file_range(2),
 * which the library calls for each piece of a copy. So it can break other leases between two pieces.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"
#include "leases.h"

#define LARGE (UINT64_C(12) << 20) /* is copied in three pieces */
#define SMALL_FILES 3u

/** A file comes in between when it has up to a quarter of the bytes of the large one. */
static const struct {
    const char *name;
    uint64_t size;
    uint32_t means; /**< at the second piece of the large file */
} small_files[SMALL_FILES] = {
    {"small", 100000, MMG_MEANS_SNAPSHOT},
    {"a quarter", LARGE / 4, MMG_MEANS_SNAPSHOT},
    {"more", LARGE / 4 + 1, MMG_MEANS_LEASE},
};

static mmg_handle handles[SMALL_FILES];
static uint32_t means[SMALL_FILES];
static atomic_uint pieces; /* of the large file that were begun */
static atomic_bool is_breaking;

/** Breaks the leases of the small files during the first piece, and sees what they have at the second one. */
static void
do_meanwhile(unsigned piece)
{
    for (unsigned index = 0; index < SMALL_FILES; index++) {
        if (piece == 1) {
            const int file = open(check_path(small_files[index].name), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
            CHECK(file < 0 && errno == EWOULDBLOCK);
        } else if (piece == 2) {
            means[index] = check_info(handles[index]).means;
        }
    }
}

ssize_t
copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t size, unsigned flags)
{
    struct stat status;
    if (atomic_load(&is_breaking) && fstat(from, &status) == 0 && status.st_size == (off_t)LARGE) {
        do_meanwhile(atomic_fetch_add(&pieces, 1) + 1);
    }
    return syscall(SYS_copy_file_range, from, from_offset, to, to_offset, size, flags);
}

static void
the_writer_of_a_much_smaller_file_does_not_wait(void)
{
    char path[4096];
    const mmg_options options = stable_options(MMG_BACKING_MAP);
    strncpy(path, check_file("large", LARGE), sizeof path - 1);
    path[sizeof path - 1] = '\0';
    const mmg_handle large = check_open(path, &options);
    if (!has_lease(large)) {
        return;
    }
    for (unsigned index = 0; index < SMALL_FILES; index++) {
        handles[index] = check_open(check_file(small_files[index].name, small_files[index].size), &options);
        means[index] = MMG_MEANS_NONE;
    }
    atomic_store(&pieces, 0);
    atomic_store(&is_breaking, true);
    const int file = open(path, O_WRONLY | O_CLOEXEC);
    CHECK(file >= 0);
    close(file);
    const bool is_cloned = atomic_load(&pieces) == 0, is_late = was_time_too_short(large);
    for (unsigned index = 0; index < SMALL_FILES; index++) {
        CHECK(is_cloned || is_late || means[index] == small_files[index].means);
    }
    await_keeper();
    for (unsigned index = 0; index < SMALL_FILES; index++) {
        CHECK(was_time_too_short(handles[index]) || check_info(handles[index]).guarantee == MMG_GUARANTEE_STABLE);
        CHECK_STATUS(mmg_close(handles[index], 0), MMG_OK);
    }
    CHECK_STATUS(mmg_close(large, 0), MMG_OK);
    if (is_cloned) {
        check_skip("the file system clones the file, so that no byte is copied");
    }
}

static const struct check_case cases[] = {
    {"the writer of a much smaller file does not wait", the_writer_of_a_much_smaller_file_does_not_wait, 0},
};

CHECK_MAIN(cases)
