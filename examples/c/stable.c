/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Read bytes that do not change, whoever writes to the file: `stable FILE`.
 *
 * The program prints by which means the library keeps the bytes, then their checksum, twice, with a line of standard
 * input in between. So there is time to write to the file: the two checksums are the same. Where no means can be
 * had, mmg_open() fails, and the message has the reason for each.
 */
#include <inttypes.h>

#include "errors.h"

static uint32_t
checksum(const mmg_span *span)
{
    uint32_t a = 1, b = 0;

    for (uint64_t i = 0; i < span->size; i++) {
        a = (a + span->data[i]) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

int
main(int argc, char **argv)
{
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_error error = MMG_ERROR_INIT;
    mmg_info info = MMG_INFO_INIT;
    mmg_handle file;
    mmg_span span;

    if (argc != 2) {
        fprintf(stderr, "usage: stable FILE\n");
        return 2;
    }
    options.guarantee = MMG_GUARANTEE_STABLE;

    must_open(mmg_open(argv[1], &options, &file, &error), &error);
    must(mmg_info_get(file, &info), "info");
    printf("stable by %s\n", mmg_term(MMG_TERM_MEANS, info.means));
    must(mmg_pin(file, 0, MMG_TO_END, &span), "pin");
    printf("%08" PRIx32 "\n", checksum(&span));
    fflush(stdout);
    getchar();
    printf("%08" PRIx32 "\n", checksum(&span));
    must(mmg_unpin(&span), "unpin"); /* MMG_E_UNSTABLE, if the means did not hold after all */
    must(mmg_verify(file), "verify");
    must(mmg_close(file, 0), "close");
    return 0;
}
