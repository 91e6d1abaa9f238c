/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reads and changes the action of SIGBUS by rt_sigaction(2) and its relatives, without the C library. The struct of the
 * kernel has the same members on nearly all processors. On x86-64 the caller must provide the code to which a handler
 * returns; elsewhere the kernel provides it (vdso(7)).
 */
#include "os/signal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__mips__) || defined(__sparc__) || defined(__alpha__)
#error "this processor's Linux has a struct sigaction of its own, which nobody has described here yet"
#endif

#define MASK_SIZE 8u /* the size of a set of signals in bytes, an argument of rt_sigaction(2) */
#define BIT_OF(signo) (UINT64_C(1) << ((signo)-1))
/*
 * The mark of an action that this library made. C libraries use signals 32 and 33 themselves, and do not let a program
 * put them into a mask, so the mask of no other handler has them. The guard also needs them blocked while it handles a
 * fault, because they cancel a thread or change its user.
 */
#define MARK (BIT_OF(32) | BIT_OF(33))
#define RESTORER_FLAG 0x04000000ul /* SA_RESTORER, which C libraries do not show */

struct kernel_action {
    uintptr_t handler;
    unsigned long flags;
#if !defined(__riscv) && !defined(__loongarch__)
    uintptr_t restorer;
    unsigned long mask[MASK_SIZE / sizeof(unsigned long)];
#else
    unsigned long mask[MASK_SIZE / sizeof(unsigned long)];
    /* The kernel does not have this member. qemu-user 7.2 takes `mask` for a restorer and expects the mask here. So the
       code writes the mask to both, and joins both when it reads a mask. */
    unsigned long emulated_mask[MASK_SIZE / sizeof(unsigned long)];
#endif
};

#ifdef __x86_64__
/*
 * The code to which a handler returns. Its unwinding information says that the registers of the interrupted code are in
 * the context to which the stack pointer then points (struct ucontext; the numbers are the offsets of its registers).
 * So debuggers and C++ exceptions see the interrupted code. The information starts one byte early, since unwinders look
 * up the address before a return address. The instructions are those of the C library, since debuggers recognise them.
 */
#define REGISTER_AT(number, offset)                                                                                    \
    ".cfi_escape 0x10, " #number ", 3, 0x77, (" #offset " & 0x7f) | 0x80, " #offset " >> 7\n"
__asm__(".pushsection .text\n"
        ".p2align 4\n"
        ".cfi_startproc simple\n"
        ".cfi_signal_frame\n"
        ".cfi_escape 0x0f, 4, 0x77, 0xa0, 0x01, 0x06\n" /* the caller's stack pointer is at offset 160 */
        /* clang-format off */
        REGISTER_AT(8, 40) REGISTER_AT(9, 48) REGISTER_AT(10, 56) REGISTER_AT(11, 64) REGISTER_AT(12, 72)
        REGISTER_AT(13, 80) REGISTER_AT(14, 88) REGISTER_AT(15, 96) REGISTER_AT(5, 104) REGISTER_AT(4, 112)
        REGISTER_AT(6, 120) REGISTER_AT(3, 128) REGISTER_AT(1, 136) REGISTER_AT(0, 144) REGISTER_AT(2, 152)
        REGISTER_AT(7, 160) REGISTER_AT(16, 168)
        /* clang-format on */
        "nop\n"
        ".hidden mmgi_signal_restorer\n"
        ".globl mmgi_signal_restorer\n"
        ".type mmgi_signal_restorer, @function\n"
        "mmgi_signal_restorer:\n"
        "mov $15, %rax\n" /* rt_sigreturn */
        "syscall\n"
        ".size mmgi_signal_restorer, .-mmgi_signal_restorer\n"
        ".cfi_endproc\n"
        ".popsection\n");
void mmgi_signal_restorer(void) __attribute__((visibility("hidden")));
#endif

/* ------------------------------------------------------------------------------------------------------- actions -- */

static void
mask_to_words(uint64_t mask, unsigned long *words)
{
    for (size_t i = 0; i < MASK_SIZE / sizeof *words; i++)
        words[i] = (unsigned long)(mask >> (i * 8 * sizeof *words)); /* drops upper bits: one word at a time */
}

static uint64_t
mask_of_words(const unsigned long *words)
{
    uint64_t mask = 0;

    for (size_t i = 0; i < MASK_SIZE / sizeof *words; i++)
        mask |= (uint64_t)words[i] << (i * 8 * sizeof *words);
    return mask;
}

static int
exchange(const struct kernel_action *action, struct kernel_action *old)
{
    return syscall(SYS_rt_sigaction, SIGBUS, action, old, (size_t)MASK_SIZE) == 0 ? 0 : errno;
}

static struct signal_action
action_of(const struct kernel_action *kernel)
{
    uint64_t mask = mask_of_words(kernel->mask);

#if defined(__riscv) || defined(__loongarch__)
    mask |= mask_of_words(kernel->emulated_mask);
#endif
    return (struct signal_action){kernel->handler, kernel->flags & ~RESTORER_FLAG, mask};
}

int
mmgi_signal_action_get(struct signal_action *action)
{
    /* The struct is cleared, since in some sandboxes the call reports success and writes nothing. */
    struct kernel_action kernel = {0};
    int os_code = exchange(NULL, &kernel);

    *action = action_of(&kernel);
    return os_code;
}

int
mmgi_signal_action_swap(const struct signal_action *action, struct signal_action *old)
{
    struct kernel_action kernel = {0}, before = {0};

    kernel.handler = action->handler;
    kernel.flags = action->flags;
    mask_to_words(action->mask, kernel.mask);
#if defined(__riscv) || defined(__loongarch__)
    mask_to_words(action->mask, kernel.emulated_mask);
#endif
#ifdef __x86_64__
    kernel.flags |= RESTORER_FLAG;
    kernel.restorer = (uintptr_t)mmgi_signal_restorer;
#endif
    int os_code = exchange(&kernel, &before);
    if (old != NULL)
        *old = action_of(&before);
    return os_code;
}

void
mmgi_signal_action_make(signal_handler *handler, const struct signal_action *previous, struct signal_action *action)
{
    enum signal_action_kind kind = mmgi_signal_action_kind(previous);

    action->handler = (uintptr_t)handler;
    /* SA_NODEFER: a fault inside a predecessor is delivered as without the guard, and a predecessor that leaves by longjmp(3)
       leaves no signal blocked. */
    action->flags = SA_SIGINFO | SA_NODEFER;
    /* Go demands that handlers run on the alternate stack. But a previous handler that did not ask for it may need a
       larger stack. */
    if (kind != SIGNAL_ACTION_HANDLER || (previous->flags & SA_ONSTACK))
        action->flags |= SA_ONSTACK;
    /* A SIGBUS that was sent may interrupt a system call of the host. The guard restarts it where the previous action did, and
       also where the signal was ignored, since an ignored signal interrupts no call. */
    if (kind == SIGNAL_ACTION_IGNORE || (previous->flags & SA_RESTART))
        action->flags |= SA_RESTART;
    action->mask = MARK;
}

bool
mmgi_signal_action_may_change(void)
{
    struct kernel_action kernel = {0};

    if (exchange(NULL, &kernel) != 0)
        return false;
    /* The kernel first looks at the size of the mask, and refuses this one with EINVAL, so nothing changes. A sandbox that
       forbids new actions gives another answer. Valgrind takes any size; there the action takes its own place. */
    return syscall(SYS_rt_sigaction, SIGBUS, &kernel, NULL, (size_t)0) == 0 || errno == EINVAL;
}

int
mmgi_signal_action_reset(void)
{
    const struct signal_action action = {.handler = (uintptr_t)SIG_DFL};

    return mmgi_signal_action_swap(&action, NULL);
}

enum signal_action_kind
mmgi_signal_action_kind(const struct signal_action *action)
{
    if (action->handler == (uintptr_t)SIG_DFL)
        return SIGNAL_ACTION_DEFAULT;
    return action->handler == (uintptr_t)SIG_IGN ? SIGNAL_ACTION_IGNORE : SIGNAL_ACTION_HANDLER;
}

bool
mmgi_signal_action_equals(const struct signal_action *one, const struct signal_action *other)
{
    return one->handler == other->handler && one->flags == other->flags && one->mask == other->mask;
}

bool
mmgi_signal_action_is_marked(const struct signal_action *action)
{
    return mmgi_signal_action_kind(action) == SIGNAL_ACTION_HANDLER && (action->flags & SA_SIGINFO) != 0 &&
           action->mask == MARK;
}

bool
mmgi_signal_action_is_for_once(const struct signal_action *action)
{
    return (action->flags & (unsigned long)SA_RESETHAND) != 0;
}

signal_handler *
mmgi_signal_action_handler(const struct signal_action *action)
{
    return (signal_handler *)action->handler; /* the cast is safe: the number is the address of such a function */
}

/* --------------------------------------------------------------------------------------------------------- masks -- */

/* Changes the mask of this thread. Returns the mask before, or `otherwise` when the kernel refuses, as in a sandbox. */
static uint64_t
mask_change(int how, const uint64_t *mask, uint64_t otherwise)
{
    unsigned long words[MASK_SIZE / sizeof(unsigned long)] = {0}, before[MASK_SIZE / sizeof(unsigned long)] = {0};

    if (mask != NULL)
        mask_to_words(*mask, words);
    if (syscall(SYS_rt_sigprocmask, how, mask != NULL ? words : NULL, before, (size_t)MASK_SIZE) != 0)
        return otherwise;
    return mask_of_words(before);
}

/*
 * Returns the signal mask of the interrupted code. The first words of the C library's larger set are the set of the
 * kernel.
 */
static uint64_t
mask_of_context(const void *context)
{
    const ucontext_t *machine = context;
    unsigned long words[MASK_SIZE / sizeof(unsigned long)];

    memcpy(words, &machine->uc_sigmask, sizeof words);
    return mask_of_words(words);
}

void
mmgi_signal_block_on_return(void *context)
{
    ucontext_t *machine = context;
    unsigned long words[MASK_SIZE / sizeof(unsigned long)];

    mask_to_words(mask_of_context(context) | UINT64_C(1) << (SIGBUS - 1), words);
    memcpy(&machine->uc_sigmask, words, sizeof words); /* sigreturn(2) restores the mask from here */
}

void
mmgi_signal_action_call(const struct signal_action *action, int signo, void *info, void *context)
{
    const uint64_t before = mask_change(SIG_BLOCK, NULL, 0);
    uint64_t blocked = before;

    /* The signals of the mark are blocked for the guard only. This handler gets the state that they had when the signal
       came. */
    if (context != NULL)
        blocked = (before & ~MARK) | (mask_of_context(context) & MARK);
    blocked |= action->mask;
    if (!(action->flags & SA_NODEFER))
        blocked |= BIT_OF(SIGBUS);
    mask_change(SIG_SETMASK, &blocked, 0);
    if (action->flags & SA_SIGINFO)
        mmgi_signal_action_handler(action)(signo, info, context);
    else
        ((void (*)(int))action->handler)(signo);
    mask_change(SIG_SETMASK, &before, 0);
}

bool
mmgi_signal_is_blocked(void)
{
    return (mask_change(SIG_BLOCK, NULL, 0) & BIT_OF(SIGBUS)) != 0;
}

uint64_t
mmgi_signal_block_all(void)
{
    const uint64_t all = UINT64_MAX;

    return mask_change(SIG_SETMASK, &all, all); /* when nothing was blocked, nothing is let through afterwards */
}

void
mmgi_signal_unblock(uint64_t before)
{
    const uint64_t others = ~before;

    mask_change(SIG_UNBLOCK, &others, 0);
}

bool
mmgi_signal_ends_handler(const void *address)
{
#ifdef __x86_64__
    return (uintptr_t)address == (uintptr_t)mmgi_signal_restorer;
#else
    (void)address;
    return false;
#endif
}
