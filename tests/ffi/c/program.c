/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#define _GNU_SOURCE
#include <mmapguard.h>

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile sig_atomic_t handled;

static void
on_signal(int number)
{
    handled = number;
}

static unsigned
sum(const uint8_t *bytes, uint64_t size)
{
    unsigned total = 0;
    for (uint64_t i = 0; i < size; i++)
        total += bytes[i];
    return total;
}

static void
ready(void)
{
    char line[16];
    puts("ready");
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        _exit(2);
}

/* Reads a mapping that the program has made itself, with or without the guard for the process. */
static int
twin(const char *path, bool is_guarded)
{
    uint64_t count, losses;
    struct stat status;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &status) != 0)
        return 2;
    const uint8_t *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (is_guarded && mmg_guard_process(MMG_SCOPE_FILES, 0) != MMG_OK)
        return 2;
    ready();
    printf("ok %u", sum(bytes, (uint64_t)status.st_size));
    if (is_guarded && mmg_losses_get(0, NULL, 0, &count, &losses) == MMG_OK)
        printf(" %llu", (unsigned long long)losses);
    puts("");
    return 0;
}

int
main(int argc, char **argv)
{
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_error error = MMG_ERROR_INIT;
    mmg_info info = MMG_INFO_INIT;
    mmg_span span = MMG_SPAN_INIT;
    mmg_handle file;
    if (argc != 3)
        return 2;
    const char *what = argv[1];
    if (strcmp(what, "twin") == 0 || strcmp(what, "guarded") == 0)
        return twin(argv[2], strcmp(what, "guarded") == 0);
    if (strcmp(what, "stable") == 0)
        options.guarantee = MMG_GUARANTEE_STABLE;
    mmg_status status = mmg_open(argv[2], &options, &file, &error);
    if (status != MMG_OK)
        return printf("error %s %s\n", mmg_status_name(status), error.message) < 0;
    mmg_info_get(file, &info);
    if (strcmp(what, "open") == 0) {
        printf("ok %llu\n", (unsigned long long)info.size);
    } else if (strcmp(what, "info") == 0) {
        printf("ok %llu %s\n", (unsigned long long)info.size, mmg_term(MMG_TERM_BACKING, info.backing));
    } else if (strcmp(what, "read") == 0) {
        uint8_t bytes[16];
        uint64_t got;
        mmg_read(file, 5, bytes, sizeof bytes, &got);
        fputs("ok ", stdout);
        for (uint64_t i = 0; i < got; i++)
            printf("%02x", bytes[i]);
        puts("");
    } else if (strcmp(what, "find") == 0) {
        uint64_t position;
        mmg_find(file, 0, MMG_TO_END, "NEEDLE", 6, &position);
        printf("ok %llu\n", (unsigned long long)position);
    } else if (strcmp(what, "close") == 0) {
        mmg_status first = mmg_close(file, 0), second = mmg_close(file, 0);
        printf("ok %s %s\n", mmg_status_name(first), mmg_status_name(second));
    } else if (strcmp(what, "use-after-close") == 0) {
        mmg_close(file, 0);
        printf("error %s\n", mmg_status_name(mmg_pin(file, 0, MMG_TO_END, &span)));
    } else {
        mmg_pin(file, 0, MMG_TO_END, &span);
        if (strcmp(what, "pin") == 0) {
            printf("ok %u\n", sum(span.data, span.size));
        } else if (strcmp(what, "empty") == 0) {
            printf("%s %llu\n", span.data != NULL ? "ok" : "null", (unsigned long long)span.size);
        } else if (strcmp(what, "unpin") == 0) {
            mmg_status first = mmg_unpin(&span), second = mmg_unpin(&span);
            printf("ok %s %s\n", mmg_status_name(first), mmg_status_name(second));
        } else if (strcmp(what, "stable") == 0) {
            unsigned before = sum(span.data, span.size);
            ready();
            puts(sum(span.data, span.size) == before ? "ok same" : "ok other");
        } else { /* truncated, signals */
            ready();
            sum(span.data, span.size);
            status = mmg_unpin(&span);
            mmg_info_get(file, &info);
            if (strcmp(what, "signals") == 0) {
                signal(SIGUSR1, on_signal);
                ready();
                puts(handled == SIGUSR1 ? "ok handled" : "ok unheard");
            } else {
                printf("error %s %llu\n", mmg_status_name(status), (unsigned long long)info.fault_offset);
            }
        }
    }
    return 0;
}
