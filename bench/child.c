/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Child processes that take turns with this one; see child.h.
 */
#include "child.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct order {
    char what;
    unsigned int count;
};

static void
serve(child_work work, void *context, int in, int out)
{
    struct order order;
    while (read(in, &order, sizeof order) == (ssize_t)sizeof order) {
        double *numbers = calloc(order.count, sizeof *numbers);
        const ssize_t size = (ssize_t)(order.count * sizeof *numbers);
        if (numbers == NULL || !work(context, order.what, numbers, order.count) ||
            write(out, numbers, (size_t)size) != size)
            _exit(1);
        free(numbers);
    }
    _exit(0);
}

bool
child_start(struct child *child, child_work work, void *context)
{
    int orders[2], answers[2];
    if (pipe(orders) != 0 || pipe(answers) != 0)
        return false;
    child->id = fork();
    if (child->id == 0) {
        close(orders[1]);
        close(answers[0]);
        serve(work, context, orders[0], answers[1]);
    }
    close(orders[0]);
    close(answers[1]);
    child->orders = orders[1];
    child->answers = answers[0];
    return child->id > 0;
}

bool
child_ask(const struct child *child, char order, double *numbers, unsigned int count)
{
    const struct order given = {order, count};
    const ssize_t size = (ssize_t)(count * sizeof *numbers);
    ssize_t got = 0;
    if (write(child->orders, &given, sizeof given) != (ssize_t)sizeof given)
        return false;
    while (got < size) {
        const ssize_t more = read(child->answers, (char *)numbers + got, (size_t)(size - got));
        if (more <= 0)
            return false;
        got += more;
    }
    return true;
}

int
child_end(struct child *child)
{
    int status = -1;
    close(child->orders);
    close(child->answers);
    waitpid(child->id, &status, 0);
    return status;
}
