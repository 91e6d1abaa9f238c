/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests mmg_export_arrow(), which makes an array of uint8. The array keeps its bytes until its release, also after a
 * move, after the handle was closed, and after the file was cut. Any thread may release it.
 */
#include "mmapguard_arrow.h"
#include "check.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum {
    SIZE = 200000
};

static const uint8_t *
bytes_of(const struct ArrowArray *array)
{
    return array->buffers[1];
}

static void
an_export_is_an_array_of_uint8_without_nulls(void)
{
    for (uint32_t backing = MMG_BACKING_MAP; backing <= MMG_BACKING_COPY; backing++) {
        mmg_options options = check_backing(backing);
        mmg_handle handle = check_open(check_file("file", SIZE), &options);
        mmg_span span = MMG_SPAN_INIT;
        struct ArrowArray array;
        struct ArrowSchema schema;
        REQUIRE_STATUS(mmg_export_arrow(handle, 1000, 5000, &array, &schema), MMG_OK);
        REQUIRE_STATUS(mmg_pin(handle, 1000, 5000, &span), MMG_OK);
        CHECK(strcmp(schema.format, "C") == 0 && strcmp(schema.name, "") == 0 && schema.metadata == NULL);
        CHECK(schema.flags == 0 && schema.n_children == 0 && schema.children == NULL && schema.dictionary == NULL);
        CHECK(array.length == 5000 && array.null_count == 0 && array.offset == 0 && array.n_buffers == 2);
        CHECK(array.n_children == 0 && array.children == NULL && array.dictionary == NULL);
        CHECK(array.buffers[0] == NULL && bytes_of(&array) == span.data);
        CHECK_STATUS(mmg_unpin(&span), MMG_OK);
        CHECK_U64(check_info(handle).pins, 1);
        schema.release(&schema);
        CHECK(schema.release == NULL);
        CHECK_U64(check_info(handle).pins, 1);
        array.release(&array);
        CHECK(array.release == NULL);
        CHECK_U64(check_info(handle).pins, 0);
        CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
    }
}

static void
an_export_keeps_the_bytes_past_the_close(void)
{
    const char *path = check_file("file", SIZE);
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_handle handle = check_open(path, &options);
    struct ArrowArray array;
    REQUIRE_STATUS(mmg_export_arrow(handle, 0, MMG_TO_END, &array, NULL), MMG_OK);
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_E_BUSY);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK_U64(check_mappings_of(path), 1);
    CHECK(array.length == SIZE && check_is_pattern(bytes_of(&array), 0, SIZE));
    array.release(&array);
    CHECK_U64(check_mappings_of(path), 0);
}

/**
 * Moves an array by the rule of the interface: copies it, and marks the source as released without calling its release.
 */
static struct ArrowArray *
moved(struct ArrowArray *target, struct ArrowArray *source)
{
    memcpy(target, source, sizeof *target);
    memset(source, 0, sizeof *source); /* only `release` must be cleared */
    return target;
}

static void *
release_it(void *array)
{
    struct ArrowArray *mine = array;
    CHECK(check_is_pattern(bytes_of(mine), 0, SIZE));
    mine->release(mine);
    return NULL;
}

static void
an_array_may_be_moved_and_released_by_another_thread(void)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_handle handle = check_open(check_file("file", SIZE), &options);
    struct ArrowArray first, second, third;
    pthread_t thread;
    REQUIRE_STATUS(mmg_export_arrow(handle, 0, MMG_TO_END, &first, NULL), MMG_OK);
    REQUIRE(pthread_create(&thread, NULL, release_it, moved(&third, moved(&second, &first))) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    CHECK(third.release == NULL);
    CHECK_U64(check_info(handle).pins, 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
empty_exports_have_a_buffer_and_a_pin_too(void)
{
    mmg_handle handles[2] = {check_open(check_file("file", SIZE), NULL), check_open(check_file("empty", 0), NULL)};
    for (unsigned index = 0; index < 2; index++) {
        struct ArrowArray array;
        uint64_t end = check_info(handles[index]).size;
        REQUIRE_STATUS(mmg_export_arrow(handles[index], end, MMG_TO_END, &array, NULL), MMG_OK);
        CHECK(array.length == 0 && bytes_of(&array) != NULL);
        CHECK_STATUS(mmg_close(handles[index], MMG_CLOSE_STRICT), MMG_E_BUSY);
        array.release(&array);
        CHECK_STATUS(mmg_close(handles[index], MMG_CLOSE_STRICT), MMG_OK);
    }
}

static void
a_refusal_writes_nothing_and_pins_nothing(void)
{
    mmg_handle handle = check_open(check_file("file", SIZE), NULL);
    struct ArrowArray array, untouched;
    struct ArrowSchema schema, also_untouched;
    memset(&array, 0xA5, sizeof array);
    memset(&schema, 0xA5, sizeof schema);
    memcpy(&untouched, &array, sizeof array);
    memcpy(&also_untouched, &schema, sizeof schema);
    CHECK_STATUS(mmg_export_arrow(handle, 0, 1, NULL, &schema), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_export_arrow(handle, 0, SIZE + 1, &array, &schema), MMG_E_RANGE);
    CHECK_STATUS(mmg_export_arrow(handle, SIZE + 1, 0, &array, &schema), MMG_E_RANGE);
    CHECK_STATUS(mmg_export_arrow(handle, UINT64_MAX, 2, &array, &schema), MMG_E_RANGE);
    CHECK_STATUS(mmg_export_arrow(0, 0, 1, &array, &schema), MMG_E_HANDLE);
    CHECK_U64(check_info(handle).pins, 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK_STATUS(mmg_export_arrow(handle, 0, 1, &array, &schema), MMG_E_HANDLE);
    CHECK(memcmp(&array, &untouched, sizeof array) == 0 && memcmp(&schema, &also_untouched, sizeof schema) == 0);
}

static void
lost_bytes_of_an_export_read_as_zeros_and_are_reported(void)
{
    const char *path = check_file("file", SIZE);
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_handle handle = check_open(path, &options);
    struct ArrowArray array, other;
    REQUIRE_STATUS(mmg_export_arrow(handle, 0, MMG_TO_END, &array, NULL), MMG_OK);
    REQUIRE(truncate(path, (off_t)check_page()) == 0);
    CHECK(check_is_pattern(bytes_of(&array), 0, check_page()));
    CHECK(bytes_of(&array)[SIZE - 1] == 0);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_export_arrow(handle, 0, MMG_TO_END, &other, NULL), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_export_arrow(handle, 0, check_page(), &other, NULL), MMG_OK);
    other.release(&other);
    array.release(&array);
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
}

static const struct check_case cases[] = {
    {"an export is an array of uint8 without nulls", an_export_is_an_array_of_uint8_without_nulls, 0},
    {"an export keeps the bytes past the close", an_export_keeps_the_bytes_past_the_close, 0},
    {"an array may be moved and released by another thread", an_array_may_be_moved_and_released_by_another_thread, 0},
    {"empty exports have a buffer and a pin too", empty_exports_have_a_buffer_and_a_pin_too, 0},
    {"a refusal writes nothing and pins nothing", a_refusal_writes_nothing_and_pins_nothing, 0},
    {"lost bytes of an export read as zeros and are reported", lost_bytes_of_an_export_read_as_zeros_and_are_reported,
     CHECK_LOSES},
};

CHECK_MAIN(cases)
