/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contenders mapped_file_source of Boost.Iostreams, and Boost.Interprocess. They take no lock and contain no fault.
 */
#include "contenders.h"

#include <boost/interprocess/file_mapping.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <boost/iostreams/device/mapped_file.hpp>
#include <boost/version.hpp>
#include <exception>
#include <memory>

using boost::interprocess::file_mapping;
using boost::interprocess::mapped_region;
using boost::interprocess::read_only;
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

static bool
open_interprocess(const char *path, view *opened)
{
    try {
        const file_mapping file(path, read_only);
        auto region = std::make_unique<mapped_region>(file, read_only);
        opened->data = static_cast<const std::uint8_t *>(region->get_address());
        opened->size = region->get_size();
        opened->owner = region.release();
        return true;
    } catch (const std::exception &) {
        return false;
    }
}

static void
close_interprocess(view *opened)
{
    delete static_cast<mapped_region *>(opened->owner);
}

extern "C" {
extern const contender boost_mapped_file = {"Boost mapped_file", open_boost, close_boost, false, nullptr};
extern const contender boost_interprocess = {"Boost.Interprocess", open_interprocess, close_interprocess, false,
                                             nullptr};

const char *
boost_version(void)
{
    return BOOST_LIB_VERSION;
}
}
