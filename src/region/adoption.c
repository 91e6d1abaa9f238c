/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The region of an adopted mapping covers the whole pages in which its bytes lie. The pages still belong to the owner
 * of the mapping. The library replaces them by zeros when they are lost, or by a snapshot with the same bytes, and
 * never unmaps them.
 */
#include "region/adoption.h"
#include "region/create.h"

#include <errno.h>

#include "guard/adopted.h"
#include "guard/registry.h"
#include "os/file.h"
#include "os/map.h"
#include "os/signal.h"

static mmg_status
refuse(const struct report *report, mmg_status status, const char *why)
{
    return mmgi_error_tell_own(report, status, "adopt", why);
}

/* Returns NULL when an area can be adopted, else the end of a sentence that says why not. */
static const char *
objection(const struct map_area *area, const mmg_options *options)
{
    if (area->inode == 0)
        return "is memory, and not a mapping of a file";
    if ((area->access & MAP_ACCESS_EXECUTE) != 0)
        return "is executable";
    if ((area->access & MAP_ACCESS_READ) == 0)
        return "cannot be read";
    if (area->is_shared && (area->access & MAP_ACCESS_WRITE) != 0 && !(options->flags & MMG_FLAG_SHARED_WRITABLE))
        return "is shared and can be written to; MMG_FLAG_SHARED_WRITABLE allows it";
    return NULL;
}

/* Returns true when `next` shows the same file as `area`, in the same way, at the offset that its address demands. */
static bool
goes_on(const struct map_area *area, const struct map_area *next)
{
    return next->inode == area->inode && next->device == area->device && next->is_shared == area->is_shared &&
           next->offset == area->offset + (next->start - area->start);
}

/*
 * Looks at the rest of the range. The owner may have changed the protection of a part, which the kernel then lists as a
 * mapping of its own.
 */
static mmg_status
look_at_rest(const mmg_options *options, const struct report *report, struct adoption *adoption)
{
    const uintptr_t end = (uintptr_t)adoption->data + (uintptr_t)adoption->size;
    struct map_area next = adoption->area;

    while (next.end < end) {
        int os_code = mmgi_map_find(next.end, NULL, adoption->scratch.text, &next);
        if (os_code == ENOENT)
            return refuse(report, MMG_E_RANGE, "ends before the range does");
        if (os_code != 0)
            return mmgi_error_tell_os(report, "maps", os_code);
        if (!goes_on(&adoption->area, &next))
            return refuse(report, MMG_E_NOT_MAPPABLE, "is not one file, mapped in one piece");
        const char *why = objection(&next, options);
        if (why != NULL)
            return refuse(report, MMG_E_NOT_MAPPABLE, why);
        adoption->is_writable |= (next.access & MAP_ACCESS_WRITE) != 0;
    }
    return MMG_OK;
}

/* Returns true when the mapping is a part of a program or a library, and when that cannot be known. */
static bool
is_loaded(struct adoption *adoption)
{
    int list;

    if (mmgi_map_list_open(&list) != 0)
        return true;
    bool result = mmgi_map_is_loaded(list, &adoption->area, true, adoption->scratch.text);
    mmgi_map_list_close(list);
    return result;
}

mmg_status
mmgi_adoption_find(const mmg_options *options, const struct report *report, struct adoption *adoption)
{
    const uintptr_t address = (uintptr_t)adoption->data;
    struct map_area *area = &adoption->area;

    if (adoption->size > UINTPTR_MAX / 2 || address > UINTPTR_MAX - adoption->size)
        return refuse(report, MMG_E_RANGE, "ends behind the end of the address space");
    int os_code = mmgi_map_find(address, adoption->scratch.path, adoption->scratch.text, area);
    if (os_code == ENOENT)
        return refuse(report, MMG_E_NOT_MAPPABLE, "does not exist: nothing is mapped at this address");
    if (os_code != 0)
        return mmgi_error_tell(report,
                               os_code == EMFILE || os_code == ENFILE ? MMG_E_LIMIT
                               : os_code == ENOMEM                    ? MMG_E_NO_MEMORY
                                                                      : MMG_E_UNSUPPORTED,
                               "maps", os_code, 0, "the kernel does not tell what is mapped");
    const char *why = objection(area, options);
    if (why != NULL)
        return refuse(report, MMG_E_NOT_MAPPABLE, why);
    adoption->offset = area->offset + (address - area->start);
    adoption->is_writable = (area->access & MAP_ACCESS_WRITE) != 0;
    mmg_status status = look_at_rest(options, report, adoption);
    if (status == MMG_OK && is_loaded(adoption))
        return refuse(report, MMG_E_NOT_MAPPABLE, "is a part of a program or of a library");
    return status;
}

/*
 * Returns true when the descriptor of the source names the file that is mapped. The list of mappings and fstat(2) may
 * give different numbers for one device. So the function maps a page of the file, and compares what the list says about
 * that page.
 */
static bool
is_file_of(const struct source *source, struct adoption *adoption)
{
    const size_t page = mmgi_map_page_size();
    struct mapping probe;
    struct map_area area;

    if (source->status.inode == adoption->area.inode && source->status.device == adoption->area.device)
        return true;
    if (mmgi_map_file(source->fd, 0, page, page, false, &probe) != 0)
        return false;
    bool is_same = mmgi_map_find((uintptr_t)probe.base, NULL, adoption->scratch.text, &area) == 0 &&
                   area.inode == adoption->area.inode && area.device == adoption->area.device;
    mmgi_map_release(&probe);
    return is_same;
}

mmg_status
mmgi_adoption_check(struct source *source, struct adoption *adoption, mmg_options *options)
{
    const struct report *report = source->report;

    if (source->kind != SOURCE_FILE)
        return refuse(report, MMG_E_NOT_MAPPABLE, "is not a regular file");
    if (!is_file_of(source, adoption))
        return refuse(report, MMG_E_NOT_MAPPABLE, "is not the file that is mapped there");
    if (file_page_size(source->fd, &source->status, mmgi_map_page_size()) != mmgi_map_page_size())
        return refuse(report, MMG_E_NOT_MAPPABLE, "has huge pages");
    if (source->size <= adoption->offset)
        return mmgi_error_tell(report, MMG_E_TRUNCATED, "adopt", 0, source->size, "ends before the range begins");
    if (adoption->size > source->size - adoption->offset)
        adoption->size = source->size - adoption->offset;
    options->offset = adoption->offset;
    options->length = adoption->size;
    options->backing = MMG_BACKING_MAP; /* a copy would have another address */
    source->adoption = adoption;
    return MMG_OK;
}

bool
mmgi_adoption_has_no_copies(struct adoption *adoption)
{
    const uintptr_t page = mmgi_map_page_size(), from = (uintptr_t)adoption->data / page * page;
    const uintptr_t to = ((uintptr_t)adoption->data + (uintptr_t)adoption->size + page - 1) / page * page;

    return adoption->area.is_shared || mmgi_map_has_no_copies(from, to, adoption->scratch.text);
}

/* Returns true when other pages with the same bytes can take the place of those of a mapping. */
static bool
is_untouched(const struct registration *r)
{
    const uint64_t before = mmgi_signal_block_all();
    const bool result = mmgi_adopted_is_untouched(r, 0, r->length);

    mmgi_signal_unblock(before);
    return result;
}

/* Maps a snapshot over the pages of the mapping. Returns 0 or an errno. */
static int
put_in_place(const struct adoption *adoption, const struct map_request *request, const struct mapping *mapping)
{
    const struct registration asked = {
        .start = mapping->base,
        .length = mapping->length,
        .file_offset = adoption->offset - (uint64_t)(adoption->data - mapping->base),
        .device = adoption->area.device,
        .inode = adoption->area.inode,
    };

    if (!is_untouched(&asked))
        return ESTALE;
    return mmgi_map_replace_with_file(mapping, mapping->length, request->fd, asked.file_offset);
}

mmg_status
mmgi_adoption_take(struct source *source, const struct map_request *request, struct region **out)
{
    const struct adoption *adoption = source->adoption;
    const size_t page = mmgi_map_page_size();
    const size_t lead = (size_t)((uintptr_t)adoption->data % page);
    struct mapping mapping = {.base = adoption->data - lead,
                              .length = ((size_t)request->length + lead + page - 1) / page * page,
                              .page = page,
                              .is_private = !adoption->area.is_shared,
                              .is_adopted = true};
    struct region_memory memory;

    if (!mmgi_region_reserve(source, 0, &memory))
        return mmgi_error_tell(source->report, MMG_E_NO_MEMORY, "malloc", ENOMEM, 0, NULL);
    if (request->is_snapshot) {
        int os_code = put_in_place(adoption, request, &mapping);
        if (os_code != 0) {
            mmgi_region_unreserve(&memory);
            return mmgi_error_tell(source->report, MMG_E_UNSTABLE, "mmap", os_code, 0,
                                   "the snapshot cannot be put in place");
        }
    }
    uint32_t number = mmgi_registry_add(&(struct registration){
        .start = mapping.base,
        .length = mapping.length,
        .page = page,
        .lead = lead,
        .size = request->length,
        .file_offset = adoption->offset - lead,
        .fd = request->is_snapshot ? -1 : request->fd,
        .traits = MAPPING_IS_ADOPTED | (source->file_system.is_stacked ? MAPPING_IS_STACKED : 0) |
                  source_lock_trait(source),
        .device = request->is_snapshot ? 0 : adoption->area.device,
        .inode = request->is_snapshot ? 0 : adoption->area.inode,
        .changed = source->status.changed.seconds * INT64_C(1000000000) + source->status.changed.nanoseconds,
        .owner = &memory.region->owner,
    });
    if (number == 0) {
        mmgi_region_unreserve(&memory);
        return mmgi_error_tell(source->report, MMG_E_NO_MEMORY, "malloc", ENOMEM, 0, NULL);
    }
    /* The owner of a private mapping may have written to it. The mapping alone has these bytes, so the region may not
       read the file. */
    const bool is_of_file = adoption->area.is_shared && !request->is_snapshot && !source->file_system.is_stacked;
    *out = region_create(&(struct region_spec){
        .source = source,
        .memory = &memory,
        .data = adoption->data,
        .size = request->length,
        .mapping = &mapping,
        .number = number,
        .content = is_of_file ? request->fd : -1,
        .keeps_source = true,
        .is_guarded = request->is_guarded,
        .reason = request->reason,
        .exceptions = request->exceptions,
        .means_order = request->means_order,
        .promise = request->promise,
    });
    mmgi_source_keep(source);
    return MMG_OK;
}

bool
mmgi_adoption_is_untouched(const struct region *region)
{
    struct registration r;
    const uint64_t before = mmgi_signal_block_all(); /* no handler may leave this thread with the entry held */
    const bool is_known = mmgi_registry_hold_number(region->number, &r);

    if (is_known)
        mmgi_registry_let_go(region->number);
    mmgi_signal_unblock(before);
    return is_known && is_untouched(&r);
}
