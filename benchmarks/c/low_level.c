/* The same tree on libfuse 3's low level, one thread, everything cached: `low_level DIR BLOCKS`. */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fuse_lowlevel.h>
#include <sys/stat.h>

#include "tree.h"

#define FOREVER 3600.0
/* 1 is the root, 1 + n the n-th directory down to memory, 6 block_size_bytes; blocks and files above. */
#define MEMORY (1 + NR_DIRS)
#define BLOCK_SIZE_BYTES 6
#define FIRST 16

/* What a block has besides FILES: lsmem opens a block's directory only where the first one has a node in it. */
static const struct { const char *name; mode_t mode; } OTHERS[] = {
	{"node0", S_IFLNK | 0777}, {"power", S_IFDIR | 0755}, {"subsystem", S_IFLNK | 0777}, {"uevent", S_IFREG | 0644},
};
#define NR_ENTRIES (NR_FILES + 4)

static const char *entry_name(int entry)
{
	return entry < NR_FILES ? FILES[entry] : OTHERS[entry - NR_FILES].name;
}

static int entry_of(const char *name)
{
	int file = file_of(name);

	for (int i = NR_FILES; file < 0 && i < NR_ENTRIES; i++)
		if (!strcmp(name, entry_name(i)))
			file = i;
	return file;
}

static int stat_of(fuse_ino_t ino, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = ino;
	if (ino == BLOCK_SIZE_BYTES || (ino >= FIRST && ino % 16)) {
		st->st_mode = S_IFREG | 0644;
		st->st_nlink = 1;
		st->st_size = 4096;
		if (ino >= FIRST && ino % 16 > NR_FILES)
			st->st_mode = OTHERS[ino % 16 - 1 - NR_FILES].mode;
	} else {
		st->st_mode = S_IFDIR | 0755;
		st->st_nlink = ino == MEMORY ? 2 + nr_blocks : 2;
	}
	return 0;
}

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = {.attr_timeout = FOREVER, .entry_timeout = FOREVER};

	if (parent < MEMORY) {
		e.ino = strcmp(name, DIRS[parent - 1]) ? 0 : parent + 1;
	} else if (parent == MEMORY) {
		int block = block_of(name, strlen(name));
		e.ino = block >= 0 ? FIRST + 16 * (fuse_ino_t)block :
			strcmp(name, "block_size_bytes") ? 0 : BLOCK_SIZE_BYTES;
	} else {
		int entry = parent % 16 ? -1 : entry_of(name);
		e.ino = entry < 0 ? 0 : parent + 1 + entry;
	}
	if (e.ino)
		stat_of(e.ino, &e.attr);
	fuse_reply_entry(req, &e);
}

static void do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	stat_of(ino, &st);
	fuse_reply_attr(req, &st, FOREVER);
}

static void do_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	static char buf[1 << 17];
	size_t used = 0;
	struct stat st;
	char name[32];
	long last = ino < MEMORY ? 1 : ino == MEMORY ? nr_blocks + 1 : NR_ENTRIES;

	(void)fi;
	if (size > sizeof(buf))
		size = sizeof(buf);
	for (long i = offset; i < last; i++) {
		if (ino < MEMORY) {
			snprintf(name, sizeof(name), "%s", DIRS[ino - 1]);
			st.st_ino = ino + 1;
		} else if (ino == MEMORY && !i) {
			snprintf(name, sizeof(name), "block_size_bytes");
			st.st_ino = BLOCK_SIZE_BYTES;
		} else if (ino == MEMORY) {
			snprintf(name, sizeof(name), "memory%ld", i - 1);
			st.st_ino = FIRST + 16 * (i - 1);
		} else {
			snprintf(name, sizeof(name), "%s", entry_name(i));
			st.st_ino = ino + 1 + i;
		}
		stat_of(st.st_ino, &st);
		size_t length = fuse_add_direntry(req, buf + used, size - used, name, &st, i + 1);
		if (length > size - used)
			break;
		used += length;
	}
	fuse_reply_buf(req, buf, used);
}

static void do_readlink(fuse_req_t req, fuse_ino_t ino)
{
	fuse_reply_readlink(req, ino % 16 - 1 - NR_FILES ? "../../../../bus/memory" : "../../node/node0");
}

static void do_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fi->direct_io = 1;
	fuse_reply_open(req, fi);
}

static void do_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	char text[32];
	int length = ino == BLOCK_SIZE_BYTES ? text_of(0, -1, text, sizeof(text)) :
		     text_of((ino - FIRST) / 16, (ino - FIRST) % 16 - 1, text, sizeof(text));

	(void)fi;
	if (offset >= length)
		fuse_reply_buf(req, NULL, 0);
	else
		fuse_reply_buf(req, text + offset, (size_t)(length - offset) < size ? (size_t)(length - offset) : size);
}

static const struct fuse_lowlevel_ops OPERATIONS = {
	.lookup = do_lookup,
	.getattr = do_getattr,
	.readdir = do_readdir,
	.readlink = do_readlink,
	.open = do_open,
	.read = do_read,
};

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	nr_blocks = atoi(argv[2]);
	char *words[] = {argv[0], "-o", "fsname=reference,default_permissions", NULL};
	struct fuse_args args = FUSE_ARGS_INIT(3, words);
	struct fuse_session *session = fuse_session_new(&args, &OPERATIONS, sizeof(OPERATIONS), NULL);
	if (!session || fuse_set_signal_handlers(session) || fuse_session_mount(session, argv[1]))
		return 1;
	fuse_session_loop(session);
	fuse_session_unmount(session);
	fuse_remove_signal_handlers(session);
	fuse_session_destroy(session);
	return 0;
}
