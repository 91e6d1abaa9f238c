/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Boost.Iostreams' mapped_file_source as a contender. It takes no lock and contains no fault.
 */
#include "contenders.h"

#include <boost/iostreams/device/mapped_file.hpp>
#include <boost/version.hpp>
#include <exception>
#include <memory>

using boost::iostreams::mapped_file_source;

static bool
open_boost(const char *path, view *opened)
{
    try {
        auto file = std::make_unique<mapped_file_source>(path);
        opened->data = reinterpret_cast<const std::uint8_t *>(file->data());
        opened->size = file->size();
        opened->owner = file.release();
        return true;
    } catch (const std::exception &) {
        return false;
    }
}

static void
close_boost(view *opened)
{
    delete static_cast<mapped_file_source *>(opened->owner);
}

extern "C" {
extern const contender boost_mapped_file = {"Boost mapped_file", open_boost, close_boost};

const char *
boost_version(void)
{
    return BOOST_LIB_VERSION;
}
}
