/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The method `unpack`: the formats of string.unpack (reference manual of Lua 5.4, section 6.4.2) over bytes in place,
 * in every version of Lua. Where numbers are doubles, an integer beyond 2^53 is refused and not rounded.
 */
#include "view.h"

#include <limits.h>
#include <string.h>

#define MAX_INTEGER_SIZE 16 /* the largest number of bytes of an integer */

/* The alignment of C: the offset of the union is the largest alignment of its members. */
struct aligned {
    char byte;
    union {
        double number;
        void *pointer;
        int64_t integer;
        long native;
    } strictest;
};

enum kind {
    SIGNED,
    UNSIGNED,
    FLOAT,
    DOUBLE,
    FIXED,    /* c[n] */
    COUNTED,  /* s[n] */
    TO_ZERO,  /* z */
    PADDING,  /* x */
    ALIGNING, /* X */
    NOTHING   /* an option that has no value, such as a space or "<" */
};

struct unpacking {
    lua_State *L;
    const struct mmgl_view *view;
    const char *format;
    uint64_t start, position;
    size_t most_alignment;
    bool little;
};

static bool
host_is_little(void)
{
    const uint16_t probe = 1;
    unsigned char first;

    memcpy(&first, &probe, 1);
    return first == 1;
}

/*
 * Raises an error about an argument. If bytes that were read are lost, raises that error instead, since the loss is the
 * reason.
 */
static int
refuse(const struct unpacking *u, int arg, const char *why)
{
    mmgl_verify(u->L, u->view, u->start, u->position - u->start);
    return luaL_argerror(u->L, arg, why);
}

/* ------------------------------------------------------------------------------------------------------ format -- */

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Returns the number at this place of the format, or `otherwise` when there is none. */
static size_t
read_count(struct unpacking *u, size_t otherwise)
{
    size_t count = 0;

    if (!is_digit(*u->format))
        return otherwise;
    while (is_digit(*u->format) && count <= (SIZE_MAX - 9) / 10)
        count = count * 10 + (size_t)(*u->format++ - '0');
    return count;
}

static size_t
read_width(struct unpacking *u, size_t otherwise)
{
    size_t width = read_count(u, otherwise);

    if (width < 1 || width > MAX_INTEGER_SIZE)
        refuse(u, 2, "integral size out of limits [1,16]");
    return width;
}

static enum kind
read_option(struct unpacking *u, size_t *size)
{
    char option = *u->format++;

    *size = 0;
    switch (option) {
    case 'b':
    case 'B':
        *size = sizeof(char);
        return option == 'b' ? SIGNED : UNSIGNED;
    case 'h':
    case 'H':
        *size = sizeof(short);
        return option == 'h' ? SIGNED : UNSIGNED;
    case 'i':
    case 'I':
        *size = read_width(u, sizeof(int));
        return option == 'i' ? SIGNED : UNSIGNED;
    case 'l':
    case 'L':
        *size = sizeof(long);
        return option == 'l' ? SIGNED : UNSIGNED;
    case 'j':
    case 'J':
        *size = sizeof(int64_t);
        return option == 'j' ? SIGNED : UNSIGNED;
    case 'T':
        *size = sizeof(size_t);
        return UNSIGNED;
    case 'f':
        *size = sizeof(float);
        return FLOAT;
    case 'd':
    case 'n':
        *size = sizeof(double);
        return DOUBLE;
    case 's':
        *size = read_width(u, sizeof(size_t));
        return COUNTED;
    case 'c':
        *size = read_count(u, SIZE_MAX);
        if (*size == SIZE_MAX)
            refuse(u, 2, "missing size for format option 'c'");
        return FIXED;
    case 'z':
        return TO_ZERO;
    case 'x':
        *size = 1;
        return PADDING;
    case 'X':
        return ALIGNING;
    case '<':
    case '>':
        u->little = option == '<';
        return NOTHING;
    case '=':
        u->little = host_is_little();
        return NOTHING;
    case '!':
        u->most_alignment = read_width(u, offsetof(struct aligned, strictest));
        return NOTHING;
    case ' ':
        return NOTHING;
    default:
        refuse(u, 2, lua_pushfstring(u->L, "invalid format option '%c'", option));
        return NOTHING; /* not reached */
    }
}

/* Returns the number of bytes to skip, so that the next value is aligned. */
static size_t
padding_for(struct unpacking *u, enum kind kind, size_t size)
{
    size_t alignment = size;

    if (kind == ALIGNING) {
        enum kind next = *u->format == '\0' ? NOTHING : read_option(u, &alignment);
        if (alignment == 0 || next == FIXED)
            refuse(u, 2, "invalid next option for option 'X'");
    } else if (kind > DOUBLE && kind != COUNTED) {
        return 0;
    }
    if (alignment > u->most_alignment)
        alignment = u->most_alignment;
    if (alignment <= 1)
        return 0;
    if ((alignment & (alignment - 1)) != 0)
        refuse(u, 2, "format asks for alignment not power of 2");
    return (alignment - (size_t)(u->position & (alignment - 1))) & (alignment - 1);
}

/* ------------------------------------------------------------------------------------------------------ values -- */

/*
 * Returns the next `size` bytes of the view, and moves behind them. Raises an error when the view does not have them.
 */
static const unsigned char *
take(struct unpacking *u, uint64_t size)
{
    if (size > u->view->size - u->position)
        refuse(u, 2, "data string too short");
    const unsigned char *data = u->view->data + u->position;
    u->position += size;
    return data;
}

/* Returns the low 64 bits of an integer. Extends the sign of a signed one. */
static uint64_t
take_integer(struct unpacking *u, size_t size, bool is_signed)
{
    const unsigned char *data = take(u, size);
    unsigned char least_first[MAX_INTEGER_SIZE];
    uint64_t value = 0;

    for (size_t i = 0; i < size; i++)
        least_first[i] = data[u->little ? i : size - 1 - i];
    for (size_t i = size < 8 ? size : 8; i-- > 0;)
        value = value << 8 | least_first[i];
    bool negative = is_signed && least_first[size - 1] >= 0x80;
    if (size < 8 && negative)
        value |= ~UINT64_C(0) << (size * 8);
    for (size_t i = 8; i < size; i++)
        if (least_first[i] != (is_signed && value >> 63 != 0 ? 0xff : 0))
            refuse(u, 2, lua_pushfstring(u->L, "%d-byte integer does not fit into Lua Integer", (int)size));
    return value;
}

static void
push_integer(struct unpacking *u, size_t size, bool is_signed)
{
    uint64_t value = take_integer(u, size, is_signed);

#if MMGL_HAS_INTEGERS
    (void)is_signed;
    lua_pushinteger(u->L, (lua_Integer)value); /* the cast makes large numbers negative, as in string.unpack */
#else
    bool negative = is_signed && value >> 63 != 0;
    uint64_t magnitude = negative ? 0 - value : value;
    if (magnitude > MMGL_EXACT)
        refuse(u, 2, lua_pushfstring(u->L, "%d-byte integer is beyond 2^53 and not exact as a number", (int)size));
    lua_pushnumber(u->L, negative ? -(lua_Number)magnitude : (lua_Number)magnitude);
#endif
}

static void
push_float(struct unpacking *u, size_t size)
{
    const unsigned char *data = take(u, size);
    unsigned char ordered[sizeof(double)];
    bool reversed = u->little != host_is_little();

    for (size_t i = 0; i < size; i++)
        ordered[i] = data[reversed ? size - 1 - i : i];
    if (size == sizeof(float)) {
        float number;
        memcpy(&number, ordered, sizeof number);
        lua_pushnumber(u->L, (lua_Number)number);
    } else {
        double number;
        memcpy(&number, ordered, sizeof number);
        lua_pushnumber(u->L, (lua_Number)number);
    }
}

static void
push_to_zero(struct unpacking *u)
{
    uint64_t rest = u->view->size - u->position;
    const unsigned char *from = u->view->data + u->position;
    const unsigned char *zero = memchr(from, 0, (size_t)rest);

    if (zero == NULL) {
        u->position = u->view->size; /* the code has read all of the view */
        refuse(u, 2, "unfinished string for format 'z'");
    }
    mmgl_push_bytes(u->L, from, (size_t)(zero - from));
    u->position += (uint64_t)(zero - from) + 1;
}

/* Pushes the value of an option. Returns the number of values. */
static int
push_value(struct unpacking *u, enum kind kind, size_t size)
{
    uint64_t length;

    switch (kind) {
    case SIGNED:
    case UNSIGNED:
        push_integer(u, size, kind == SIGNED);
        return 1;
    case FLOAT:
    case DOUBLE:
        push_float(u, size);
        return 1;
    case COUNTED:
        length = take_integer(u, size, false);
        mmgl_push_bytes(u->L, take(u, length), (size_t)length);
        return 1;
    case FIXED:
        mmgl_push_bytes(u->L, take(u, size), size);
        return 1;
    case TO_ZERO:
        push_to_zero(u);
        return 1;
    default:
        take(u, size); /* skip the padding */
        return 0;
    }
}

int
mmgl_unpack(lua_State *L)
{
    const struct mmgl_view *view = mmgl_check_view(L);
    const char *format = luaL_checkstring(L, 2);
    uint64_t start = mmgl_check_start(L, view, 3);
    struct unpacking u = {.L = L, .view = view, .format = format, .most_alignment = 1, .little = host_is_little()};
    int values = 0;

    luaL_argcheck(L, start <= view->size, 3, "initial position out of region");
    u.start = u.position = start;
    while (*u.format != '\0') {
        size_t size;
        enum kind kind = read_option(&u, &size);
        take(&u, padding_for(&u, kind, size));
        luaL_checkstack(L, 2, "too many results");
        values += push_value(&u, kind, size);
    }
    mmgl_push_count(L, u.position + 1);
    mmgl_verify(L, view, start, u.position - start);
    return values + 1;
}
