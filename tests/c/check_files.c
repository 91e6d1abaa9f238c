/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The part of the harness that makes files in the program's directory, with a known pattern, and reproducible random
 * numbers.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "check_internal.h"

#define PATHS_KEPT 64

static char directory[PATH_MAX / 2];
static pid_t owner;
static char paths[PATHS_KEPT][PATH_MAX];
static unsigned paths_used;

const char *
check_path(const char *name)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", directory, name);
    REQUIRE(length > 0 && (size_t)length < sizeof path);
    for (unsigned index = 0; index < paths_used; index++) {
        if (strcmp(paths[index], path) == 0) {
            return paths[index];
        }
    }
    REQUIRE(paths_used < PATHS_KEPT);
    memcpy(paths[paths_used], path, (size_t)length + 1);
    return paths[paths_used++];
}

unsigned
check_own_descriptors(void)
{
    unsigned count = 0;
    DIR *listing = opendir("/proc/self/fd");
    const struct dirent *entry;
    while (listing != NULL && (entry = readdir(listing)) != NULL) {
        char file[PATH_MAX];
        ssize_t length = readlinkat(dirfd(listing), entry->d_name, file, sizeof file);
        size_t wanted = strlen(directory);
        count += length > 0 && (size_t)length > wanted && strncmp(file, directory, wanted) == 0 && file[wanted] == '/';
    }
    if (listing != NULL) {
        closedir(listing);
    }
    return count;
}

static void
write_all(int descriptor, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(descriptor, bytes, size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        REQUIRE(written > 0);
        bytes += written;
        size -= (size_t)written;
    }
}

const char *
check_file_with(const char *name, const void *bytes, size_t size)
{
    const char *path = check_path(name);
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    REQUIRE(descriptor >= 0);
    write_all(descriptor, bytes, size);
    close(descriptor);
    return path;
}

const char *
check_file(const char *name, uint64_t size)
{
    uint8_t block[65536];
    const char *path = check_path(name);
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    REQUIRE(descriptor >= 0);
    for (uint64_t at = 0; at < size;) {
        size_t part = size - at < sizeof block ? (size_t)(size - at) : sizeof block;
        check_fill(block, at, part);
        write_all(descriptor, block, part);
        at += part;
    }
    close(descriptor);
    return path;
}

void
check_truncate(const char *path, uint64_t size)
{
    REQUIRE(truncate(path, (off_t)size) == 0);
}

uint8_t
check_byte(uint64_t offset)
{
    /* The multiplier is that of Fibonacci hashing. The xor makes neighbouring pages differ. */
    uint64_t mixed = (offset ^ (offset >> 12)) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint8_t)(mixed >> 56);
}

void
check_fill(void *bytes, uint64_t offset, size_t size)
{
    uint8_t *byte = bytes;
    for (size_t at = 0; at < size; at++) {
        byte[at] = check_byte(offset + at);
    }
}

bool
check_is_pattern(const void *bytes, uint64_t offset, uint64_t size)
{
    const uint8_t *byte = bytes;
    for (uint64_t at = 0; at < size; at++) {
        if (byte[at] != check_byte(offset + at)) {
            fprintf(stderr, "    byte %" PRIu64 " of %" PRIu64 " is %02x, the pattern at %" PRIu64 " is %02x\n", at,
                    size, byte[at], offset + at, check_byte(offset + at));
            return false;
        }
    }
    return true;
}

bool
check_is_zero(const void *bytes, uint64_t size)
{
    const uint8_t *byte = bytes;
    for (uint64_t at = 0; at < size; at++) {
        if (byte[at] != 0) {
            return false;
        }
    }
    return true;
}

void
check_empty_directory(void)
{
    DIR *listing = opendir(directory);
    paths_used = 0;
    if (listing == NULL) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            if (unlinkat(dirfd(listing), entry->d_name, 0) != 0) {
                unlinkat(dirfd(listing), entry->d_name, AT_REMOVEDIR);
            }
        }
    }
    closedir(listing);
}

void
check_remove_directory(void)
{
    if (getpid() == owner) {
        check_empty_directory();
        rmdir(directory);
    }
}

void
check_make_directory(void)
{
    const char *parent = getenv("TMPDIR");
    char template[sizeof directory];
    int length = snprintf(template, sizeof template, "%s/mmapguard-XXXXXX", parent == NULL ? "/tmp" : parent);
    REQUIRE(length > 0 && (size_t)length < sizeof template);
    REQUIRE(mkdtemp(template) != NULL);
    memcpy(directory, template, sizeof directory);
    owner = getpid();
    atexit(check_remove_directory);
}

/* -------------------------------------------------------------------------------------------------- randomness -- */

uint64_t
check_seed(void)
{
    const char *text = getenv("MMAPGUARD_TEST_SEED");
    return text == NULL ? UINT64_C(20240229) : strtoull(text, NULL, 0);
}

uint64_t
check_random(uint64_t *state)
{
    uint64_t mixed = *state += UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

uint64_t
check_random_below(uint64_t *state, uint64_t bound)
{
    return check_random(state) % bound;
}
