/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/**
 * @file mmapguard.hpp
 * The library from C++17 on: a region that closes itself, a view that unpins itself, errors as exceptions.
 *
 * Header-only, on top of mmapguard.h, and no part of the frozen ABI: nothing of it is in the library, so that it may
 * change between releases as source code may. A region and a view move and do not copy. They may be used from every
 * thread, each object by one thread at a time.
 *
 *     auto region = mmapguard::region::open("big.bin");
 *     std::uint64_t sum = region.scan([](const mmapguard::view &bytes) {
 *         return std::accumulate(bytes.begin(), bytes.end(), std::uint64_t{0});
 *     });                                      // throws mmapguard::error if the sum does not hold
 */
#ifndef MMAPGUARD_HPP
#define MMAPGUARD_HPP

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#if __cplusplus >= 202002L
#include <span>
#endif

#include "mmapguard.h"

namespace mmapguard {

/** What failed, by its status; what() is the sentence of the library, which names the path. */
class error : public std::runtime_error {
  public:
    /** Takes the details that a call has filled. */
    explicit error(const mmg_error &details)
        : std::runtime_error(details.message[0] != '\0' ? details.message : ::mmg_status_message(details.status)),
          status_(details.status), os_code_(details.os_code), offset_(details.offset)
    {
    }

    /** For a call without details. */
    explicit error(mmg_status status) : std::runtime_error(::mmg_status_message(status)), status_(status)
    {
    }

    /** The status: MMG_E_... */
    [[nodiscard]] mmg_status status() const noexcept
    {
        return status_;
    }

    /** Name of the status, such as "MMG_E_TRUNCATED". */
    [[nodiscard]] std::string_view name() const noexcept
    {
        return ::mmg_status_name(status_);
    }

    /** The errno of the system, or 0. */
    [[nodiscard]] std::int32_t os_code() const noexcept
    {
        return os_code_;
    }

    /** Where in the file, when the failure has a place; else 0. */
    [[nodiscard]] std::uint64_t offset() const noexcept
    {
        return offset_;
    }

  private:
    mmg_status status_;
    std::int32_t os_code_ = 0;
    std::uint64_t offset_ = 0;
};

/** Throws unless the status is MMG_OK. */
inline void
require(mmg_status status)
{
    if (status != MMG_OK)
        throw error(status);
}

/**
 * Bytes of a region, without a copy, for as long as the view lives; the region may be closed before. Lost bytes read as
 * zeros: end() tells, and region::scan() throws.
 */
class view {
  public:
    /** An empty view. */
    view() noexcept = default;

    view(view &&other) noexcept : span_(std::exchange(other.span_, no_span()))
    {
    }

    view &operator=(view &&other) noexcept
    {
        if (this != &other) {
            drop();
            span_ = std::exchange(other.span_, no_span());
        }
        return *this;
    }

    view(const view &) = delete;
    view &operator=(const view &) = delete;

    ~view()
    {
        drop();
    }

    /** The first byte; never null once pinned. */
    [[nodiscard]] const std::uint8_t *data() const noexcept
    {
        return span_.data;
    }

    /** How many bytes. */
    [[nodiscard]] std::size_t size() const noexcept
    {
        return static_cast<std::size_t>(span_.size);
    }

    /** Returns true when there are no bytes. */
    [[nodiscard]] bool empty() const noexcept
    {
        return span_.size == 0;
    }

    [[nodiscard]] const std::uint8_t *begin() const noexcept
    {
        return span_.data;
    }

    [[nodiscard]] const std::uint8_t *end() const noexcept
    {
        return span_.data + span_.size;
    }

    /** A byte; the index is not checked. */
    [[nodiscard]] std::uint8_t operator[](std::size_t index) const noexcept
    {
        return span_.data[index];
    }

    /** The bytes as text. */
    [[nodiscard]] std::string_view text() const noexcept
    {
        /* Any object may be read as char. */
        return {reinterpret_cast<const char *>(span_.data), size()};
    }

#if __cplusplus >= 202002L
    /** The bytes as a span, which must not outlive the view. */
    [[nodiscard]] std::span<const std::uint8_t> bytes() const noexcept
    {
        return {span_.data, size()};
    }
#endif

    /** Ends the view. Returns MMG_OK when no byte in it was lost, else what happened: MMG_E_TRUNCATED, ... */
    [[nodiscard]] mmg_status release() noexcept
    {
        return ::mmg_unpin(&span_);
    }

  private:
    friend class region;

    /* The initialiser as a value, which a macro of braces is not. */
    static mmg_span no_span() noexcept
    {
        return mmg_span MMG_SPAN_INIT;
    }

    void drop() noexcept
    {
        mmg_status ignored = ::mmg_unpin(&span_); /* a destructor cannot tell; release() and scan() do */
        static_cast<void>(ignored);
    }

    mmg_span span_ = MMG_SPAN_INIT;
};

/** How to open: mmg_options with its defaults, to be changed member by member. */
struct options : mmg_options {
    options() noexcept : mmg_options MMG_OPTIONS_INIT
    {
    }
};

/** An open file, or a window of one. Closing is the destructor's; views keep their bytes after it. */
class region {
  public:
    /** Opens a file. Throws error, also for a path with a NUL inside, which would name another file. */
    [[nodiscard]] static region open(const std::string &path, const options &how = {})
    {
        return made([&](mmg_handle *handle, mmg_error *details) {
            return ::mmg_open(terminated(path), &how, handle, details);
        });
    }

    /** Opens the file behind a descriptor, which stays the caller's. Throws error. */
    [[nodiscard]] static region open(int descriptor, const options &how = {})
    {
        return made(
            [&](mmg_handle *handle, mmg_error *details) { return ::mmg_open_fd(descriptor, &how, handle, details); });
    }

    /** Opens a file, or reads standard input for the path "-". Throws error. */
    [[nodiscard]] static region load(const std::string &path, const options &how = {})
    {
        return made([&](mmg_handle *handle, mmg_error *details) {
            return ::mmg_load(terminated(path), &how, handle, details);
        });
    }

    /** Reads a descriptor to its end. Throws error. */
    [[nodiscard]] static region read(int descriptor, const options &how = {})
    {
        return made(
            [&](mmg_handle *handle, mmg_error *details) { return ::mmg_read_fd(descriptor, &how, handle, details); });
    }

    /**
     * Takes a mapping that other code has made as a region, in place. The range must stay mapped until the region and its
     * views are gone. `descriptor` is one of the file, or -1 when the file is to be found by itself. Throws error.
     */
    [[nodiscard]] static region adopt(const void *data, std::size_t size, int descriptor = -1, const options &how = {})
    {
        return made([&](mmg_handle *handle, mmg_error *details) {
            return ::mmg_adopt(data, size, descriptor, &how, handle, details);
        });
    }

    region(region &&other) noexcept : handle_(std::exchange(other.handle_, 0))
    {
    }

    region &operator=(region &&other) noexcept
    {
        if (this != &other) {
            close();
            handle_ = std::exchange(other.handle_, 0);
        }
        return *this;
    }

    region(const region &) = delete;
    region &operator=(const region &) = delete;

    ~region()
    {
        close();
    }

    /** Closes the region now. Views keep their bytes. Repeating it is harmless. */
    void close() noexcept
    {
        if (handle_ != 0)
            ::mmg_close(std::exchange(handle_, 0), 0);
    }

    /** The handle, for calls that this class does not wrap; it stays the region's. */
    [[nodiscard]] mmg_handle handle() const noexcept
    {
        return handle_;
    }

    /** What is known about the region. Throws error. */
    [[nodiscard]] mmg_info info() const
    {
        mmg_info about = MMG_INFO_INIT;
        require(::mmg_info_get(handle_, &about));
        return about;
    }

    /** Bytes in the region. Throws error. */
    [[nodiscard]] std::uint64_t size() const
    {
        return info().size;
    }

    /** A view of a range, to the end by default. Throws error, also when a byte of it is known to be lost. */
    [[nodiscard]] view pin(std::uint64_t offset = 0, std::uint64_t length = MMG_TO_END) const
    {
        view pinned;
        require(::mmg_pin(handle_, offset, length, &pinned.span_));
        return pinned;
    }

    /** Copies bytes out, and returns how many there were up to the end of the region. Throws error. */
    std::size_t read_at(std::uint64_t offset, void *buffer, std::size_t size) const
    {
        std::uint64_t got = 0;
        require(::mmg_read(handle_, offset, buffer, size, &got));
        return static_cast<std::size_t>(got);
    }

    /** Offset of the first occurrence, if there is one. Throws error. */
    [[nodiscard]] std::optional<std::uint64_t> find(std::string_view needle, std::uint64_t offset = 0,
                                                    std::uint64_t length = MMG_TO_END) const
    {
        std::uint64_t position = MMG_NOT_FOUND;
        require(::mmg_find(handle_, offset, length, needle.data(), needle.size(), &position));
        return found(position);
    }

    /** Offset of the last occurrence, if there is one. Throws error. */
    [[nodiscard]] std::optional<std::uint64_t> find_last(std::string_view needle, std::uint64_t offset = 0,
                                                         std::uint64_t length = MMG_TO_END) const
    {
        std::uint64_t position = MMG_NOT_FOUND;
        require(::mmg_find_last(handle_, offset, length, needle.data(), needle.size(), &position));
        return found(position);
    }

    /**
     * Returns the status of mmg_verify(). What you computed from a region holds if mmg_verify reports nothing afterwards.
     * The times of a file set a limit: mmg_verify does not see a write within the same clock tick, a write through a
     * shared mapping that the kernel has not stamped yet, or times that were set back.
     */
    [[nodiscard]] mmg_status status() const noexcept
    {
        return ::mmg_verify(handle_);
    }

    /** Throws error, with the sentence of mmg_explain(), unless mmg_verify() returns MMG_OK. */
    void verify() const
    {
        mmg_error details = MMG_ERROR_INIT;
        if (::mmg_explain(handle_, &details) != MMG_OK)
            throw error(details);
    }

    /**
     * Calls `work` with a view of a range, verifies, and returns what `work` returned: so that a result is had only when
     * it holds. The result must not refer to the bytes of the view, which ends with the call. An exception of `work` passes
     * through. Throws error.
     */
    template <class Work>
    std::invoke_result_t<Work, const view &> scan(Work &&work, std::uint64_t offset = 0,
                                                  std::uint64_t length = MMG_TO_END) const
    {
        using result_type = std::invoke_result_t<Work, const view &>;
        view bytes = pin(offset, length);
        if constexpr (std::is_void_v<result_type>) {
            std::invoke(std::forward<Work>(work), std::as_const(bytes));
            finish(bytes);
        } else {
            result_type result = std::invoke(std::forward<Work>(work), std::as_const(bytes));
            finish(bytes);
            return std::forward<result_type>(result); /* what is a reference stays one */
        }
    }

  private:
    explicit region(mmg_handle handle) noexcept : handle_(handle)
    {
    }

    static const char *terminated(const std::string &path)
    {
        if (path.find('\0') != std::string::npos)
            throw error(MMG_E_ARGUMENT);
        return path.c_str();
    }

    template <class Call> static region made(Call &&call)
    {
        mmg_handle handle = 0;
        mmg_error details = MMG_ERROR_INIT;
        if (call(&handle, &details) != MMG_OK)
            throw error(details);
        return region(handle);
    }

    static std::optional<std::uint64_t> found(std::uint64_t position) noexcept
    {
        return position == MMG_NOT_FOUND ? std::nullopt : std::optional<std::uint64_t>(position);
    }

    void finish(view &bytes) const
    {
        mmg_status lost = bytes.release();
        verify();
        require(lost);
    }

    mmg_handle handle_;
};

/** What losses() returns. */
struct ledger {
    std::vector<mmg_loss> records; /**< oldest first */
    std::uint64_t mark;            /**< where to go on from */
    std::uint64_t overwritten;     /**< records that are missing, because newer ones took their place */
};

/** Reads the ledger of losses behind a mark: 0, or the mark of an earlier call. Throws error. */
[[nodiscard]] inline ledger
losses(std::uint64_t since = 0)
{
    ledger found{{}, since, 0};
    mmg_loss records[16] = {MMG_LOSS_INIT};
    for (std::uint64_t count = 1, next = since; count > 0; found.mark = next) {
        require(::mmg_losses_get(found.mark, records, 16, &count, &next));
        found.overwritten += next - found.mark - count;
        found.records.insert(found.records.end(), records, records + count);
    }
    return found;
}

/**
 * Guards the mappings that other code of the process makes, for as long as the object lives; see mmg_guard_process(). Lost
 * bytes read as zeros, and lost() tells of them. Guards nest.
 */
class process_guard {
  public:
    /** Begins to guard. `flags` are MMG_PROCESS_... bits. Throws error. */
    explicit process_guard(std::uint32_t flags = 0) : flags_(flags)
    {
        std::uint64_t count = 0;
        require(::mmg_losses_get(0, nullptr, 0, &count, &mark_));
        require(::mmg_guard_process(MMG_SCOPE_FILES, flags_));
    }

    process_guard(const process_guard &) = delete;
    process_guard &operator=(const process_guard &) = delete;

    ~process_guard()
    {
        mmg_status ignored = ::mmg_guard_process(MMG_SCOPE_NONE, flags_); /* ends what the constructor began */
        static_cast<void>(ignored);
    }

    /** Returns what mappings without a region have lost since the guard began. Throws error. */
    [[nodiscard]] std::vector<mmg_loss> lost() const
    {
        std::vector<mmg_loss> foreign;
        for (const mmg_loss &loss : losses(mark_).records)
            if (loss.origin == MMG_ORIGIN_FOREIGN)
                foreign.push_back(loss);
        return foreign;
    }

  private:
    std::uint32_t flags_;
    std::uint64_t mark_ = 0;
};

} // namespace mmapguard

#endif /* MMAPGUARD_HPP */
