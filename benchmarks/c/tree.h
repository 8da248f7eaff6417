/* The tree that the reference servers show: /sys/devices/system/memory with its blocks, all alike. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const DIRS[] = {"sys", "devices", "system", "memory"};
#define NR_DIRS 4

static const char *const FILES[] = {"online", "phys_device", "phys_index", "removable", "state", "valid_zones"};
static const char *const TEXTS[] = {"1\n", "0\n", NULL, "1\n", "online\n", "Normal\n"};
#define NR_FILES 6

static int nr_blocks;

/* The number in "memory123"; -1 for any other name, and for a block there is not. */
static int block_of(const char *name, size_t length)
{
	long n = 0;

	if (length < 7 || length > 14 || memcmp(name, "memory", 6))
		return -1;
	for (size_t i = 6; i < length; i++) {
		if (name[i] < '0' || name[i] > '9')
			return -1;
		n = n * 10 + name[i] - '0';
	}
	return n < nr_blocks ? (int)n : -1;
}

static int file_of(const char *name)
{
	for (int i = 0; i < NR_FILES; i++)
		if (!strcmp(name, FILES[i]))
			return i;
	return -1;
}

/* What file number `file` of a block reads; file -1 is block_size_bytes. */
static int text_of(int block, int file, char *buf, size_t size)
{
	if (file < 0)
		return snprintf(buf, size, "10000000\n");
	if (!TEXTS[file])
		return snprintf(buf, size, "%08x\n", block);
	return snprintf(buf, size, "%s", TEXTS[file]);
}
