/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The path under which /proc shows a descriptor of the calling thread. /proc/thread-self is used and not /proc/self,
 * since a thread may have a descriptor table of its own (unshare(2), CLONE_FILES), while /proc/self shows the table of
 * the main thread.
 */
#ifndef MMGI_OS_LINUX_FD_PATH_H
#define MMGI_OS_LINUX_FD_PATH_H

/** Memory for the longest such path. */
struct fd_path {
    char text[40];
};

/** Writes the path of a descriptor and returns it. Async-signal-safe. */
const char *mmgi_fd_path(int fd, struct fd_path *path);

#endif
