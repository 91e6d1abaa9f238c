/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The explorer. Each thread of a model is a context with a stack of its own, and the explorer itself is one more. A thread
 * that comes to an access goes back to the explorer. The explorer keeps the states of the path that it is on, and the
 * hashes of all states that it has seen.
 */
#include "explorer.h"
#include "hash_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define MAX_STEPS 1000u
#define STACK_SIZE (32u * 1024u)
#define NOBODY MODEL_THREADS

/* What keeps a thread from going on. */
enum waiting {
    WAITING_NOT,
    WAITING_FOR_NEWS,
    WAITING_FOR_WAKE
};

/* A thread between two accesses. All of it belongs to the state, together with the live part of the stack. */
struct thread {
    const volatile void *address; /* of the next access; NULL before the first one */
    const volatile void *before;  /* of the last access */
    enum model_access access;     /* the next one */
    const char *file;
    int line;
    enum waiting waiting;
    bool has_news; /* another thread has written to `before` since */
    bool has_ended;
    bool is_forking; /* the next step may be that of a parent, or that of a child */
    bool is_child;
    bool is_outside; /* of the process that forks */
    size_t depth;    /* bytes of the stack in use */
    ucontext_t context;
};

/* A state of the path. */
struct step {
    void *copy;
    unsigned untried; /* threads that could go on from here and have not yet, as bits; the bits of children are above */
    unsigned chosen;
    const char *file;
    int line;
    const volatile void *address;
};

static struct thread threads[MODEL_THREADS];
static _Alignas(64) char stacks[MODEL_THREADS][STACK_SIZE];
static unsigned thread_count, current = NOBODY;
static ucontext_t explorer;
static const struct model *model_now;
static const struct model_memory *memory_now;
static const char *violation;
static struct step path[MAX_STEPS];
static unsigned steps;

static _Noreturn void
give_up(const char *text)
{
    fprintf(stderr, "%s\n", text);
    abort();
}

/* ------------------------------------------------------------------------------------------------------ states -- */

/* Calls a function for each piece of the state. */
static void
each_piece(void (*use)(void *start, size_t size, void *argument), void *argument)
{
    for (const struct model_memory *piece = memory_now; piece->start != NULL; piece++)
        use(piece->start, piece->size, argument);
    use(threads, sizeof threads, argument);
    for (unsigned i = 0; i < thread_count; i++)
        if (!threads[i].has_ended)
            use(stacks[i] + STACK_SIZE - threads[i].depth, threads[i].depth, argument);
}

static void
piece_measure(void *start, size_t size, void *argument)
{
    (void)start;
    *(size_t *)argument += size;
}

static void
piece_keep(void *start, size_t size, void *argument)
{
    char **place = argument;

    memcpy(*place, start, size);
    *place += size;
}

static void
piece_bring_back(void *start, size_t size, void *argument)
{
    const char **place = argument;

    memcpy(start, *place, size);
    *place += size;
}

static void
piece_hash(void *start, size_t size, void *argument)
{
    uint64_t *hash = argument;

    *hash = hash_mix(*hash, start, size);
}

static void *
state_copy(void)
{
    size_t size = 0;

    each_piece(piece_measure, &size);
    char *copy = malloc(size), *place = copy;
    if (copy == NULL)
        give_up("a model needs more memory");
    each_piece(piece_keep, &place);
    return copy;
}

/* Brings a state back. The threads come first: they say how much of each stack there is. */
static void
state_restore(const void *copy)
{
    const char *place = copy;

    for (const struct model_memory *piece = memory_now; piece->start != NULL; piece++)
        place += piece->size;
    memcpy(threads, place, sizeof threads);
    place = copy;
    each_piece(piece_bring_back, &place);
}

/* Returns true when the world was never in this state before. */
static bool
state_is_new(void)
{
    uint64_t hash = 1;

    each_piece(piece_hash, &hash);
    return hash_set_insert(hash);
}

/* --------------------------------------------------------------------------------------------------------- threads -- */

/* Goes back to the explorer. Returns when this thread goes on. */
static __attribute__((noinline)) void
pause_here(void)
{
    swapcontext(&threads[current].context, &explorer);
}

/* Notes how much of the stack of a thread is in use. */
static void
measure_stack(unsigned number)
{
#if defined(__x86_64__)
    const char *top = (const char *)threads[number].context.uc_mcontext.gregs[REG_RSP];
#else
    const char *top = stacks[number]; /* all of it: slower, and as good */
#endif
    threads[number].depth = (size_t)(stacks[number] + STACK_SIZE - top) / 8 * 8 + 8;
}

static void
thread_main(void)
{
    model_now->threads[current]();
    threads[current].has_ended = true;
    pause_here();
}

static unsigned
threads_that_can_go_on(void)
{
    unsigned ready = 0;

    for (unsigned i = 0; i < thread_count; i++) {
        const struct thread *thread = &threads[i];
        if (!thread->has_ended && thread->waiting != WAITING_FOR_WAKE &&
            (thread->waiting != WAITING_FOR_NEWS || thread->has_news))
            ready |= (thread->is_forking ? 1u | 1u << MODEL_THREADS : 1u) << i;
    }
    return ready;
}

/* Lets a thread make its next access, and go on to the access after that. The child of a fork has no other thread. */
static void
make_step(unsigned number, bool as_child)
{
    struct thread *thread = &threads[number];

    for (unsigned i = 0; i < thread_count; i++)
        threads[i].has_ended |= as_child && i != number && !threads[i].is_outside;
    thread->is_child = as_child;
    for (unsigned i = 0; i < thread_count; i++)
        if (i != number && threads[i].before == thread->address && thread->access == MODEL_WRITES)
            threads[i].has_news = true;
    thread->waiting = WAITING_NOT;
    thread->has_news = false;
    thread->before = thread->address;
    current = number;
    swapcontext(&explorer, &thread->context);
    current = NOBODY;
    measure_stack(number);
}

static void
start_threads(void)
{
    memset(threads, 0, sizeof threads);
    memset(stacks, 0, sizeof stacks);
    for (unsigned i = 0; i < thread_count; i++) {
        ucontext_t *context = &threads[i].context;
        getcontext(context);
        context->uc_stack.ss_sp = stacks[i];
        context->uc_stack.ss_size = STACK_SIZE;
        context->uc_link = NULL;
        makecontext(context, thread_main, 0);
        measure_stack(i);
    }
}

/* ---------------------------------------------------------------------------------------- what the threads can call -- */

static void
come_to(const volatile void *address, enum model_access access, const char *file, int line)
{
    struct thread *self = &threads[current];

    self->address = address;
    self->access = access;
    self->file = file;
    self->line = line;
    pause_here();
}

void
model_point(const volatile void *address, enum model_access access, const char *file, int line)
{
    if (current == NOBODY)
        return; /* the world is being made or looked at */
    for (const struct model_memory *piece = memory_now; piece->start != NULL; piece++)
        if ((uintptr_t)address - (uintptr_t)piece->start < piece->size) {
            come_to(address, access, file, line);
            return;
        }
    if (access == MODEL_WRITES)
        give_up("a thread writes to memory that does not belong to the state");
}

void
model_yield(void)
{
    threads[current].waiting = WAITING_FOR_NEWS;
    come_to(threads[current].before, MODEL_READS, "model_yield", 0);
}

void
model_wait_on(_Atomic uint32_t *word, uint32_t value)
{
    come_to(word, MODEL_WRITES, "model_wait_on", 0);
    if (*word != value)
        return;
    threads[current].waiting = WAITING_FOR_WAKE;
    come_to(word, MODEL_WRITES, "model_wait_on", 1);
}

void
model_wake(_Atomic uint32_t *word)
{
    come_to(word, MODEL_WRITES, "model_wake", 0);
    for (unsigned i = 0; i < thread_count; i++)
        if (threads[i].waiting == WAITING_FOR_WAKE && threads[i].address == word)
            threads[i].waiting = WAITING_NOT;
}

bool
model_fork(void)
{
    struct thread *self = &threads[current];

    self->is_forking = true;
    come_to(NULL, MODEL_READS, "model_fork", 0);
    self->is_forking = false;
    return self->is_child;
}

void
model_stand_outside(void)
{
    threads[current].is_outside = true;
}

void
model_require(bool condition, const char *text)
{
    if (condition)
        return;
    violation = text;
    if (current != NOBODY)
        pause_here(); /* for ever */
}

/* ------------------------------------------------------------------------------------------------- the exploration -- */

/* Looks at a state from which no thread can go on. */
static void
judge_end(void)
{
    for (unsigned i = 0; i < thread_count; i++)
        if (!threads[i].has_ended)
            violation = threads[i].waiting == WAITING_FOR_WAKE ? "a thread sleeps for ever" : "a thread spins for ever";
    if (violation == NULL)
        model_now->end();
}

static void
print_order(void)
{
    for (unsigned at = steps > 200 ? steps - 200 : 0; at < steps; at++) {
        const char *name = path[at].file != NULL ? strrchr(path[at].file, '/') : NULL;
        if (path[at].file != NULL)
            printf("    thread %u  %s:%d  %p\n", path[at].chosen, name != NULL ? name + 1 : path[at].file,
                   path[at].line, (const void *)(uintptr_t)path[at].address);
    }
}

/* Goes on from the last state of the path with the next thread that was not tried there. */
static void
try_next(struct step *step)
{
    step->chosen = (unsigned)__builtin_ctz(step->untried);
    step->untried &= step->untried - 1;
    state_restore(step->copy);
    const bool as_child = step->chosen >= MODEL_THREADS;
    step->chosen %= MODEL_THREADS;
    step->file = threads[step->chosen].file;
    step->line = threads[step->chosen].line;
    step->address = threads[step->chosen].address;
    make_step(step->chosen, as_child);
}

static void
explore_from_here(struct model_result *result)
{
    for (;;) {
        const unsigned ready = threads_that_can_go_on();
        if (violation == NULL && state_is_new()) {
            result->states++;
            if (ready == 0) {
                result->ends++;
                judge_end();
            } else if (steps == MAX_STEPS) {
                violation = "the threads never come to an end";
            } else {
                path[steps++] = (struct step){.copy = state_copy(), .untried = ready};
            }
        }
        while (violation == NULL && steps > 0 && path[steps - 1].untried == 0)
            free(path[--steps].copy);
        if (violation != NULL || steps == 0)
            return;
        try_next(&path[steps - 1]);
    }
}

struct model_result
model_explore(const struct model *model, const struct model_memory *memory, bool show_order)
{
    struct model_result result = {0};

    model_now = model;
    memory_now = memory;
    hash_set_clear();
    violation = NULL;
    for (thread_count = 0; thread_count < MODEL_THREADS && model->threads[thread_count] != NULL;)
        thread_count++;
    model->begin();
    start_threads();
    steps = 0;
    explore_from_here(&result);
    result.violation = violation;
    if (violation != NULL && show_order)
        print_order();
    while (steps > 0)
        free(path[--steps].copy);
    return result;
}
