/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The files of the model: the model cuts, extends, rewrites, replaces and locks them.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model_parts.h"

const uint64_t first_sizes[FILES] = {0, 100, 4096, 3 * 4096 + 17, 131073, CAPACITY};

/**
 * Opens a file for writing, for as long as a change takes: while a writer has it open, nobody gets a lease. The open breaks
 * the leases that there are, and waits until the library has the bytes.
 */
static int
open_writer(const struct inode *inode)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", inode->descriptor);
    int writer = open(link, O_RDWR | O_CLOEXEC);
    must(writer >= 0, "a file cannot be opened for writing");
    return writer;
}

/** Fills an empty file with only a few different bytes, so that searches have many near misses. */
void
fill(struct inode *inode, uint64_t size)
{
    inode->size = size;
    for (uint64_t at = 0; at < size; at++) {
        inode->bytes[at] = (uint8_t)(((at ^ (at >> 12)) * UINT64_C(0x9e3779b97f4a7c15)) >> 59);
    }
    int writer = open_writer(inode);
    must(pwrite(writer, inode->bytes, (size_t)size, 0) == (ssize_t)size, "a file cannot be written");
    close(writer);
}

struct inode *
inode_new(const char *path, uint64_t size)
{
    struct stat status;
    struct inode *inode = calloc(1, sizeof *inode);
    must(inode != NULL, "no memory for the model");
    inode->users = 1;
    unlink(path);
    inode->descriptor = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    must(inode->descriptor >= 0, "a file cannot be made");
    fill(inode, size);
    must(fstat(inode->descriptor, &status) == 0, "fstat");
    inode->device = status.st_dev;
    inode->number = status.st_ino;
    return inode;
}

void
inode_release(struct inode *inode)
{
    if (inode != NULL && --inode->users == 0) {
        close(inode->descriptor);
        free(inode);
    }
}

static uint64_t
some_file_size(void)
{
    static const uint64_t sizes[] = {0, 1, 100, 4095, 4096, 4097, 3 * 4096, 65536, 131072, 131073, CAPACITY};
    return one_in(3) ? below(CAPACITY + 1) : sizes[below(sizeof sizes / sizeof *sizes)];
}

/** Updates private mappings after a cut: bytes that were stored into cut pages are lost. */
static void
cut_foreigners(const struct inode *inode, uint64_t size)
{
    for (size_t index = 0; index < FOREIGNERS; index++) {
        struct foreigner *f = &model.foreigners[index];
        for (uint64_t at = 0; f->inode == inode && at < f->size; at += model.page) {
            if (f->shown[at / model.page] == SHOWN_OWN && f->offset + at >= size) {
                f->shown[at / model.page] = SHOWN_FILE;
            }
        }
    }
}

void
resize(struct inode *inode, uint64_t size)
{
    inode->is_fresh = false;
    cut_foreigners(inode, size);
    int writer = open_writer(inode);
    must(ftruncate(writer, (off_t)size) == 0, "ftruncate");
    close(writer);
    if (size < inode->size) {
        memset(inode->bytes + size, 0, (size_t)(inode->size - size));
    }
    inode->size = size;
}

static void
rewrite(struct inode *inode)
{
    uint64_t at = below(inode->size + 1);
    uint64_t size = below(inode->size - at + 1);
    size = size > 9000 ? 9000 : size;
    uint8_t value = (uint8_t)draw(1);
    inode->is_fresh = false;
    for (uint64_t index = 0; index < size; index++) {
        inode->bytes[at + index] = (uint8_t)(value + index % 3);
    }
    int writer = open_writer(inode);
    must(pwrite(writer, inode->bytes + at, (size_t)size, (off_t)at) == (ssize_t)size, "pwrite");
    close(writer);
}

static void
replace(size_t file)
{
    char fresh[PATH_MAX + 32];
    snprintf(fresh, sizeof fresh, "%s.fresh", model.paths[file]);
    struct inode *inode = inode_new(fresh, some_file_size());
    must(rename(fresh, model.paths[file]) == 0, "rename");
    inode_release(model.names[file]);
    model.names[file] = inode;
}

/**
 * Takes an exclusive lock on a file, or releases it. Taking it must succeed exactly when no region holds a shared lock.
 */
void
toggle_lock(struct inode *inode)
{
    bool taken;
    if (inode->locked) {
        must(flock(inode->descriptor, LOCK_UN) == 0, "LOCK_UN");
        inode->locked = false;
        return;
    }
    taken = flock(inode->descriptor, LOCK_EX | LOCK_NB) == 0;
    must(taken == (inode->flocks == 0), "the flock of a file is not that of its regions");
    inode->locked = taken;
}

void
step_file(void)
{
    size_t file = (size_t)below(FILES);
    struct inode *inode = model.names[file];
    model.doing = "(file)";
    switch (below(8)) {
    case 0:
    case 1:
    case 2:
        resize(inode, inode->size - below(inode->size + 1));
        break;
    case 3:
        resize(inode, some_file_size());
        break;
    case 4:
    case 5:
        rewrite(inode);
        break;
    case 6:
        toggle_lock(inode);
        break;
    default:
        if (one_in(4)) {
            replace(file);
        }
        break;
    }
}
