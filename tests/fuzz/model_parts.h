/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the parts of the model share. An expectation is a set of statuses. When a call has several mistakes, the library
 * may report any of them. When a call has none, MMG_OK is the only member of the set.
 */
#ifndef MMAPGUARD_TESTS_MODEL_PARTS_H
#define MMAPGUARD_TESTS_MODEL_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <limits.h>

#include "mmapguard.h"
#include "model.h"

#define FILES 6
#define CAPACITY ((uint64_t)44 * 4096)
#define REGIONS 80
#define PINS 300
#define FOREIGNERS 12
#define SMALLEST_PAGE 4096
#define STALE 512
#define LARGEST_STRUCT 4096U
#define ROOM (LARGEST_STRUCT + 64)
#define NONE UINT64_MAX

/** The inode of a file. It lives as long as its name or a region uses it. */
struct inode {
    unsigned users;
    int descriptor;
    uint64_t size;
    uint64_t device;
    uint64_t number;
    bool locked;             /* the model holds an exclusive lock */
    bool is_fresh;           /* unchanged since model_start() or reset_files() made it */
    unsigned flocks;         /* the number of regions that hold a shared lock */
    uint8_t bytes[CAPACITY]; /* zero behind `size` */
};

/** The contents that a page of a mapping shows. */
enum shown {
    SHOWN_FILE,
    SHOWN_OWN, /* bytes that were stored into a private mapping */
    SHOWN_ZERO /* zeros in place of a lost page, and bytes that were stored there since */
};

/** A mapping that the library has not made. */
struct foreigner {
    uint8_t *base; /* NULL: none */
    struct inode *inode;
    int file; /* the index of the path by which it was opened */
    uint64_t offset;
    uint64_t size;
    bool is_shared;
    bool is_writable;
    bool has_parts;        /* for the kernel it is several mappings, after advice about a part */
    struct region *region; /* the region that has adopted it; as long as it lives, only the region is used */
    uint8_t shown[CAPACITY / SMALLEST_PAGE];
    uint8_t own[CAPACITY]; /* the bytes where the mapping does not show the file */
};

struct region {
    bool used;
    mmg_handle handle; /* 0: the handle is closed, and pins keep the region */
    struct inode *inode;
    uint64_t offset;
    uint64_t size;
    uint64_t page;   /* the page size of a mapping of the file; 0 when the bytes are stable */
    uint64_t mapped; /* bytes of address space */
    uint8_t *copy;   /* the bytes, if they are stable */
    bool contained;  /* a fault in the region is contained */
    bool has_flock;
    int file;              /* the index of the path by which it was opened, or -1 */
    bool supports_changed; /* mmg_changed() certainly works */
    bool may_support_changed;
    bool keeps_descriptor; /* although it is a copy */
    unsigned pins;
    uint64_t faults;
    uint64_t lost;   /* first byte known to be lost, or NONE */
    uint64_t zeroed; /* first page of the mapping that was replaced by zeroes, or NONE */
    const uint8_t *base;
    struct foreigner *foreigner; /* the mapping that the region has adopted; NULL when it was opened */
    mmg_info opened;
};

struct pin {
    mmg_span span; /* the pin is 0 when the entry is free */
    struct region *region;
    uint64_t offset;
};

/** All that the model knows. */
extern struct model_state {
    char directory[PATH_MAX];
    char paths[FILES][PATH_MAX + 16];
    char missing[PATH_MAX + 16];
    struct inode *names[FILES];
    struct region regions[REGIONS];
    struct pin pins[PINS];
    struct foreigner foreigners[FOREIGNERS];
    unsigned guards[2]; /* calls of mmg_guard_process() that have not ended, by flags */
    uint64_t foreign_losses;
    uint64_t page;
    bool is_masked;     /* SIGBUS is blocked in the thread that makes the call */
    bool can_ask;       /* the kernel tells what is mapped at an address */
    bool can_ask_pages; /* the kernel tells whether a page can be read; qemu-user does not */
    mmg_handle stale[STALE];
    uint64_t stale_tokens[STALE];
    size_t stale_count;
    size_t stale_token_count;
    mmg_stats start;
    uint64_t opened;
    uint64_t leases; /* regions that were held by a lease when they were opened */
    uint64_t faults; /* faults that were handed to mmg_handle_fault() and contained */
    struct chance *chance;
    bool can_populate; /* the kernel knows MADV_POPULATE_READ */
    uint64_t call;
    const char *doing;
    char details[256];
} model;

/** The statuses that a call may return. When the set is empty, the call must return MMG_OK. */
struct expected {
    mmg_status any[16];
    size_t count;
};

/** A range of a region, or of a handle that is dead. */
struct range {
    mmg_handle handle;
    struct region *region; /* NULL: the handle is dead */
    uint64_t offset;
    uint64_t length;
    uint64_t real; /* the length, when MMG_TO_END is resolved */
    bool is_valid;
    struct expected expected;
};

/** The options of a caller of some release, and their meaning. */
struct request {
    union {
        mmg_options options;
        uint8_t bytes[ROOM];
    } given;
    bool is_null;
    mmg_options meant; /* with defaults for the members that the caller does not know */
};

/** An error struct of a random size, or NULL. */
struct complaint {
    union {
        mmg_error error;
        uint8_t bytes[ROOM];
    } given;
    bool is_null;
};

/* In release 1.0 every struct has its first size. */
#define IS_SIZE_OF(size, type) is_size_of((size), (uint32_t)sizeof(type))

/** The sizes of the files at the start. */
extern const uint64_t first_sizes[FILES];

/* model.c */
void close_everything(void);

/* model_chance.c */
_Noreturn void disagree(const char *what);
void must(bool holds, const char *what);
void must_equal(uint64_t actual, uint64_t expected, const char *what);
void expect(struct expected *expected, mmg_status status);
void must_be(mmg_status actual, const struct expected *expected);
uint64_t draw(unsigned size);
bool has_chance(void);
uint64_t below(uint64_t bound);
bool one_in(uint64_t count);
uint64_t some_offset(uint64_t size);
uint64_t some_length(uint64_t size, uint64_t offset);

/* model_files.c */
void fill(struct inode *inode, uint64_t size);
struct inode *inode_new(const char *path, uint64_t size);
void inode_release(struct inode *inode);
void resize(struct inode *inode, uint64_t size);
void toggle_lock(struct inode *inode);
void step_file(void);

/* model_regions.c */
struct region *find_region(mmg_handle handle);
struct region *free_region(void);
mmg_handle some_handle(void);
void region_end(struct region *region);
uint64_t bytes_left(const struct region *region);
uint64_t lead(const struct region *region);
uint64_t first_missing_page(const struct region *region);
bool is_known_lost(const struct region *region, uint64_t offset, uint64_t length);
void learn_loss(struct region *region);
void sync_losses(struct region *region, bool may);

/* model_requests.c */
bool is_size_of(uint32_t size, uint32_t first);
uint32_t some_struct_size(uint32_t full);
uint32_t some_value(uint32_t known);
void make_request(struct request *request, uint64_t file_size, struct expected *expected);
void expect_of_file(const struct inode *inode, const mmg_options *meant, uint64_t start, bool streams,
                    struct expected *expected);
bool may_succeed(const struct expected *expected);
void make_complaint(struct complaint *complaint, struct expected *expected);
void check_complaint(const struct complaint *complaint, mmg_status status);

/* model_opening.c */
void check_promise(const struct region *region, const mmg_info *info);
void adopt_foreigner(mmg_handle handle, struct foreigner *f, uint64_t at, uint64_t size, bool by_path);
void step_open(void);
void step_close(void);

/* model_reading.c */
void describe_range(mmg_handle handle, const struct region *region, uint64_t offset, uint64_t length);
struct range some_range(const char *doing);
bool expect_range(const struct region *region, uint64_t offset, uint64_t *length, struct expected *expected);
void step_pin(void);
void step_export(void);
void step_unpin(void);
void step_touch(void);
void step_read(void);
void step_find(void);

/* model_state.c */
void step_check(void);
void step_info(void);
void step_changed(void);
void step_advise(void);
void step_resident(void);
void compare_stats(void);

/* model_foreign.c */
struct foreigner *some_foreigner(void);
void describe_foreigner(const struct foreigner *f, uint64_t at, uint64_t size);
void step_map_foreign(void);
void unmap_foreign(struct foreigner *f);
void step_unmap_foreign(void);
void step_guard(void);
uint64_t newest_loss(void);
void step_touch_foreign(void);

/* model_failures.c */
void step_handle_fault(void);
void step_memory_error(void);
void step_read_error(void);
void step_stream(void);

/* model_threads.c */
void on_some_thread(void (*step)(void));
void step_masked(void);
void step_fork(void);
void threads_start(void);
void threads_stop(void);

/* model_adoption.c */
void step_adopt(void);
void step_losses(void);
void step_stats(void);
void step_rest(void);

#endif
