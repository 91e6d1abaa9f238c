/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The works that can be measured. Each prints its lines (measure.h) and returns whether it could run at all.
 */
#ifndef MMAPGUARD_BENCH_WORKS_H
#define MMAPGUARD_BENCH_WORKS_H

#include <stdbool.h>
#include <stdint.h>

/* The folder of the files, and their highest size, set once from the command line. */
extern const char *work_directory;
extern uint64_t work_most_bytes;

/*
 * Make a file of `size` random-looking bytes in the work directory, which is then in the page cache. Returns false with
 * errno set when this fails.
 */
bool make_file(const char *name, uint64_t size, char *path, uint64_t path_size);

bool work_open(void);       /* W1: open, touch all, close */
bool work_held(void);       /* the same with 200 files held open */
bool work_page(void);       /* the same with one page touched */
bool work_find(void);       /* searches */
bool work_contain(void);    /* from the touch of a lost page to the recovery, among up to 60 000 mappings */
bool work_memory(void);     /* W6: bytes for a live handle, and closing one among many */
bool work_survival(void);   /* W14: which contender survives which change */
bool work_threshold(void);  /* W1 for a copy and for a mapping, whatever the copy threshold */
bool work_scan(void);       /* W3: sequential scans */
bool work_guard(void);      /* a scan with containment armed and off */
bool work_storm(void);      /* W7: open and close from several threads */
bool work_pin(void);        /* pin + unpin */
bool work_truncation(void); /* from the touch of a lost page to the recovery, under a map of 100 GB */
bool work_losses(void);     /* the same for one of 60 000 mappings */
bool work_foreign(void);    /* the same for a mapping that other code has made */
bool work_cold(void);       /* sequential scans of a file that is not in the page cache */
bool work_serve(void);      /* answers the requests that other languages get as well; see serve_work.c */

/* Make an event of the survival table happen to a file. Returns false when no event has this name. */
bool survival_event(const char *name, const char *path);

#endif
