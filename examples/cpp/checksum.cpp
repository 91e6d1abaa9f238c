/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Adds up the bytes of a file, and prints the sum only if the sum holds: `checksum FILE`. */
#include <cstdint>
#include <cstdio>
#include <numeric>

#include <mmapguard.hpp>

int
main(int argc, char **argv)
{
    if (argc != 2) {
        std::fprintf(stderr, "usage: checksum FILE\n");
        return 2;
    }
    try {
        const auto region = mmapguard::region::open(argv[1]);
        const auto sum = region.scan(
            [](const mmapguard::view &bytes) { return std::accumulate(bytes.begin(), bytes.end(), std::uint64_t{0}); });
        std::printf("%llu\n", static_cast<unsigned long long>(sum));
        return 0;
    } catch (const mmapguard::error &failure) {
        std::fprintf(stderr, "checksum: %s (%s)\n", failure.what(), failure.name().data());
        return 1;
    }
}
