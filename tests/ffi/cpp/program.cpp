// SPDX-License-Identifier: MIT OR Apache-2.0
#include <mmapguard.h>

#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <iomanip>
#include <iostream>
#include <numeric>
#include <span>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>

namespace {

volatile std::sig_atomic_t handled;

std::string
name(mmg_status status)
{
    return mmg_status_name(status);
}

class Refused : public std::runtime_error {
  public:
    Refused(mmg_status status, const mmg_error &error) : std::runtime_error(name(status) + " " + error.message)
    {
    }
};

// Owns a handle.
class Region {
  public:
    Region(const char *path, mmg_options options)
    {
        mmg_error error = MMG_ERROR_INIT;
        if (mmg_status status = mmg_open(path, &options, &handle, &error))
            throw Refused(status, error);
    }
    ~Region()
    {
        mmg_close(handle, 0);
    }
    Region(const Region &) = delete;
    Region &operator=(const Region &) = delete;
    mmg_info info() const
    {
        mmg_info info = MMG_INFO_INIT;
        mmg_info_get(handle, &info);
        return info;
    }
    mmg_handle handle = 0;
};

// Owns a pin.
class View {
  public:
    explicit View(const Region &region)
    {
        mmg_pin(region.handle, 0, MMG_TO_END, &span);
    }
    ~View()
    {
        mmg_unpin(&span);
    }
    View(const View &) = delete;
    View &operator=(const View &) = delete;
    std::span<const uint8_t> bytes() const
    {
        return {span.data, span.size};
    }
    mmg_span span = MMG_SPAN_INIT;
};

uint32_t
sum(std::span<const uint8_t> bytes)
{
    return std::accumulate(bytes.begin(), bytes.end(), uint32_t{0});
}

void
ready()
{
    std::string line;
    std::cout << "ready" << std::endl;
    std::getline(std::cin, line);
}

void
twin(const char *path, bool guarded)
{
    std::uint64_t count = 0, losses = 0;
    struct stat status;
    int fd = open(path, O_RDONLY);
    fstat(fd, &status);
    auto size = static_cast<size_t>(status.st_size);
    auto *bytes = static_cast<const uint8_t *>(mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0));
    if (guarded)
        if (mmg_status status = mmg_guard_process(MMG_SCOPE_FILES, 0); status != MMG_OK)
            throw Refused(status, mmg_error());
    ready();
    std::cout << "ok " << sum({bytes, size});
    if (guarded && mmg_losses_get(0, nullptr, 0, &count, &losses) == MMG_OK)
        std::cout << " " << losses;
    std::cout << "\n";
}

void
run(const std::string &what, const char *path)
{
    mmg_options options = MMG_OPTIONS_INIT;
    if (what == "stable")
        options.guarantee = MMG_GUARANTEE_STABLE;
    Region file(path, options);
    if (what == "open") {
        std::cout << "ok " << file.info().size << "\n";
    } else if (what == "info") {
        std::cout << "ok " << file.info().size << " " << mmg_term(MMG_TERM_BACKING, file.info().backing) << "\n";
    } else if (what == "read") {
        uint8_t bytes[16];
        uint64_t got;
        mmg_read(file.handle, 5, bytes, sizeof bytes, &got);
        std::cout << "ok " << std::hex << std::setfill('0');
        for (uint64_t i = 0; i < got; i++)
            std::cout << std::setw(2) << unsigned{bytes[i]};
        std::cout << "\n";
    } else if (what == "find") {
        uint64_t position;
        mmg_find(file.handle, 0, MMG_TO_END, "NEEDLE", 6, &position);
        std::cout << "ok " << position << "\n";
    } else if (what == "close") {
        mmg_status first = mmg_close(file.handle, 0);
        std::cout << "ok " << name(first) << " " << name(mmg_close(file.handle, 0)) << "\n";
    } else if (what == "use-after-close") {
        mmg_span span;
        mmg_close(file.handle, 0);
        std::cout << "error " << name(mmg_pin(file.handle, 0, MMG_TO_END, &span)) << "\n";
    } else {
        View view(file);
        if (what == "pin") {
            std::cout << "ok " << sum(view.bytes()) << "\n";
        } else if (what == "empty") {
            std::cout << (view.span.data ? "ok " : "null ") << view.bytes().size() << "\n";
        } else if (what == "unpin") {
            mmg_status first = mmg_unpin(&view.span);
            std::cout << "ok " << name(first) << " " << name(mmg_unpin(&view.span)) << "\n";
        } else if (what == "stable") {
            uint32_t before = sum(view.bytes());
            ready();
            std::cout << (sum(view.bytes()) == before ? "ok same\n" : "ok other\n");
        } else {
            ready();
            sum(view.bytes());
            mmg_status status = mmg_unpin(&view.span);
            if (what == "truncated") {
                std::cout << "error " << name(status) << " " << file.info().fault_offset << "\n";
            } else {
                std::signal(SIGUSR1, [](int number) { handled = number; });
                ready();
                std::cout << (handled == SIGUSR1 ? "ok handled\n" : "ok unheard\n");
            }
        }
    }
}

} // namespace

int
main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    const std::string what = argv[1];
    try {
        if (what == "twin" || what == "guarded")
            twin(argv[2], what == "guarded");
        else
            run(what, argv[2]);
    } catch (const Refused &refused) {
        std::cout << "error " << refused.what() << "\n";
    }
}
