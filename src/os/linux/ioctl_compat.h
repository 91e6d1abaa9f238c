/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Casts the request of an ioctl(2) to the type that the C library declares: unsigned long in glibc, int in musl. The
 * kernel gets the same 32 bits.
 */
#ifndef MMGI_OS_LINUX_IOCTL_COMPAT_H
#define MMGI_OS_LINUX_IOCTL_COMPAT_H

#include <features.h>

#ifdef __GLIBC__
#define IOCTL_REQUEST(number) (number)
#else
#define IOCTL_REQUEST(number) ((int)(number))
#endif

#endif
