/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The names and words of statuses and of the other enumerations. All strings are static, so the functions
 * here can answer any number.
 */
#include "base/status.h"

#include <errno.h>
#include <stddef.h>

#define ASSERT_NUMBER(name, number, text) _Static_assert((name) == (number), #name " must keep its number");
STATUS_REGISTRY(ASSERT_NUMBER)

const char *
mmg_status_name(mmg_status status)
{
    switch (status) {
#define NAME_CASE(name, number, text)                                                                                  \
    case number:                                                                                                       \
        return #name;
        STATUS_REGISTRY(NAME_CASE)
    default:
        return "MMG_E_UNKNOWN";
    }
}

const char *
mmg_status_message(mmg_status status)
{
    switch (status) {
#define MESSAGE_CASE(name, number, text)                                                                               \
    case number:                                                                                                       \
        return text;
        STATUS_REGISTRY(MESSAGE_CASE)
    default:
        return "unknown status";
    }
}

mmg_status
mmgi_status_from_errno(int os_code)
{
    switch (os_code) {
    case ENOENT:
    case ENOTDIR:
        return MMG_E_NOT_FOUND;
    case EACCES:
    case EPERM:
        return MMG_E_PERMISSION;
    case EISDIR:
    case ENXIO: /* open(2): a socket, or a device that is not there */
    case ENODEV:
        return MMG_E_NOT_MAPPABLE;
    case EBADF:
    case EFAULT:
    case EINVAL:
    case ENAMETOOLONG:
        return MMG_E_ARGUMENT;
    case EMFILE:
    case ENFILE:
        return MMG_E_LIMIT;
    case ENOMEM:
        return MMG_E_NO_MEMORY;
    case EFBIG:
    case EOVERFLOW:
        return MMG_E_TOO_BIG;
    case EIO:
    case EREMOTEIO:
    case ENOTCONN: /* a FUSE daemon that is gone */
    case ESTALE:
        return MMG_E_IO;
    case EHWPOISON:
        return MMG_E_POISONED;
    case EWOULDBLOCK:
        return MMG_E_WOULD_BLOCK;
    case ENOTSUP: /* the platform, or this kind of file */
        return MMG_E_UNSUPPORTED;
    default:
        return MMG_E_SYSTEM;
    }
}

mmg_status
mmgi_status_of_contents(int os_code)
{
    switch (os_code) {
    case EBADF: /* these three are mistakes of this process; the contents of the file may be fine */
    case EFAULT:
    case EINVAL:
        return MMG_E_SYSTEM;
    case EHWPOISON:
        return MMG_E_POISONED;
    default:
        /* Any other errno of a file system or its server. A read of the same bytes through the mapping would be a fault,
           which carries no errno and counts as an error of the device. So both ways report the same status. */
        return MMG_E_IO;
    }
}

static const char *const backing_terms[] = {"auto", "map", "copy", "adopted"};
static const char *const reason_terms[] = {"asked for",
                                           "small file",
                                           "above the copy threshold",
                                           "empty",
                                           "stream",
                                           "virtual file",
                                           "mapping refused by the file system",
                                           "shared mapping refused by the file system",
                                           "stable bytes demanded",
                                           "fault guard not available",
                                           "block device",
                                           "no room for a mapping"};
static const char *const guarantee_terms[] = {"none", "contained", "stable"};
static const char *const means_terms[] = {"none",  "fault guard", "copy",    "sealed", "read-only medium",
                                          "lease", "reflink",     "snapshot"};
static const char *const shortfall_terms[] = {"none",
                                              "not asked for",
                                              "fault guard switched off by the caller",
                                              "fault guard switched off by the environment",
                                              "over the cap when the lease broke",
                                              "out of time when the lease broke",
                                              "no room when the lease broke or a mapping changed by its owner",
                                              "unreadable when the lease broke",
                                              "lease of the parent process",
                                              "bytes were lost",
                                              "another handler is on top of the fault guard",
                                              "the fault signal is blocked in this thread"};
static const char *const lock_terms[] = {"auto", "shared", "ofd", "none"};
static const char *const locking_terms[] = {"held",
                                            "not asked for",
                                            "not needed",
                                            "a lock here would be mandatory",
                                            "a lock here could hang",
                                            "a lock here is not local",
                                            "no such lock here",
                                            "a lock here would be the lock of the caller"};
static const char *const guard_terms[] = {"none", "top", "displaced", "refused", "blocked", "disabled"};
/* The index is the bit itself, since the bits are small. Other elements stay NULL. */
static const char *const changed_terms[] = {[MMG_CHANGED_SIZE] = "size",
                                            [MMG_CHANGED_MTIME] = "mtime",
                                            [MMG_CHANGED_CTIME] = "ctime",
                                            [MMG_CHANGED_PATH] = "path"};
static const char *const except_terms[] = {[MMG_EXCEPT_READ_ONLY_TRUNCATION] = "truncation by a read-only open",
                                           [MMG_EXCEPT_PINNED_PAGES] = "stores into pages pinned before the lease"};

static const char *const origin_terms[] = {"own", "adopted", "foreign"};

#define TERMS(list)                                                                                                    \
    {                                                                                                                  \
        (list), sizeof(list) / sizeof((list)[0])                                                                       \
    }

static const struct {
    const char *const *words;
    size_t count;
} vocabularies[] = {
    [MMG_TERM_BACKING] = TERMS(backing_terms),     [MMG_TERM_REASON] = TERMS(reason_terms),
    [MMG_TERM_GUARANTEE] = TERMS(guarantee_terms), [MMG_TERM_MEANS] = TERMS(means_terms),
    [MMG_TERM_SHORTFALL] = TERMS(shortfall_terms), [MMG_TERM_LOCK] = TERMS(lock_terms),
    [MMG_TERM_GUARD] = TERMS(guard_terms),         [MMG_TERM_CHANGED] = TERMS(changed_terms),
    [MMG_TERM_LOCKING] = TERMS(locking_terms),     [MMG_TERM_EXCEPT] = TERMS(except_terms),
    [MMG_TERM_ORIGIN] = TERMS(origin_terms),
};

const char *
mmg_term(uint32_t vocabulary, uint32_t value)
{
    if (vocabulary >= sizeof(vocabularies) / sizeof(vocabularies[0]) || value >= vocabularies[vocabulary].count ||
        vocabularies[vocabulary].words[value] == NULL)
        return "unknown";
    return vocabularies[vocabulary].words[value];
}
