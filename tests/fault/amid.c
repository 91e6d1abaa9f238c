/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The handler asks several questions about a foreign mapping. Here the answer changes amid the questions: the C library's
 * function by which the guard asks whether a page can be read is this program's own, and cuts, maps or grows a file first.
 */
#include <signal.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "foreign.h"

/** What happens at the question of this number, counted from 1. */
static struct {
    unsigned number;
    void (*happens)(void);
    unsigned asked;
} amid;

static const char *path;
static uint8_t *bytes;

ssize_t
process_vm_readv(pid_t process, const struct iovec *local, unsigned long locals, const struct iovec *remote,
                 unsigned long remotes, unsigned long flags)
{
    if (++amid.asked == amid.number) {
        amid.happens();
    }
    return syscall(SYS_process_vm_readv, process, local, locals, remote, remotes, flags);
}

static bool
cannot_run(void)
{
    return foreign_is_unsupported() || foreign_has_no_question();
}

/** Asks the guard about a fault in the sixth page, and has something happen amid its questions. Returns its answer. */
static int32_t
ask_amid(unsigned number, void (*happens)(void))
{
    siginfo_t info = check_fault(bytes + 5 * check_page());
    REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_FILES, 0), MMG_OK);
    amid.asked = 0;
    amid.number = number;
    amid.happens = happens;
    int32_t answer = mmg_handle_fault(SIGBUS, &info, NULL);
    amid.number = 0;
    REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_NONE, 0), MMG_OK);
    return answer;
}

static void
the_file_is_cut(void)
{
    check_truncate(path, check_page());
}

static void
the_file_grows(void)
{
    check_truncate(path, whole());
}

static void
a_cut_file_is_mapped(void)
{
    REQUIRE(munmap(bytes, whole()) == 0);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    REQUIRE(mmap(bytes, whole(), PROT_READ, MAP_SHARED | MAP_FIXED, descriptor, 0) == bytes);
    close(descriptor);
    check_truncate(path, check_page());
}

/** The page could be read at the size that the file had when the guard asked for it. */
static void
a_file_that_is_cut_again_is_cut(void)
{
    if (cannot_run()) {
        return;
    }
    path = check_file("amid", whole());
    bytes = foreign_map(path, PROT_READ, MAP_SHARED, whole(), 0);
    const uint64_t mark = ledger_mark();
    CHECK_I64(ask_amid(1, the_file_is_cut), 1);
    ledger_has_one(mark, MMG_E_TRUNCATED, path, check_page(), whole() - check_page());
    CHECK(check_is_zero(bytes + check_page(), whole() - check_page()));
    REQUIRE(munmap(bytes, whole()) == 0);
}

/** Nothing is lost: the first question says that the page is missing, the second that the last page is there. */
static void
a_file_that_grows_has_lost_nothing(void)
{
    if (cannot_run()) {
        return;
    }
    path = check_file("amid", whole());
    bytes = foreign_map(path, PROT_READ, MAP_SHARED, whole(), 0);
    check_truncate(path, check_page());
    const uint64_t mark = ledger_mark();
    CHECK_I64(ask_amid(2, the_file_grows), 1);
    CHECK_U64(ledger_mark(), mark);
    CHECK(check_is_pattern(bytes, 0, check_page()));
    REQUIRE(munmap(bytes, whole()) == 0);
}

/** At first there is memory, as after a loss that another thread has contained. */
static void
a_file_that_is_mapped_amid_is_guarded(void)
{
    if (cannot_run()) {
        return;
    }
    path = check_file("amid", whole());
    bytes = mmap(NULL, whole(), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(bytes != MAP_FAILED);
    const uint64_t mark = ledger_mark();
    CHECK_I64(ask_amid(1, a_cut_file_is_mapped), 1);
    ledger_has_one(mark, MMG_E_TRUNCATED, path, check_page(), whole() - check_page());
    CHECK(check_is_pattern(bytes, 0, check_page()));
    REQUIRE(munmap(bytes, whole()) == 0);
}

static const struct check_case cases[] = {
    {"a file that is cut again amid the questions is cut", a_file_that_is_cut_again_is_cut, 0},
    {"a file that grows amid the questions has lost nothing", a_file_that_grows_has_lost_nothing, 0},
    {"a file that is mapped amid the questions is guarded", a_file_that_is_mapped_amid_is_guarded, 0},
};

CHECK_MAIN(cases)
