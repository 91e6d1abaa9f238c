/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Helper for tests whose program stands in for functions of src/ (CMakeLists.txt). A plan says what the next calls of such a
 * function return, in their order. Later calls go to the function itself. So a test reaches for sure what the kernel or another
 * thread brings about only rarely.
 */
#ifndef MMAPGUARD_TESTS_STANDING_IN_H
#define MMAPGUARD_TESTS_STANDING_IN_H

#include <limits.h>
#include <stdatomic.h>
#include <string.h>

#include "check.h"

/** A planned call that goes to the function itself. */
#define GO_ON INT_MIN
#define PLAN_ROOM 32

struct plan {
    int results[PLAN_ROOM];
    unsigned count;
    atomic_uint calls;       /**< since the plan was made, by all threads */
    void (*meanwhile)(void); /**< what another thread does during the call of this number, counted from 1 */
    unsigned meanwhile_at;
};

/** Counts a call. Returns true when the plan says what the call returns, which is stored in `*result`. */
static inline bool
plan_next(struct plan *plan, int *result)
{
    const unsigned call = atomic_fetch_add(&plan->calls, 1);
    if (plan->meanwhile != NULL && call + 1 == plan->meanwhile_at) {
        plan->meanwhile();
    }
    *result = call < plan->count ? plan->results[call] : GO_ON;
    return *result != GO_ON;
}

static inline void
plan_make(struct plan *plan, const int *results, size_t count)
{
    REQUIRE(count <= PLAN_ROOM);
    *plan = (struct plan){.count = (unsigned)count};
    memcpy(plan->results, results, count * sizeof *results);
}

/** Plans what the next calls return: at least one. The calls are counted anew. */
#define PLAN(name, ...)                                                                                                \
    plan_make(&name##_plan, (const int[]){__VA_ARGS__}, sizeof(const int[]){__VA_ARGS__} / sizeof(int))
/** Plans that another thread does something during the n-th call, which goes to the function itself. */
#define PLAN_MEANWHILE(name, nth, other) (name##_plan = (struct plan){.meanwhile = (other), .meanwhile_at = (nth)})
/** Returns how often the function was called since it had a plan. */
#define CALLS(name) (name##_plan.calls)

/* Declares the plan `NAME_plan`, and the function under the two names that the linker gives it. */
#define STANDING_IN(type, name, parameters)                                                                            \
    static struct plan name##_plan;                                                                                    \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;

/** Stands in for a function that returns a number. */
#define STANDS_IN(type, name, parameters, arguments)                                                                   \
    STANDING_IN(type, name, parameters)                                                                                \
    type __wrap_##name parameters                                                                                      \
    {                                                                                                                  \
        int result;                                                                                                    \
        return plan_next(&name##_plan, &result) ? (type)result : __real_##name arguments;                              \
    }

/** Stands in for a function that returns memory. A planned call returns NULL. */
#define STANDS_IN_FOR_MEMORY(type, name, parameters, arguments)                                                        \
    STANDING_IN(type, name, parameters)                                                                                \
    type __wrap_##name parameters                                                                                      \
    {                                                                                                                  \
        int result;                                                                                                    \
        return plan_next(&name##_plan, &result) ? NULL : __real_##name arguments;                                      \
    }

/** Stands in for a function that returns nothing. A planned call does nothing. */
#define STANDS_IN_SILENTLY(name, parameters, arguments)                                                                \
    STANDING_IN(void, name, parameters)                                                                                \
    void __wrap_##name parameters                                                                                      \
    {                                                                                                                  \
        int result;                                                                                                    \
        if (!plan_next(&name##_plan, &result)) {                                                                       \
            __real_##name arguments;                                                                                   \
        }                                                                                                              \
    }

#endif
