/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The path under which /proc shows a descriptor of the calling thread. A thread may have a descriptor table of its own
 * (unshare(2), CLONE_FILES); /proc/self shows the main thread's table, /proc/thread-self that of the caller.
 */
#ifndef MMGI_OS_LINUX_FD_PATH_H
#define MMGI_OS_LINUX_FD_PATH_H

/** Room for the longest such path. */
struct fd_path {
    char text[40];
};

/** Writes the path of a descriptor and returns it. Async-signal-safe. */
const char *mmgi_fd_path(int fd, struct fd_path *path);

#endif
