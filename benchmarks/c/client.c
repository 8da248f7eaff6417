/* Does one thing to files DIR/memoryN/FILE many times: `client read|stat|write DIR FILE BLOCKS TIMES`.
 * Prints nanoseconds for one. The blocks are taken in a scattered order, each once warmed up. Names are
 * relative to DIR, as lsmem, find and tar give them: the way there is not what is measured. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void once(char what, const char *path)
{
	char buf[4096];
	struct stat st;

	if (what == 's') {
		if (stat(path, &st))
			exit(1);
		return;
	}
	int fd = open(path, what == 'r' ? O_RDONLY : O_WRONLY | O_TRUNC);
	if (fd < 0 || (what == 'r' ? read(fd, buf, sizeof(buf)) : write(fd, "1\n", 2)) <= 0)
		exit(1);
	close(fd);
}

int main(int argc, char **argv)
{
	char path[4096];
	struct timespec from, to;

	if (argc != 6 || chdir(argv[2]))
		return 2;
	int blocks = atoi(argv[4]), times = atoi(argv[5]);
	uint32_t seed = 1;
	for (int i = 0; i < blocks; i++) {
		snprintf(path, sizeof(path), "memory%d/%s", i, argv[3]);
		once('s', path);
	}
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int i = 0; i < times; i++) {
		seed = seed * 1664525 + 1013904223;
		snprintf(path, sizeof(path), "memory%d/%s", (int)((seed >> 8) % blocks), argv[3]);
		once(argv[1][0], path);
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	printf("%.1f\n", ((to.tv_sec - from.tv_sec) * 1e9 + to.tv_nsec - from.tv_nsec) / times);
	return 0;
}
