/* A static tree on libfuse 3's high level, single threaded: `high_level DIR BLOCKS TIMEOUT_S`. */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fuse.h>
#include <sys/stat.h>

#include "tree.h"

static double timeout;

enum kind { DIRECTORY, MEMORY, BLOCK, ATTRIBUTE, NONE };

static enum kind parse(const char *path, int *block, int *file)
{
	static const char base[] = "/sys/devices/system/memory";
	size_t length = strlen(path);

	if (length < sizeof(base) - 1)
		return !strncmp(path, base, length) && (length == 1 || base[length] == '/') ? DIRECTORY : NONE;
	if (strncmp(path, base, sizeof(base) - 1))
		return NONE;
	path += sizeof(base) - 1;
	if (!*path)
		return MEMORY;
	path++;
	*file = -1;
	if (!strcmp(path, "block_size_bytes"))
		return ATTRIBUTE;
	const char *slash = strchr(path, '/');
	*block = block_of(path, slash ? (size_t)(slash - path) : strlen(path));
	if (*block < 0)
		return NONE;
	if (!slash)
		return BLOCK;
	*file = file_of(slash + 1);
	return *file < 0 ? NONE : ATTRIBUTE;
}

static int do_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	int block, file;

	(void)fi;
	switch (parse(path, &block, &file)) {
	case NONE:
		return -ENOENT;
	case ATTRIBUTE:
		st->st_mode = S_IFREG | 0644;
		st->st_nlink = 1;
		st->st_size = 4096;
		return 0;
	case MEMORY:
		st->st_nlink = 2 + nr_blocks;
		st->st_mode = S_IFDIR | 0755;
		return 0;
	default:
		st->st_mode = S_IFDIR | 0755;
		st->st_nlink = 2;
		return 0;
	}
}

static int do_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t offset, struct fuse_file_info *fi,
		      enum fuse_readdir_flags flags)
{
	int block, file;
	char name[32];

	(void)fi;
	(void)flags;
	switch (parse(path, &block, &file)) {
	case DIRECTORY:
		for (int i = 0; i < NR_DIRS; i++) {
			int depth = 0;
			for (const char *p = path; *p; p++)
				depth += *p == '/' && p[1];
			if (i == depth)
				fill(buf, DIRS[i], NULL, 0, 0);
		}
		return 0;
	case MEMORY:
		if (!offset && fill(buf, "block_size_bytes", NULL, 1, 0))
			return 0;
		for (off_t i = offset ? offset - 1 : 0; i < nr_blocks; i++) {
			snprintf(name, sizeof(name), "memory%d", (int)i);
			if (fill(buf, name, NULL, i + 2, 0))
				return 0;
		}
		return 0;
	case BLOCK:
		for (int i = 0; i < NR_FILES; i++)
			fill(buf, FILES[i], NULL, 0, 0);
		return 0;
	default:
		return -ENOTDIR;
	}
}

static int do_open(const char *path, struct fuse_file_info *fi)
{
	int block, file;

	if (parse(path, &block, &file) != ATTRIBUTE)
		return -ENOENT;
	fi->direct_io = 1;
	return 0;
}

static int do_read(const char *path, char *buf, size_t size, off_t offset, struct fuse_file_info *fi)
{
	int block = 0, file = 0;
	char text[32];

	(void)fi;
	parse(path, &block, &file);
	int length = text_of(block, file, text, sizeof(text));
	if (offset >= length)
		return 0;
	if ((size_t)(length - offset) < size)
		size = length - offset;
	memcpy(buf, text + offset, size);
	return size;
}

static int do_write(const char *path, const char *buf, size_t size, off_t offset, struct fuse_file_info *fi)
{
	(void)path;
	(void)buf;
	(void)offset;
	(void)fi;
	return size;
}

static int do_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	(void)path;
	(void)size;
	(void)fi;
	return 0;
}

static void *do_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
	(void)conn;
	config->entry_timeout = config->attr_timeout = config->negative_timeout = timeout;
	return NULL;
}

static const struct fuse_operations OPERATIONS = {
	.init = do_init,
	.getattr = do_getattr,
	.readdir = do_readdir,
	.open = do_open,
	.read = do_read,
	.write = do_write,
	.truncate = do_truncate,
};

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	nr_blocks = atoi(argv[2]);
	timeout = atof(argv[3]);
	char *words[] = {argv[0], "-f", "-s", "-o", "fsname=reference,default_permissions", argv[1], NULL};
	return fuse_main(6, words, &OPERATIONS, NULL);
}
