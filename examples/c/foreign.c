/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Guard the mappings of other code, and tell what they lost: `foreign FILE`.
 *
 * The program maps the file by itself, as a library that it uses might do, adds its bytes up, waits for a line of standard
 * input, and adds them up again. So there is time to cut the file short. At the end it reads the ledger of losses.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "errors.h"

static uint64_t
sum(const volatile unsigned char *bytes, size_t size)
{
    uint64_t total = 0;

    for (size_t i = 0; i < size; i++)
        total += bytes[i];
    return total;
}

/* Map a file as code does that knows nothing of the library. */
static const unsigned char *
map(const char *path, size_t *size)
{
    struct stat status;
    int fd = open(path, O_RDONLY);

    if (fd < 0 || fstat(fd, &status) != 0)
        return NULL;
    *size = (size_t)status.st_size;
    void *bytes = mmap(NULL, *size, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    return bytes == MAP_FAILED ? NULL : bytes;
}

int
main(int argc, char **argv)
{
    mmg_loss losses[8] = {MMG_LOSS_INIT};
    uint64_t mark, count, next;
    size_t size = 0;

    must(mmg_losses_get(0, NULL, 0, &count, &mark), "mark");
    must(mmg_guard_process(MMG_SCOPE_FILES, 0), "guard");
    const unsigned char *bytes = map(argc > 1 ? argv[1] : "big.bin", &size);
    if (bytes == NULL)
        return 2;
    printf("%" PRIu64 "\n", sum(bytes, size));
    fflush(stdout);
    getchar();
    printf("%" PRIu64 "\n", sum(bytes, size));

    must(mmg_losses_get(mark, losses, 8, &count, &next), "losses");
    for (uint64_t i = 0; i < count; i++)
        fprintf(stderr, "%s: %" PRIu64 " bytes from %" PRIu64 " on are lost (%s)\n", losses[i].path, losses[i].length,
                losses[i].offset, mmg_status_name(losses[i].cause));
    return count > 0;
}
