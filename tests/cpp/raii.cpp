/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Uses the C++ header, one case for each run: `raii CASE FILE`. The program exits with 0 when the case holds.
 * test_cpp.py compiles it for every standard and compiler.
 */
#include <cstdio>
#include <cstring>
#include <memory>
#include <numeric>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mmapguard.hpp"

#define CHECK(what)                                                                                                    \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            std::fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #what);                              \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (false)

namespace {

std::uint64_t
live_handles()
{
    mmg_stats stats = MMG_STATS_INIT;
    mmapguard::require(mmg_stats_get(&stats));
    return stats.handles;
}

std::uint64_t
live_regions()
{
    mmg_stats stats = MMG_STATS_INIT;
    mmapguard::require(mmg_stats_get(&stats));
    return stats.regions;
}

std::uint64_t
sum_of(const mmapguard::view &bytes)
{
    return std::accumulate(bytes.begin(), bytes.end(), std::uint64_t{0});
}

int
everything_is_given_back(const std::string &path)
{
    {
        auto region = mmapguard::region::open(path);
        auto bytes = region.pin();
        auto moved = std::move(region);
        auto moved_bytes = std::move(bytes);
        CHECK(live_handles() == 1);
        moved.close();
        moved.close();
        CHECK(live_handles() == 0);
        CHECK(live_regions() == 1); /* the view keeps the region alive */
        CHECK(moved_bytes.size() > 0);
        bytes = std::move(moved_bytes);
    }
    CHECK(live_regions() == 0);
    return 0;
}

int
bytes_are_those_of_the_file(const std::string &path)
{
    const auto region = mmapguard::region::open(path);
    const auto bytes = region.pin(0, 16);
    char buffer[16];
    CHECK(region.read_at(0, buffer, sizeof buffer) == sizeof buffer);
    CHECK(std::memcmp(bytes.data(), buffer, sizeof buffer) == 0);
    CHECK(bytes.text() == std::string_view(buffer, sizeof buffer));
    CHECK(bytes[3] == static_cast<std::uint8_t>(buffer[3]));
    CHECK(region.find(bytes.text()) == std::optional<std::uint64_t>(0));
    CHECK(!region.find_last("no such text in there"));
#if __cplusplus >= 202002L
    CHECK(bytes.bytes().size() == 16);
#endif
    CHECK(region.scan(sum_of) == region.scan(sum_of));
    return 0;
}

int
a_missing_file_is_an_exception(const std::string &path)
{
    try {
        const auto region = mmapguard::region::open(path + ".missing");
    } catch (const mmapguard::error &failure) {
        CHECK(failure.status() == MMG_E_NOT_FOUND);
        CHECK(failure.name() == "MMG_E_NOT_FOUND");
        CHECK(std::strstr(failure.what(), ".missing") != nullptr);
        return 0;
    }
    return 1;
}

int
a_path_with_a_nul_names_no_other_file(const std::string &path)
{
    const std::string names[] = {path + std::string("\0", 1), path + std::string("\0.missing", 9)};
    for (const auto &name : names)
        for (auto *open : {+[](const std::string &one) { return mmapguard::region::open(one); },
                           +[](const std::string &one) { return mmapguard::region::load(one); }})
            try {
                open(name);
                return 1;
            } catch (const mmapguard::error &failure) {
                CHECK(failure.status() == MMG_E_ARGUMENT);
            }
    return 0;
}

int
a_scan_returns_what_its_work_returns(const std::string &path)
{
    const auto region = mmapguard::region::open(path);
    std::uint64_t calls = 0;
    auto &same = region.scan([&calls](const mmapguard::view &) -> std::uint64_t & { return ++calls; });
    CHECK(&same == &calls && calls == 1);
    const auto owned = region.scan([](const mmapguard::view &bytes) { return std::make_unique<int>(bytes[1]); });
    CHECK(*owned == 31);
    region.scan([&calls](const mmapguard::view &) { ++calls; });
    CHECK(calls == 2);
    CHECK(region.scan(&mmapguard::view::size, 5) == region.size() - 5);
    return 0;
}

/* tests/fault shows that a plain mapping dies in this case. */
int
a_scan_of_a_file_that_is_cut_gives_no_result(const std::string &path)
{
    mmapguard::options how;
    how.backing = MMG_BACKING_MAP;
    const auto region = mmapguard::region::open(path, how);
    try {
        const auto sum = region.scan([&](const mmapguard::view &bytes) {
            CHECK(truncate(path.c_str(), 0) == 0);
            return static_cast<int>(sum_of(bytes));
        });
        std::fprintf(stderr, "there is a sum: %d\n", sum);
    } catch (const mmapguard::error &failure) {
        CHECK(failure.status() == MMG_E_TRUNCATED);
        CHECK(std::strstr(failure.what(), path.c_str()) != nullptr);
        CHECK(region.status() == MMG_E_TRUNCATED);
        return 0;
    }
    return 1;
}

/* Map a file without the library. */
const volatile std::uint8_t *
mapped(const std::string &path, std::size_t size)
{
    const int file = open(path.c_str(), O_RDONLY);
    void *bytes = mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    return static_cast<const volatile std::uint8_t *>(bytes);
}

int
mappings_of_others_live_and_tell(const std::string &path)
{
    constexpr std::size_t size = 300000, left = 8192;
    const auto *bytes = mapped(path, size);
    const mmapguard::process_guard guard;
    CHECK(guard.lost().empty());
    CHECK(truncate(path.c_str(), left) == 0);
    CHECK(bytes[size - 1] == 0);
    const auto lost = guard.lost();
    CHECK(lost.size() == 1 && lost[0].offset == left && path == lost[0].path);
    CHECK(mmapguard::losses(mmapguard::losses().mark).records.empty());
    return 0;
}

int
an_adopted_mapping_is_a_region(const std::string &path)
{
    constexpr std::size_t size = 300000, left = 8192;
    const auto *bytes = mapped(path, size);
    const auto region = mmapguard::region::adopt(const_cast<const std::uint8_t *>(bytes), size);
    CHECK(region.size() == size && region.status() == MMG_OK);
    CHECK(truncate(path.c_str(), left) == 0);
    CHECK(bytes[size - 1] == 0);
    CHECK(region.status() == MMG_E_TRUNCATED);
    const std::uint8_t here[16] = {};
    try {
        CHECK(mmapguard::region::adopt(here, sizeof here).size() == 0);
    } catch (const mmapguard::error &failure) {
        CHECK(failure.status() == MMG_E_NOT_MAPPABLE);
        return 0;
    }
    return 1;
}

} // namespace

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const std::string &path);
    } cases[] = {
        {"given-back", everything_is_given_back},       {"bytes", bytes_are_those_of_the_file},
        {"missing", a_missing_file_is_an_exception},    {"foreign", mappings_of_others_live_and_tell},
        {"adopted", an_adopted_mapping_is_a_region},    {"cut", a_scan_of_a_file_that_is_cut_gives_no_result},
        {"nul", a_path_with_a_nul_names_no_other_file}, {"result", a_scan_returns_what_its_work_returns},
    };
    for (const auto &one : cases)
        if (argc == 3 && std::strcmp(argv[1], one.name) == 0)
            return one.run(argv[2]);
    return 2;
}
