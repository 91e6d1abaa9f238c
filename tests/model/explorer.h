/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Runs a few threads in every order. The threads run the code of src/ itself, compiled with an atomic header that calls
 * model_point() before each access. A state is all that the threads share, together with their stacks and registers. From
 * each state the explorer lets each thread make its next access, and goes on from every state that is new.
 *
 * Memory is sequentially consistent here. What a processor may do beyond that, a model does not show.
 */
#ifndef MMAPGUARD_TESTS_MODEL_EXPLORER_H
#define MMAPGUARD_TESTS_MODEL_EXPLORER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_THREADS 3u

/** Threads that run against each other. */
struct model {
    const char *name;                     /* what must hold in every order */
    void (*begin)(void);                  /* puts the world into its first state */
    void (*threads[MODEL_THREADS])(void); /* NULL after the last */
    void (*end)(void);                    /* looks at the world when all threads have ended */
    const char *const *outcomes;          /* each of them must occur in some order; ends with NULL */
};

/** Memory that the threads share, and that belongs to a state. */
struct model_memory {
    void *start;
    size_t size;
};

/** What an exploration has found. */
struct model_result {
    uint64_t states, ends; /* different states, and those in which all threads have ended */
    const char *violation; /* NULL when no order breaks the model */
};

/**
 * Explores a model, up to its first violation. `memory` is everything that the threads write to, apart from their stacks;
 * a row without a start ends it. With `show_order` prints the order that breaks the model.
 */
struct model_result model_explore(const struct model *model, const struct model_memory *memory, bool show_order);

enum model_access {
    MODEL_READS,
    MODEL_WRITES
};

/** Stands before an access to shared memory: another thread may go on first. Memory outside the state may only be read. */
void model_point(const volatile void *address, enum model_access access, const char *file, int line);

/** Waits, as a loop that looks again would, until another thread writes to the word that this thread has read last. */
void model_yield(void);

/** Do what futex(2) does. A wait has no time-out here, so a wake-up that gets lost is a violation. */
void model_wait_on(_Atomic uint32_t *word, uint32_t value);
void model_wake(_Atomic uint32_t *word);

/**
 * Does what fork(2) does: the explorer goes on as the parent, and then as the child. Returns true in the child, which has
 * no thread but this one and those outside; the others have stopped wherever they were.
 */
bool model_fork(void);

/** Says that this thread belongs to another process, so that a fork leaves it running. */
void model_stand_outside(void);

/** Ends the execution with a violation when the condition does not hold. */
void model_require(bool condition, const char *text);
#define MODEL_REQUIRE(condition) model_require((condition), #condition)

/** Says that one of the outcomes of the model has occurred. */
void model_outcome(const char *outcome);

/**
 * The program of a set of models. Without arguments it explores each, and prints a violation with its order. With the
 * argument "--planted" the code has a planted fault, and the program fails unless a model finds it. Returns the exit code.
 */
int model_main(int argc, char **argv, const struct model *models, size_t count, const struct model_memory *memory);

#endif
