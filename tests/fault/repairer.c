/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A library whose handler repairs faults in one mapping by pages full of sevens. Every other fault ends the process. It
 * is built twice: with the name of a library that the guard knows as a repairer, and with an unknown name.
 */
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void repairer_install(uint8_t *start, size_t size);
unsigned repairer_calls(void);

static uint8_t *own;
static size_t own_size;
static volatile unsigned calls;

static void
handle(int signo, siginfo_t *info, void *context)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *address = info->si_addr;
    (void)context;
    calls = calls + 1;
    if (address < own || address >= own + own_size) {
        signal(signo, SIG_DFL);
        return;
    }
    uint8_t *fresh = own + (size_t)(address - own) / page * page;
    if (mmap(fresh, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == fresh) {
        memset(fresh, 7, page);
    }
}

void
repairer_install(uint8_t *start, size_t size)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO;
    own = start;
    own_size = size;
    sigaction(SIGBUS, &action, NULL);
}

unsigned
repairer_calls(void)
{
    return calls;
}
