/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Probes for tracers such as bpftrace, SystemTap and perf: three moments of the library, each with a name and arguments.
 * A probe is one instruction that does nothing, and a note in the object that says where the instruction is. Without
 * sys/sdt.h (Debian: systemtap-sdt-dev), or with MMAPGUARD_PROBES off, the library has no probe.
 *
 *     bpftrace -e 'usdt:libmmapguard.so.1:mmapguard:contained { printf("%d: %d bytes at %d\n", arg0, arg5, arg4); }'
 */
#ifndef MMGI_BASE_PROBES_H
#define MMGI_BASE_PROBES_H

#ifdef MMAPGUARD_PROBES
#include <sys/sdt.h>

#ifdef __clang__
/* The macros of sys/sdt.h pass nothing for the dots of a macro, which Clang notes where they are used. */
#pragma clang diagnostic ignored "-Wgnu-zero-variadic-macro-arguments"
#endif

/** A loss was recorded: its cause (MMG_E_...), its origin (MMG_ORIGIN_...), the file, and the lost bytes of the file. */
#define PROBE_CONTAINED(cause, origin, device, inode, offset, length)                                                  \
    DTRACE_PROBE6(mmapguard, contained, cause, origin, device, inode, offset, length)

/** A writer has broken the leases of a file. */
#define PROBE_LEASE_BREAK(device, inode) DTRACE_PROBE2(mmapguard, lease_break, device, inode)

/** A snapshot was taken for STABLE: how many bytes were copied, 0 for a reflink. */
#define PROBE_SNAPSHOT(bytes) DTRACE_PROBE1(mmapguard, snapshot, bytes)

#else
#define PROBE_CONTAINED(cause, origin, device, inode, offset, length) ((void)0)
#define PROBE_LEASE_BREAK(device, inode) ((void)0)
#define PROBE_SNAPSHOT(bytes) ((void)0)
#endif

#endif
