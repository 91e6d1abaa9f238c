/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Stands in for <stdatomic.h> where a file of src/ is compiled into a model. Before each atomic access the explorer may
 * let another thread go on. All threads of a model run on one thread of the system, so the access itself is plain. The
 * memory order is ignored: a model shows what sequential consistency allows.
 */
#ifndef MMAPGUARD_TESTS_MODEL_STDATOMIC_H
#define MMAPGUARD_TESTS_MODEL_STDATOMIC_H

/* The compiler treats its own header as one of the system, so it may use extensions. So may this one. */
#pragma GCC system_header

#include_next <stdatomic.h>

#include "explorer.h"

#undef atomic_load
#undef atomic_load_explicit
#undef atomic_store
#undef atomic_store_explicit
#undef atomic_exchange
#undef atomic_exchange_explicit
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak
#undef atomic_compare_exchange_weak_explicit
#undef atomic_fetch_add
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or_explicit
#undef atomic_fetch_or
#undef atomic_flag_test_and_set_explicit
#undef atomic_flag_clear
#undef atomic_flag_clear_explicit

/* A comma expression has the type of the object without _Atomic. */
#define MODEL_TYPE(object) __typeof__((void)0, *(object))
#define MODEL_POINT(object, access) model_point((const volatile void *)(object), (access), __FILE__, __LINE__)

#define atomic_load(object) (MODEL_POINT((object), MODEL_READS), *(object))
#define atomic_store(object, value)                                                                                    \
    __extension__({                                                                                                    \
        MODEL_TYPE(object) model_value = (value);                                                                      \
        MODEL_POINT((object), MODEL_WRITES);                                                                           \
        *(object) = model_value;                                                                                       \
    })
/* Replaces the value of an object by an expression in `model_old`. Returns the old value. */
#define MODEL_EXCHANGE(object, expression)                                                                             \
    __extension__({                                                                                                    \
        MODEL_POINT((object), MODEL_WRITES);                                                                           \
        MODEL_TYPE(object) model_old = *(object);                                                                      \
        *(object) = (expression);                                                                                      \
        model_old;                                                                                                     \
    })
#define atomic_exchange(object, value) MODEL_EXCHANGE((object), (value))
#define atomic_fetch_add(object, value) MODEL_EXCHANGE((object), model_old + (value))
#define atomic_fetch_sub(object, value) MODEL_EXCHANGE((object), model_old - (value))
#define atomic_fetch_or(object, value) MODEL_EXCHANGE((object), model_old | (value))
#define atomic_compare_exchange_strong(object, expected, value)                                                        \
    __extension__({                                                                                                    \
        MODEL_POINT((object), MODEL_WRITES);                                                                           \
        MODEL_TYPE(object) model_old = *(object);                                                                      \
        _Bool model_same = model_old == *(expected);                                                                   \
        if (model_same)                                                                                                \
            *(object) = (value);                                                                                       \
        else                                                                                                           \
            *(expected) = model_old;                                                                                   \
        model_same;                                                                                                    \
    })
/* Every caller loops around a weak exchange, so a failure without a reason would only repeat what was explored. */
#define atomic_compare_exchange_weak atomic_compare_exchange_strong

#define atomic_load_explicit(object, order) ((void)(order), atomic_load(object))
#define atomic_store_explicit(object, value, order) ((void)(order), atomic_store((object), (value)))
#define atomic_exchange_explicit(object, value, order) ((void)(order), atomic_exchange((object), (value)))
#define atomic_fetch_add_explicit(object, value, order) ((void)(order), atomic_fetch_add((object), (value)))
#define atomic_fetch_sub_explicit(object, value, order) ((void)(order), atomic_fetch_sub((object), (value)))
#define atomic_fetch_or_explicit(object, value, order) ((void)(order), atomic_fetch_or((object), (value)))
#define atomic_compare_exchange_strong_explicit(object, expected, value, order, other)                                 \
    ((void)(order), (void)(other), atomic_compare_exchange_strong((object), (expected), (value)))
#define atomic_compare_exchange_weak_explicit atomic_compare_exchange_strong_explicit

#define atomic_flag_test_and_set_explicit(flag, order)                                                                 \
    (MODEL_POINT((flag), MODEL_WRITES), __atomic_test_and_set((flag), __ATOMIC_SEQ_CST))
#define atomic_flag_clear(flag) (MODEL_POINT((flag), MODEL_WRITES), __atomic_clear((flag), __ATOMIC_SEQ_CST))
#define atomic_flag_clear_explicit(flag, order) ((void)(order), atomic_flag_clear(flag))

#endif
