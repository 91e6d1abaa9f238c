/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the vocabulary: status numbers that never change, names and messages for any integer, words for every value
 * that a struct can hold, versions, and feature probes.
 */
#include "check.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct frozen {
    mmg_status status;
    int32_t number;
    const char *name;
};

/* The numbers are written here a second time on purpose, since they must never change. */
static const struct frozen statuses[] = {
    {MMG_OK, 0, "MMG_OK"},
    {MMG_E_ARGUMENT, -1, "MMG_E_ARGUMENT"},
    {MMG_E_HANDLE, -2, "MMG_E_HANDLE"},
    {MMG_E_RANGE, -3, "MMG_E_RANGE"},
    {MMG_E_ABI_SIZE, -4, "MMG_E_ABI_SIZE"},
    {MMG_E_ABI_NEWER, -5, "MMG_E_ABI_NEWER"},
    {MMG_E_NOT_FOUND, -20, "MMG_E_NOT_FOUND"},
    {MMG_E_PERMISSION, -21, "MMG_E_PERMISSION"},
    {MMG_E_EMPTY, -22, "MMG_E_EMPTY"},
    {MMG_E_NOT_MAPPABLE, -23, "MMG_E_NOT_MAPPABLE"},
    {MMG_E_WOULD_BLOCK, -24, "MMG_E_WOULD_BLOCK"},
    {MMG_E_TOO_BIG, -25, "MMG_E_TOO_BIG"},
    {MMG_E_LIMIT, -26, "MMG_E_LIMIT"},
    {MMG_E_NO_MEMORY, -27, "MMG_E_NO_MEMORY"},
    {MMG_E_UNSTABLE, -28, "MMG_E_UNSTABLE"},
    {MMG_E_SYSTEM, -29, "MMG_E_SYSTEM"},
    {MMG_E_TRUNCATED, -40, "MMG_E_TRUNCATED"},
    {MMG_E_IO, -41, "MMG_E_IO"},
    {MMG_E_POISONED, -42, "MMG_E_POISONED"},
    {MMG_E_CHANGED, -43, "MMG_E_CHANGED"},
    {MMG_E_BUSY, -60, "MMG_E_BUSY"},
    {MMG_E_UNSUPPORTED, -61, "MMG_E_UNSUPPORTED"},
    {MMG_E_GUARD, -62, "MMG_E_GUARD"},
};
#define STATUSES (sizeof statuses / sizeof *statuses)

static const struct frozen *
known_status(int64_t number)
{
    for (size_t index = 0; index < STATUSES; index++) {
        if (statuses[index].number == number) {
            return &statuses[index];
        }
    }
    return NULL;
}

static void
status_numbers_and_names_are_frozen(void)
{
    for (size_t index = 0; index < STATUSES; index++) {
        CHECK_I64(statuses[index].status, statuses[index].number);
        CHECK_TEXT(mmg_status_name(statuses[index].number), statuses[index].name);
    }
}

/** Returns true for a phrase that is printable and has no full stop and no blanks around it. */
static bool
is_phrase(const char *text)
{
    size_t length = text == NULL ? 0 : strlen(text);
    if (length == 0 || length > 200 || text[length - 1] == '.' || text[0] == ' ' || text[length - 1] == ' ') {
        return false;
    }
    for (size_t at = 0; at < length; at++) {
        if (text[at] < ' ' || text[at] > '~') {
            return false;
        }
    }
    return true;
}

static void
every_status_has_a_message_of_its_own(void)
{
    for (size_t index = 0; index < STATUSES; index++) {
        CHECK(is_phrase(mmg_status_message(statuses[index].number)));
        for (size_t other = 0; other < index; other++) {
            CHECK(strcmp(mmg_status_message(statuses[index].number), mmg_status_message(statuses[other].number)) != 0);
        }
    }
}

static void
check_any_integer(int64_t number)
{
    const char *name = mmg_status_name((mmg_status)number);
    const char *message = mmg_status_message((mmg_status)number);
    const struct frozen *known = known_status(number);
    CHECK(strcmp(name, known == NULL ? "MMG_E_UNKNOWN" : known->name) == 0);
    CHECK(is_phrase(message));
    CHECK(name == mmg_status_name((mmg_status)number) && message == mmg_status_message((mmg_status)number));
}

static void
names_and_messages_are_defined_for_any_integer(void)
{
    uint64_t state = check_seed();
    for (int64_t number = -70000; number <= 70000; number++) {
        check_any_integer(number);
    }
    for (unsigned bit = 0; bit < 31; bit++) {
        check_any_integer((INT64_C(1) << bit) - 1);
        check_any_integer(-(INT64_C(1) << bit));
    }
    check_any_integer(INT32_MIN);
    check_any_integer(INT32_MAX);
    for (unsigned round = 0; round < 10000; round++) {
        check_any_integer((int32_t)(uint32_t)check_random(&state));
    }
}

struct vocabulary {
    uint32_t number;
    uint32_t values; /**< the largest known value: 0 up to this one are known, or for bits 1, 2, 4 ... up to this one */
    bool bits;
};

static const struct vocabulary vocabularies[] = {
    {MMG_TERM_BACKING, MMG_BACKING_ADOPTED, false},    {MMG_TERM_REASON, MMG_REASON_NO_ROOM, false},
    {MMG_TERM_GUARANTEE, MMG_GUARANTEE_STABLE, false}, {MMG_TERM_MEANS, MMG_MEANS_SNAPSHOT, false},
    {MMG_TERM_SHORTFALL, MMG_SHORT_BLOCKED, false},    {MMG_TERM_LOCK, MMG_LOCK_NONE, false},
    {MMG_TERM_GUARD, MMG_GUARD_DISABLED, false},       {MMG_TERM_CHANGED, MMG_CHANGED_PATH, true},
    {MMG_TERM_LOCKING, MMG_LOCKING_NOT_OURS, false},   {MMG_TERM_EXCEPT, MMG_EXCEPT_PINNED_PAGES, true},
    {MMG_TERM_ORIGIN, MMG_ORIGIN_FOREIGN, false},
};
#define VOCABULARIES (sizeof vocabularies / sizeof *vocabularies)

static bool
is_known_term(const struct vocabulary *vocabulary, uint32_t value)
{
    if (vocabulary->bits) {
        return value != 0 && (value & (value - 1)) == 0 && value <= vocabulary->values;
    }
    return value <= vocabulary->values;
}

static void
check_term(const struct vocabulary *vocabulary, uint32_t value)
{
    const char *word = mmg_term(vocabulary->number, value);
    CHECK(word == mmg_term(vocabulary->number, value));
    CHECK((strcmp(word, "unknown") != 0) == is_known_term(vocabulary, value));
    CHECK(word[0] != '\0');
    for (const char *at = word; *at != '\0'; at++) {
        CHECK(*at == ' ' || *at == '-' || *at == '_' || isdigit((unsigned char)*at) || islower((unsigned char)*at));
    }
}

static void
every_value_of_every_vocabulary_has_a_lower_case_word(void)
{
    for (size_t index = 0; index < VOCABULARIES; index++) {
        const struct vocabulary *vocabulary = &vocabularies[index];
        for (uint32_t value = vocabulary->bits ? 1 : 0; value <= 1000; value++) {
            check_term(vocabulary, value);
        }
        for (unsigned bit = 0; bit < 32; bit++) {
            check_term(vocabulary, UINT32_C(1) << bit);
            check_term(vocabulary, ~(UINT32_C(1) << bit));
        }
        check_term(vocabulary, UINT32_MAX);
    }
}

static void
no_two_values_of_a_vocabulary_share_a_word(void)
{
    for (size_t index = 0; index < VOCABULARIES; index++) {
        const struct vocabulary *vocabulary = &vocabularies[index];
        for (uint32_t one = 0; one <= vocabulary->values; one++) {
            for (uint32_t other = 0; other < one; other++) {
                if (is_known_term(vocabulary, one) && is_known_term(vocabulary, other)) {
                    CHECK(strcmp(mmg_term(vocabulary->number, one), mmg_term(vocabulary->number, other)) != 0);
                }
            }
        }
    }
}

static void
a_vocabulary_that_does_not_exist_knows_no_word(void)
{
    uint64_t state = check_seed();
    for (uint32_t value = 0; value < 20; value++) {
        CHECK_TEXT(mmg_term(0, value), "unknown");
        CHECK_TEXT(mmg_term(MMG_TERM_ORIGIN + 1, value), "unknown");
        CHECK_TEXT(mmg_term(UINT32_MAX, value), "unknown");
    }
    for (unsigned round = 0; round < 10000; round++) {
        uint32_t number = (uint32_t)check_random(&state);
        CHECK(mmg_term(number, (uint32_t)check_random(&state)) != NULL);
        CHECK(number <= MMG_TERM_ORIGIN || strcmp(mmg_term(number, 0), "unknown") == 0);
    }
}

static void
the_library_has_the_abi_of_this_header_or_a_later_minor_of_it(void)
{
    CHECK_U64(mmg_abi_version() >> 16, MMG_ABI >> 16);
    CHECK(mmg_abi_version() >= MMG_ABI);
}

static void
the_release_is_three_numbers_and_agrees_with_the_abi(void)
{
    unsigned major = 0;
    unsigned minor = 0;
    unsigned patch = 0;
    int read = 0;
    CHECK_I64(sscanf(mmg_version(), "%u.%u.%u%n", &major, &minor, &patch, &read), 3);
    CHECK(read > 0 && (mmg_version()[read] == '\0' || mmg_version()[read] == '-'));
    CHECK_U64(major, mmg_abi_version() >> 16);
    CHECK(mmg_version() == mmg_version());
}

static void
features_are_0_or_1_and_unknown_ones_are_0(void)
{
    uint64_t state = check_seed();
    for (uint32_t feature = 0; feature < 1000; feature++) {
        int32_t answer = mmg_supports(feature);
        CHECK(answer == 0 || (answer == 1 && feature >= 1 && feature <= MMG_FEATURE_FOREIGN_QUERY));
    }
    for (unsigned round = 0; round < 10000; round++) {
        uint32_t feature = (uint32_t)check_random(&state);
        CHECK(feature <= MMG_FEATURE_FOREIGN_QUERY || mmg_supports(feature) == 0);
    }
    CHECK_I64(mmg_supports(UINT32_MAX), 0);
    CHECK_I64(mmg_supports(MMG_FEATURE_FAULT_GUARD), 1);
    CHECK_I64(mmg_supports(MMG_FEATURE_OFD_LOCK), 1);
    CHECK_I64(mmg_supports(MMG_FEATURE_STABLE_COPY), 1);
}

static const struct check_case cases[] = {
    {"status numbers and names are frozen", status_numbers_and_names_are_frozen, 0},
    {"every status has a message of its own", every_status_has_a_message_of_its_own, 0},
    {"names and messages are defined for any integer", names_and_messages_are_defined_for_any_integer, 0},
    {"every value of every vocabulary has a lower-case word", every_value_of_every_vocabulary_has_a_lower_case_word, 0},
    {"no two values of a vocabulary share a word", no_two_values_of_a_vocabulary_share_a_word, 0},
    {"a vocabulary that does not exist knows no word", a_vocabulary_that_does_not_exist_knows_no_word, 0},
    {"the library has the ABI of this header or a later minor of it",
     the_library_has_the_abi_of_this_header_or_a_later_minor_of_it, 0},
    {"the release is three numbers and agrees with the ABI", the_release_is_three_numbers_and_agrees_with_the_abi, 0},
    {"features are 0 or 1, and unknown ones are 0", features_are_0_or_1_and_unknown_ones_are_0, 0},
};

CHECK_MAIN(cases)
