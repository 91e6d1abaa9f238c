/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reads what the kernel tells a handler: the cause of the signal, and where the interrupted code stood. The names of the
 * registers differ between processors.
 */
#include "os/signal.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* The two registers of the interrupted code, by the names that a processor has for them in the context of a signal. */
#if defined(__x86_64__)
#define STACK_POINTER gregs[REG_RSP]
#define NEXT_INSTRUCTION gregs[REG_RIP]
#elif defined(__i386__)
#define STACK_POINTER gregs[REG_ESP]
#define NEXT_INSTRUCTION gregs[REG_EIP]
#elif defined(__aarch64__)
#define STACK_POINTER sp
#define NEXT_INSTRUCTION pc
#elif defined(__arm__)
#define STACK_POINTER arm_sp
#define NEXT_INSTRUCTION arm_pc
#elif defined(__riscv)
#define STACK_POINTER __gregs[2]
#define NEXT_INSTRUCTION __gregs[0]
#elif defined(__s390x__)
#define STACK_POINTER gregs[15]
#define NEXT_INSTRUCTION psw.addr
#elif defined(__powerpc64__)
#define STACK_POINTER gp_regs[1]
#define NEXT_INSTRUCTION gp_regs[32]
#endif

/* Returns a register of a context; 0 where there is no context, or the processor is unknown. */
#ifdef STACK_POINTER
#define REGISTER(context, name) ((context) == NULL ? 0 : (uintptr_t)((const ucontext_t *)(context))->uc_mcontext.name)
#else
#define REGISTER(context, name) ((void)(context), (uintptr_t)0)
#endif

#define MASK_SIZE ((size_t)8) /* the size of a set of signals in bytes, an argument of rt_sigprocmask(2) */

/*
 * Returns how many bytes the hardware has lost, when the kernel says which bit of the address is the lowest valid one. Any
 * process may send a signal with any number, so the number is not trusted.
 */
static size_t
poisoned_by(int lowest_bit)
{
    const int most = (int)sizeof(size_t) * CHAR_BIT - 1;

    return (size_t)1 << (lowest_bit < 0 ? 0 : lowest_bit > most ? most : lowest_bit);
}

void
mmgi_signal_describe(int signo, const void *about, struct signal_report *report)
{
    const siginfo_t *info = about;

    *report = (struct signal_report){.cause = SIGNAL_CAUSE_OTHER};
    if (signo != SIGBUS || info == NULL)
        return;
    if (info->si_code == BUS_ADRERR || info->si_code == BUS_OBJERR) {
        report->cause = SIGNAL_CAUSE_PAGE;
        report->address = info->si_addr;
    } else if (info->si_code == BUS_MCEERR_AR) {
        report->cause = SIGNAL_CAUSE_POISON;
        report->address = info->si_addr;
        report->poisoned = poisoned_by(info->si_addr_lsb);
    } else if ((info->si_code == SI_TKILL || info->si_code == SI_USER || info->si_code == SI_QUEUE) &&
               info->si_pid == getpid()) {
        report->cause = SIGNAL_CAUSE_RAISED;
    }
}

bool
mmgi_signal_is_synchronous(const void *about)
{
    const siginfo_t *info = about;

    return info->si_code > 0 && info->si_code != BUS_MCEERR_AO;
}

void
mmgi_signal_send_again(void *info)
{
    /* rt_tgsigqueueinfo(2) lets a thread send itself any siginfo, so the handler still sees the first sender. */
    syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), SIGBUS, info);
}

uintptr_t
mmgi_signal_delivery(void *context, uintptr_t fresh)
{
    ucontext_t *machine = context;

    if (machine == NULL)
        return 0;
    /* The kernel sets uc_link to NULL when it makes the frame of a signal, and sigreturn(2) ignores it. */
    if (machine->uc_link == NULL)
        machine->uc_link = (ucontext_t *)fresh; /* a number, which no code follows */
    return (uintptr_t)machine->uc_link;
}

uintptr_t
mmgi_signal_stack_pointer(const void *context)
{
    return REGISTER(context, STACK_POINTER);
}

uintptr_t
mmgi_signal_next_instruction(const void *context)
{
    return REGISTER(context, NEXT_INSTRUCTION);
}

/* Sanitizers must not check this read: the word may be in a stack frame that has ended, or between two variables. */
__attribute__((noinline))
#if defined(__has_attribute)
#if __has_attribute(no_sanitize)
__attribute__((no_sanitize("address", "thread", "undefined")))
#endif
#endif
bool
mmgi_signal_peek(uintptr_t address, uintptr_t *word)
{
    /* The kernel reads the set before it looks at `how`, and refuses the value -1. So the call changes nothing, and
       tells whether the address can be read. */
    if (address % sizeof *word != 0 || (syscall(SYS_rt_sigprocmask, -1, address, NULL, MASK_SIZE), errno) != EINVAL)
        return false;
    *word = *(const volatile uintptr_t *)address; /* safe: the kernel has just read the word */
    return true;
}
