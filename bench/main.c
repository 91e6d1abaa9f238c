/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The program that measures. report.py runs it once for each work and makes the tables; by hand:
 *
 *   mmapguard-bench [--count] WORK [DIRECTORY [BUDGET_MS [MOST_BYTES]]]
 *   mmapguard-bench event NAME PATH          makes an event of the survival table happen to a file
 *
 * prints one line of JSON per contender and figure. --count: count page faults instead of taking times (measure.h). DIRECTORY takes the files (it may be a tmpfs), BUDGET_MS is how long
 * one figure is measured, MOST_BYTES how large a file may get. WORK `versions` prints who is being compared.
 */
#include "contenders.h"
#include "measure.h"
#include "works.h"

#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef BENCH_HAS_GLIB
#include <glib.h>
#endif

const char *work_directory = "/tmp";
uint64_t work_most_bytes = UINT64_MAX;

bool
make_file(const char *name, uint64_t size, char *path, uint64_t path_size)
{
    static uint64_t block[1 << 15];
    uint64_t state = 88172645463325252U;
    const int length = snprintf(path, path_size, "%s/mmapguard-bench-%ld-%s", work_directory, (long)getpid(), name);
    if (length < 0 || (uint64_t)length >= path_size) {
        errno = ENAMETOOLONG;
        return false;
    }
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    for (unsigned int i = 0; i < sizeof block / sizeof block[0]; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        block[i] = state;
    }
    /* The bytes that were just written are in the page cache and stay there, so the file needs no warming. */
    for (uint64_t done = 0; done < size;) {
        const uint64_t part = size - done < sizeof block ? size - done : sizeof block;
        const ssize_t put = write(fd, block, part);
        if (put < 0) {
            const int code = errno;
            close(fd);
            unlink(path);
            errno = code;
            return false;
        }
        done += (uint64_t)put;
    }
    return close(fd) == 0;
}

/* GCC and Clang both name themselves in __VERSION__, but only Clang by name. */
#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "GCC " __VERSION__
#endif

static bool
print_versions(void)
{
    const uint32_t abi = mmg_abi_version();
    printf("{\"mmapguard\": \"%s, ABI %u.%u\", \"compiler\": \"%s\", \"glibc\": \"%s\"", mmg_version(), abi >> 16,
           abi & 0xffff, COMPILER, gnu_get_libc_version());
#ifdef BENCH_HAS_GLIB
    printf(", \"GLib\": \"%u.%u.%u\"", glib_major_version, glib_minor_version, glib_micro_version);
#endif
#ifdef BENCH_HAS_BOOST
    printf(", \"Boost\": \"%s\"", boost_version());
#endif
#ifdef BENCH_HAS_APR
    printf(", \"APR\": \"%s\"", apr_release());
#endif
#ifdef BENCH_HAS_RUST
    printf(", \"Rust\": \"%s\"", BENCH_HAS_RUST);
#endif
    if (llvm_buffer() != NULL)
        printf(", \"LLVM\": \"%s\"", llvm_library());
    printf("}\n");
    return true;
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        bool (*run)(void);
    } works[] = {
        {"versions", print_versions},
        {"open", work_open},
        {"held", work_held},
        {"page", work_page},
        {"find", work_find},
        {"contain", work_contain},
        {"memory", work_memory},
        {"survival", work_survival},
        {"threshold", work_threshold},
        {"scan", work_scan},
        {"guard", work_guard},
        {"storm", work_storm},
        {"pin", work_pin},
        {"truncation", work_truncation},
        {"losses", work_losses},
        {"foreign", work_foreign},
        {"cold", work_cold},
        {"serve", work_serve},
    };
    if (argc == 4 && strcmp(argv[1], "event") == 0)
        return survival_event(argv[2], argv[3]) ? EXIT_SUCCESS : 1;
    measure_counts = argc > 1 && strcmp(argv[1], "--count") == 0;
    if (measure_counts) {
        argc--;
        argv++;
    }
    if (argc < 2 || argc > 5) {
        fprintf(stderr, "usage: mmapguard-bench [--count] WORK [DIRECTORY [BUDGET_MS [MOST_BYTES]]]\n");
        return 2;
    }
    if (argc > 2)
        work_directory = argv[2];
    if (argc > 3)
        measure_budget_ms = strtoull(argv[3], NULL, 10);
    if (argc > 4)
        work_most_bytes = strtoull(argv[4], NULL, 10);
    for (unsigned int i = 0; i < sizeof works / sizeof works[0]; i++) {
        if (strcmp(argv[1], works[i].name) != 0)
            continue;
        errno = 0;
        if (works[i].run())
            return EXIT_SUCCESS;
        fprintf(stderr, "mmapguard-bench: %s in %s: %s\n", argv[1], work_directory, strerror(errno));
        return 1;
    }
    fprintf(stderr, "mmapguard-bench: no work is called '%s'\n", argv[1]);
    return 2;
}
