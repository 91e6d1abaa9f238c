/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The target of libFuzzer for options and for the sizes of structs. The first byte of an input chooses a call. The rest are
 * the bytes of its struct, from its size on, as a caller of any release may pass them. The library must refuse the struct
 * or use it, and must write no byte beyond the size that it was told.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mmapguard.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROOM 8192u /* larger than any size that the library takes */
#define FILE_SIZE 70000u
#define BEYOND 0xa5

static char path[] = "/tmp/mmapguard-structs-XXXXXX";
static int file;
static mmg_handle region;

static void
must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

static void
remove_file(void)
{
    must(mmg_close(region, MMG_CLOSE_STRICT) == MMG_OK, "the region cannot be closed");
    unlink(path);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    file = mkstemp(path);
    must(file >= 0 && ftruncate(file, FILE_SIZE) == 0, "no file");
    atexit(remove_file);
    must(mmg_open(path, NULL, &region, NULL) == MMG_OK, "no region");
    return 0;
}

/** Opens the file with these options by each call that opens. A success must fit the options. */
static void
open_with(mmg_options *options)
{
    static uint8_t before[ROOM];
    const uint32_t size = options->struct_size;
    const mmg_options known = *options;
    memcpy(before, options, ROOM);
    for (int call = 0; call < 3; call++) {
        mmg_handle handle = 4711;
        mmg_error error = MMG_ERROR_INIT;
        mmg_status status = call == 0   ? mmg_open(path, options, &handle, &error)
                            : call == 1 ? mmg_open_fd(file, options, &handle, &error)
                                        : mmg_load(path, options, &handle, &error);
        must(memcmp(before, options, ROOM) == 0, "the options of the caller were changed");
        must(error.status == status && (status == MMG_OK) == (handle != 0), "status, handle and error do not agree");
        must(status == MMG_OK || (error.message[0] != '\0' && error.operation[0] != '\0'), "an error says nothing");
        must(strcmp(mmg_status_name(status), mmg_status_name((mmg_status)4711)) != 0, "the status has no name");
        if (status != MMG_OK) {
            continue;
        }
        must(size >= sizeof known && size % 8 == 0, "a size that no release has was taken");
        must(known.offset <= FILE_SIZE, "a window outside the file was opened");
        const bool is_rest = known.length == 0 || known.length == MMG_TO_END;
        const uint64_t length = is_rest ? FILE_SIZE - known.offset : known.length;
        must(length <= FILE_SIZE - known.offset, "a window beyond the file was opened");
        mmg_info info = MMG_INFO_INIT;
        must(mmg_info_get(handle, &info) == MMG_OK && info.offset == known.offset, "the window is another one");
        must(info.size == length, "the size is another one");
        must(known.guarantee != MMG_GUARANTEE_STABLE || info.guarantee == MMG_GUARANTEE_STABLE, "STABLE is not upheld");
        must(mmg_close(handle, MMG_CLOSE_STRICT) == MMG_OK, "a region cannot be closed");
    }
}

/** Calls a function that fills a struct. It must leave alone what is beyond the size, and everything when it refuses. */
static void
fill(uint8_t choice, uint8_t *bytes, uint32_t size)
{
    static uint8_t before[ROOM];
    uint64_t count = 77;
    uint64_t next = 77;
    mmg_handle handle = 4711;
    memcpy(before, bytes, ROOM);
    mmg_status status;
    switch (choice) {
    case 0:
        status = mmg_info_get(region, (mmg_info *)(void *)bytes);
        break;
    case 1:
        status = mmg_stats_get((mmg_stats *)(void *)bytes);
        break;
    case 2:
        status = mmg_losses_get(0, (mmg_loss *)(void *)bytes, 1, &count, &next);
        break;
    case 3:
        status = mmg_options_init((mmg_options *)(void *)bytes, size);
        break;
    default:
        status = mmg_open("/nowhere/at/all", NULL, &handle, (mmg_error *)(void *)bytes);
        must(status == MMG_E_NOT_FOUND || status == MMG_E_ABI_SIZE, "a file that is not there was opened");
        must(handle == 0, "there is a handle without a success");
        break;
    }
    const bool wrote = status != MMG_E_ABI_SIZE;
    const uint32_t kept = wrote ? size : 0;
    must(memcmp(bytes + kept, before + kept, ROOM - kept) == 0, "a struct was written beyond its size");
    must(!wrote || (size % 8 == 0 && size < ROOM), "a size that no release has was taken");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static union {
        mmg_options options;
        uint8_t bytes[ROOM];
    } given;
    uint32_t told = 0;
    if (size < 5) {
        return 0;
    }
    memset(given.bytes, BEYOND, sizeof given);
    memcpy(given.bytes, data + 1, size - 1 < ROOM ? size - 1 : ROOM);
    memcpy(&told, given.bytes, sizeof told);
    if (told > ROOM) { /* what is beyond the room is not ours, so the library must not look at it */
        told = told % 8192;
        memcpy(given.bytes, &told, sizeof told);
    }
    if (data[0] % 8 < 5) {
        fill(data[0] % 8, given.bytes, told);
    } else {
        given.options.lock_wait_ms %= 2;
        if (told >= sizeof given.options && size - 1 < told) { /* a newer member that is not 0 is refused */
            memset(given.bytes + sizeof given.options, 0, told - sizeof given.options);
        }
        open_with(&given.options);
    }
    return 0;
}
