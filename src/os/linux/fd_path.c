/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The one place that knows how /proc names a descriptor. Without snprintf(3), which is not async-signal-safe.
 */
#include "os/linux/fd_path.h"

#include <string.h>

const char *
mmgi_fd_path(int fd, struct fd_path *path)
{
    static const char folder[] = "/proc/thread-self/fd/";
    char digits[12];
    size_t count = 0, end = sizeof folder - 1;
    unsigned rest = fd < 0 ? 0 : (unsigned)fd; /* no descriptor is negative; such a path names nothing of use */

    memcpy(path->text, folder, end);
    do
        digits[count++] = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    while (count > 0)
        path->text[end++] = digits[--count];
    path->text[end] = '\0';
    return path->text;
}
