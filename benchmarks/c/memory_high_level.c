/* One file of computed memory on libfuse 3's high level, single threaded: `memory_high_level DIR BYTES`. */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PAGE = 4096, LINE = 32 };

static off_t bytes;

static void *do_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
	conn->max_read = 1 << 20;
	config->kernel_cache = 1;
	config->entry_timeout = config->attr_timeout = 3600;
	return NULL;
}

static int do_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	(void)fi;
	if (!strcmp(path, "/")) {
		st->st_mode = S_IFDIR | 0755;
		st->st_nlink = 2;
		return 0;
	}
	if (strcmp(path, "/vmcore"))
		return -ENOENT;
	st->st_mode = S_IFREG | 0400;
	st->st_nlink = 1;
	st->st_size = bytes;
	return 0;
}

static int do_open(const char *path, struct fuse_file_info *fi)
{
	(void)path;
	fi->keep_cache = 1;
	return 0;
}

/* Pages of lines that name the page's address, as elfcorehdr/mm/physmem.py makes them. */
static int do_read(const char *path, char *buf, size_t size, off_t offset, struct fuse_file_info *fi)
{
	(void)path;
	(void)fi;
	if (offset >= bytes)
		return 0;
	if ((off_t)size > bytes - offset)
		size = bytes - offset;
	for (size_t at = 0; at < size; at += PAGE) {
		char line[LINE + 1];
		size_t rest = size - at < PAGE ? size - at : PAGE;

		snprintf(line, sizeof(line), "%016llx %-14s\n", (unsigned long long)(offset + at), "cache");
		for (size_t n = 0; n < rest; n += LINE)
			memcpy(buf + at + n, line, rest - n < LINE ? rest - n : LINE);
	}
	return size;
}

static const struct fuse_operations operations = {
	.init = do_init,
	.getattr = do_getattr,
	.open = do_open,
	.read = do_read,
};

int main(int argc, char *argv[])
{
	char *arguments[] = { argv[0], "-f", "-s", "-o", "max_read=1048576", argv[1], NULL };

	if (argc != 3)
		return 2;
	bytes = atoll(argv[2]);
	return fuse_main(6, arguments, &operations, NULL);
}
