/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The tables of src/base/table.c in a model: the memory that they get, and how they begin. A file includes the sources,
 * defines TABLES (the number of its tables), LARGEST_ENTRY (the largest type of an entry) and USED_ENTRIES, and then
 * includes this header.
 */
static _Alignas(64) unsigned char memory[TABLES][sizeof(LARGEST_ENTRY) << TABLE_CHUNK_BITS];
static unsigned memory_taken;

unsigned char *
mmgi_map_memory(size_t length, size_t *size)
{
    *size = length;
    return memory_taken < TABLES && length <= sizeof memory[0] ? memory[memory_taken++] : NULL;
}

void
mmgi_map_memory_release(unsigned char *start, size_t length)
{
    (void)start;
    (void)length;
}

/* Makes a table empty, and its memory zero. */
static void
table_begin(struct table *table, const struct table_shape *shape)
{
    mmgi_table_reserve(table, shape, 0);
    memset(table->chunk[0], 0, (size_t)USED_ENTRIES * shape->entry_size);
    table->free_head = 0;
    table->high_water = 0;
}
