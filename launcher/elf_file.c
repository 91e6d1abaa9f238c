/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reads the headers of an ELF file by pread(2). Nothing of the file is trusted: a header may be missing, cut short or
 * wrong.
 */
#include "elf_file.h"

#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define MAX_HEADERS 64
#define MAX_DYNAMIC 512
#define MAX_NOTES 4096

/* The linker defines this symbol: it is the ELF header of this program. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

struct elf {
    int fd;
    unsigned count;
    ElfW(Phdr) headers[MAX_HEADERS];
};

/* Returns true when `size` bytes at `offset` could be read. */
static bool
read_at(int fd, void *bytes, size_t size, uint64_t offset)
{
    return pread(fd, bytes, size, (off_t)offset) == (ssize_t)size;
}

static const ElfW(Phdr) * header_find(const struct elf *elf, uint32_t type)
{
    for (unsigned i = 0; i < elf->count; i++)
        if (elf->headers[i].p_type == type)
            return &elf->headers[i];
    return NULL;
}

/*
 * Stores the offset in the file of the byte that is loaded at `address`. Returns false when the file does not have it.
 */
static bool
offset_of(const struct elf *elf, uint64_t address, uint64_t *offset)
{
    for (unsigned i = 0; i < elf->count; i++) {
        const ElfW(Phdr) *header = &elf->headers[i];
        if (header->p_type == PT_LOAD && address >= header->p_vaddr && address - header->p_vaddr < header->p_filesz) {
            *offset = header->p_offset + (address - header->p_vaddr);
            return true;
        }
    }
    return false;
}

/* Returns true when the file needs a library whose name starts with one of the prefixes. */
static bool
needs(const struct elf *elf, const char *const prefixes[])
{
    ElfW(Dyn) entries[MAX_DYNAMIC];
    const ElfW(Phdr) *header = header_find(elf, PT_DYNAMIC);
    uint64_t strings = 0;

    if (header == NULL)
        return false;
    size_t size = header->p_filesz < sizeof entries ? header->p_filesz : sizeof entries;
    size_t count = size / sizeof entries[0];
    if (!read_at(elf->fd, entries, count * sizeof entries[0], header->p_offset))
        return false;
    for (size_t i = 0; i < count; i++)
        if (entries[i].d_tag == DT_STRTAB && !offset_of(elf, entries[i].d_un.d_ptr, &strings))
            return false;
    for (size_t i = 0; strings != 0 && i < count && entries[i].d_tag != DT_NULL; i++) {
        char name[32] = "";
        if (entries[i].d_tag != DT_NEEDED)
            continue;
        /* A name at the very end of the file gives fewer bytes; the zeros of the array end it. */
        if (pread(elf->fd, name, sizeof name - 1, (off_t)(strings + entries[i].d_un.d_val)) <= 0)
            continue;
        for (int j = 0; prefixes[j] != NULL; j++)
            if (strncmp(name, prefixes[j], strlen(prefixes[j])) == 0)
                return true;
    }
    return false;
}

/* Returns true when the file has a note with the name "Go", in which Go stores the identity of the build. */
static bool
has_note_of_go(const struct elf *elf)
{
    static const char name[4] = "Go\0";

    for (unsigned i = 0; i < elf->count; i++) {
        union {
            ElfW(Nhdr) header;
            char bytes[MAX_NOTES];
        } notes;
        const ElfW(Phdr) *part = &elf->headers[i];
        size_t size = part->p_filesz < sizeof notes ? part->p_filesz : sizeof notes;
        if (part->p_type != PT_NOTE || !read_at(elf->fd, notes.bytes, size, part->p_offset))
            continue;
        for (size_t at = 0; at + sizeof notes.header + sizeof name <= size;) {
            ElfW(Nhdr) note;
            memcpy(&note, notes.bytes + at, sizeof note);
            if (note.n_namesz == sizeof name && memcmp(notes.bytes + at + sizeof note, name, sizeof name) == 0)
                return true;
            /* Both parts are padded to a multiple of four bytes. The sums have 64 bits, since a damaged file may have
               any sizes. */
            uint64_t step = sizeof note + ((note.n_namesz + UINT64_C(3)) & ~UINT64_C(3)) +
                            ((note.n_descsz + UINT64_C(3)) & ~UINT64_C(3));
            if (step > size)
                break;
            at += (size_t)step;
        }
    }
    return false;
}

static void
read_interpreter(const struct elf *elf, struct elf_facts *facts)
{
    const ElfW(Phdr) *header = header_find(elf, PT_INTERP);

    if (header == NULL)
        return;
    facts->is_loaded = true;
    size_t size = header->p_filesz < sizeof facts->interpreter ? header->p_filesz : sizeof facts->interpreter - 1;
    if (!read_at(elf->fd, facts->interpreter, size, header->p_offset))
        facts->interpreter[0] = '\0';
}

bool
elf_read(int fd, struct elf_facts *facts)
{
    static const char *const asan[] = {"libasan.so", "libclang_rt.asan", NULL};
    ElfW(Ehdr) header;
    struct elf elf = {.fd = fd};

    *facts = (struct elf_facts){.is_native = false};
    if (!read_at(fd, &header, sizeof header, 0) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return false;
    facts->is_native = header.e_ident[EI_CLASS] == __ehdr_start.e_ident[EI_CLASS] &&
                       header.e_ident[EI_DATA] == __ehdr_start.e_ident[EI_DATA] &&
                       header.e_machine == __ehdr_start.e_machine;
    if (!facts->is_native)
        return true;
    elf.count = header.e_phnum < MAX_HEADERS ? header.e_phnum : MAX_HEADERS;
    if (header.e_phentsize != sizeof elf.headers[0] ||
        !read_at(fd, elf.headers, elf.count * sizeof elf.headers[0], header.e_phoff))
        return false;
    read_interpreter(&elf, facts);
    facts->is_go = has_note_of_go(&elf);
    facts->needs_asan = needs(&elf, asan);
    return true;
}

const char *
elf_own_interpreter(void)
{
    const char *self = (const char *)&__ehdr_start;
    const ElfW(Phdr) *headers = (const void *)(self + __ehdr_start.e_phoff);

    /* The first segment holds the headers and the name, so their offsets in the file are offsets from the ELF header.
       */
    for (unsigned i = 0; i < __ehdr_start.e_phnum; i++)
        if (headers[i].p_type == PT_INTERP)
            return self + headers[i].p_offset;
    return "";
}
