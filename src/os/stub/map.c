/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Address space on a platform without mappings. Memory comes from malloc(3), and every attempt to map a file fails.
 */
#include "os/map.h"
#include "os/map_query.h"

#include <errno.h>
#include <stdlib.h>

#define STUB_PAGE 4096u

size_t
mmgi_map_page_size(void)
{
    return STUB_PAGE;
}

int
mmgi_map_file(int fd, uint64_t offset, size_t length, size_t page, bool populate, struct mapping *mapping)
{
    (void)fd;
    (void)offset;
    (void)populate;
    *mapping = (struct mapping){.base = NULL, .length = length, .page = page};
    return ENOTSUP;
}

void
mmgi_map_pack_closely(void)
{
}

bool
mmgi_map_is_refusal(int os_code)
{
    return os_code == ENOTSUP;
}

void
mmgi_map_release(const struct mapping *mapping)
{
    (void)mapping;
}

int
mmgi_map_replace_with_zeros(unsigned char *start, size_t length, unsigned access)
{
    (void)start;
    (void)access;
    (void)length;
    return ENOTSUP;
}

void
mmgi_map_await_changes(void)
{
}

void
mmgi_map_unlock(unsigned char *start, size_t length)
{
    (void)start;
    (void)length;
}

unsigned char *
mmgi_map_spares(size_t count)
{
    (void)count;
    return NULL;
}

unsigned char *
mmgi_map_spare_again(void)
{
    return NULL;
}

void
mmgi_map_spare_release(unsigned char *spare)
{
    (void)spare;
}

int
mmgi_map_spare_move(unsigned char *spare, unsigned char *lost, unsigned access)
{
    (void)spare;
    (void)lost;
    (void)access;
    return ENOTSUP;
}

bool
mmgi_map_can_replace(void)
{
    return false;
}

int
mmgi_map_find(uintptr_t address, char *path, char *text, struct map_area *area)
{
    (void)address;
    (void)path;
    (void)text;
    *area = (struct map_area){.inode = 0};
    return ENOSYS;
}

int
mmgi_map_list_open(int *list)
{
    *list = -1;
    return ENOSYS;
}

int
mmgi_map_list_find(int list, uintptr_t address, char *path, char *text, struct map_area *area)
{
    (void)list;
    return mmgi_map_find(address, path, text, area);
}

int
mmgi_map_list_next(int list, uintptr_t address, bool (*is_wanted)(const struct map_area *), char *path, char *text,
                   struct map_area *area)
{
    (void)list;
    (void)address;
    (void)is_wanted;
    (void)path;
    (void)text;
    (void)area;
    return ENOTSUP;
}

void
mmgi_map_list_close(int list)
{
    (void)list;
}

bool
mmgi_map_is_loaded(int list, const struct map_area *area, bool everywhere, char *text)
{
    (void)list;
    (void)area;
    (void)everywhere;
    (void)text;
    return true;
}

bool
mmgi_map_has_copies(uintptr_t from, uintptr_t to, char *text)
{
    (void)from;
    (void)to;
    (void)text;
    return false;
}

bool
mmgi_map_has_no_copies(uintptr_t from, uintptr_t to, char *text)
{
    (void)from;
    (void)to;
    (void)text;
    return false;
}

bool
mmgi_map_query_is_known(void)
{
    return false;
}

int
mmgi_map_replace_with_file(const struct mapping *mapping, size_t length, int fd, uint64_t offset)
{
    (void)mapping;
    (void)length;
    (void)fd;
    (void)offset;
    return ENOTSUP;
}

int
mmgi_map_replace_with_memory(const struct mapping *mapping, size_t length, unsigned char *memory)
{
    (void)memory;
    return mmgi_map_replace_with_file(mapping, length, -1, 0);
}

int
mmgi_map_copy_out(const unsigned char *from, void *to, size_t size, size_t *copied)
{
    (void)from;
    (void)to;
    (void)size;
    *copied = 0;
    return ENOSYS;
}

bool
mmgi_map_is_readable(const unsigned char *address)
{
    return address != NULL;
}

int
mmgi_map_wipe_on_fork(unsigned char *memory, size_t length)
{
    (void)memory;
    (void)length;
    return EINVAL;
}

unsigned char *
mmgi_map_shared_memory(size_t length, size_t *rounded)
{
    return mmgi_map_memory(length, rounded);
}

unsigned char *
mmgi_map_memory(size_t length, size_t *rounded)
{
    *rounded = (length + STUB_PAGE - 1) / STUB_PAGE * STUB_PAGE;
    return calloc(1, *rounded);
}

void
mmgi_map_memory_release(unsigned char *memory, size_t length)
{
    (void)length;
    free(memory);
}

int
mmgi_map_advise(const struct mapping *mapping, const unsigned char *start, size_t length, uint32_t advice)
{
    (void)mapping;
    (void)start;
    (void)length;
    (void)advice;
    return EOPNOTSUPP;
}

int
mmgi_map_resident(const struct mapping *mapping, const unsigned char *start, size_t length, uint64_t *resident)
{
    (void)mapping;
    (void)start;
    (void)length;
    *resident = 0;
    return ENOTSUP;
}
