/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Makes the path under which /proc shows a descriptor. The code does not use snprintf(3), which is not
 * async-signal-safe.
 */
#include "os/linux/fd_path.h"

#include <string.h>

const char *
mmgi_fd_path(int fd, struct fd_path *path)
{
    static const char folder[] = "/proc/thread-self/fd/";
    char digits[12];
    size_t count = 0, end = sizeof folder - 1;
    unsigned rest = fd < 0 ? 0 : (unsigned)fd; /* descriptors are not negative */

    memcpy(path->text, folder, end);
    do
        digits[count++] = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    while (count > 0)
        path->text[end++] = digits[--count];
    path->text[end] = '\0';
    return path->text;
}
