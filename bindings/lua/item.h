/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The items of a pattern. pattern.c makes them, and match.c matches them. Both ask the functions here whether a byte
 * belongs to a class or a set. The functions are inline, since match.c calls them for each byte of the text.
 */
#ifndef MMAPGUARD_LUA_ITEM_H
#define MMAPGUARD_LUA_ITEM_H

#include "pattern.h"

#include <ctype.h>

/** What an item matches. */
enum mmgl_kind {
    BYTE,          /* `a` */
    ANY,           /* . */
    CLASS,         /* % and the letter `a` */
    SET,           /* [set] */
    OPEN,          /* ( with number `a` */
    OPEN_POSITION, /* () with number `a` */
    CLOSE,         /* ) of number `a` */
    BACK,          /* %1 ... with number `a` */
    BALANCE,       /* %bxy */
    FRONTIER,      /* %f[set] */
    AT_END,        /* $ */
    DONE           /* the end of the pattern */
};

/** Returns true when a byte belongs to the class of a letter, such as %d, or is the letter when no class has it. */
static inline bool
mmgl_in_class(unsigned char byte, unsigned char letter)
{
    int is;

    switch (tolower(letter)) {
    case 'a':
        is = isalpha(byte);
        break;
    case 'c':
        is = iscntrl(byte);
        break;
    case 'd':
        is = isdigit(byte);
        break;
    case 'g':
        is = isgraph(byte);
        break;
    case 'l':
        is = islower(byte);
        break;
    case 'p':
        is = ispunct(byte);
        break;
    case 's':
        is = isspace(byte);
        break;
    case 'u':
        is = isupper(byte);
        break;
    case 'w':
        is = isalnum(byte);
        break;
    case 'x':
        is = isxdigit(byte);
        break;
    case 'z':
        is = byte == 0;
        break;
    default:
        return byte == letter;
    }
    return (is != 0) != (isupper(letter) != 0);
}

/** Returns true when a byte belongs to the set of an item. */
static inline bool
mmgl_in_set(const struct mmgl_item *item, unsigned char byte)
{
    return (item->set[byte >> 3] >> (byte & 7) & 1) != 0;
}

#endif
