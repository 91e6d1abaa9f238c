/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The model of the library: makes the files, the calls, and an end of all that is open.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "model_parts.h"

struct model_state model;

static void
step(void)
{
    static void (*const steps[])(void) = {
        step_open,          step_open,          step_open,          step_close,         step_close,
        step_pin,           step_pin,           step_pin,           step_pin,           step_unpin,
        step_unpin,         step_unpin,         step_touch,         step_touch,         step_touch,
        step_touch,         step_read,          step_read,          step_find,          step_find,
        step_check,         step_check,         step_info,          step_info,          step_changed,
        step_advise,        step_resident,      step_export,        step_stats,         step_rest,
        step_file,          step_file,          step_unpin,         step_guard,         step_map_foreign,
        step_unmap_foreign, step_touch_foreign, step_touch_foreign, step_touch_foreign, step_touch_foreign,
        step_adopt,         step_adopt,         step_losses,        step_handle_fault,  step_handle_fault,
        step_memory_error,  step_read_error,    step_stream,        step_masked,        step_masked,
        step_fork,
    };
    on_some_thread(steps[below(sizeof steps / sizeof *steps)]);
}

void
close_everything(void)
{
    model.doing = "(end)";
    model.details[0] = '\0';
    for (size_t index = 0; index < REGIONS; index++) {
        struct region *region = &model.regions[index];
        if (region->handle != 0) {
            must(mmg_close(region->handle, 0) == MMG_OK, "a live handle cannot be closed");
            model.stale[model.stale_count++ % STALE] = region->handle;
            region->handle = 0;
            if (region->pins == 0) {
                region_end(region);
            }
        }
    }
    for (size_t index = 0; index < PINS; index++) {
        struct pin *pin = &model.pins[index];
        if (pin->span.pin != 0) {
            mmg_status status = mmg_unpin(&pin->span);
            bool lost = is_known_lost(pin->region, pin->offset, 1);
            must(status == MMG_OK || lost || pin->region->lost != NONE, "a live pin cannot be unpinned");
            if (--pin->region->pins == 0) {
                region_end(pin->region);
            }
        }
    }
    for (size_t index = 0; index < FOREIGNERS; index++) {
        if (model.foreigners[index].base != NULL) {
            must(model.foreigners[index].region == NULL, "a mapping stays adopted");
            unmap_foreign(&model.foreigners[index]);
        }
    }
    for (uint32_t flags = 0; flags < 2; flags++) {
        for (; model.guards[flags] > 0; model.guards[flags]--) {
            must(mmg_guard_process(MMG_SCOPE_NONE, flags) == MMG_OK, "the guard does not end");
        }
    }
    compare_stats();
}

/** Makes the files as they were at the start, so that equal bytes always lead to equal calls. */
static void
reset_files(void)
{
    for (size_t file = 0; file < FILES; file++) {
        struct inode *inode = model.names[file];
        if (inode->locked) {
            toggle_lock(inode);
        }
        if (!inode->is_fresh) {
            resize(inode, 0);
            fill(inode, first_sizes[file]);
            inode->is_fresh = true;
        }
    }
    memset(model.stale, 0, sizeof model.stale);
    memset(model.stale_tokens, 0, sizeof model.stale_tokens);
}

void
model_run(struct chance *chance, uint64_t count)
{
    model.chance = chance;
    if (chance->bytes != NULL) {
        reset_files();
    }
    model.start = (mmg_stats)MMG_STATS_INIT;
    model.opened = 0;
    model.foreign_losses = 0;
    model.doing = "mmg_stats_get";
    must(mmg_stats_get(&model.start) == MMG_OK, "mmg_stats_get fails");
    for (model.call = 0; model.call < count && has_chance(); model.call++) {
        step();
    }
    close_everything();
}

void
model_start(void)
{
    const char *parent = getenv("TMPDIR");
    model.doing = "(start)";
    int length = snprintf(model.directory, sizeof model.directory, "%s/mmapguard-calls-XXXXXX",
                          parent == NULL ? "/tmp" : parent);
    must(length > 0 && (size_t)length < sizeof model.directory, "TMPDIR is too long");
    must(mkdtemp(model.directory) != NULL, "no directory for the files");
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(page != MAP_FAILED, "mmap");
    model.page = (uint64_t)sysconf(_SC_PAGESIZE);
    model.can_ask = mmg_supports(MMG_FEATURE_FOREIGN) == 1;
    uint8_t from = 42, to = 0;
    struct iovec local = {.iov_base = &to, .iov_len = 1}, remote = {.iov_base = &from, .iov_len = 1};
    model.can_ask_pages = process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1;
    model.can_populate = madvise(page, 4096, 22) == 0;
    munmap(page, 4096);
    snprintf(model.missing, sizeof model.missing, "%s/missing", model.directory);
    for (size_t file = 0; file < FILES; file++) {
        snprintf(model.paths[file], sizeof model.paths[file], "%s/%zu", model.directory, file);
        model.names[file] = inode_new(model.paths[file], first_sizes[file]);
    }
    threads_start();
}

uint64_t
model_leases(void)
{
    return model.leases;
}

uint64_t
model_faults(void)
{
    return model.faults;
}

void
model_stop(void)
{
    threads_stop();
    for (size_t file = 0; file < FILES; file++) {
        inode_release(model.names[file]);
        unlink(model.paths[file]);
    }
    rmdir(model.directory);
}
