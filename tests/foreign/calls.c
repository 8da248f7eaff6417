/* Makes system calls that qemu-user does not know, and prints what came of them: calls HOW.
 *
 * plain    each once; fork   in a child that executes nothing, and in its child
 * threads  sixteen threads, a thousand calls each of three kinds, and calls that qemu-user does know
 * signals  while a timer interrupts; raw  not through the C library
 * log      reads the kernel log into buffers at addresses of all kinds
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash.h"

static int many = 1000;
static atomic_int wrong, ticks;

static long result(long r)
{
	return r < 0 ? -errno : r;
}

static long unload(void)
{
	return result(syscall(SYS_kexec_load, 0L, 0L, NULL, CRASH));
}

static long too_many_segments(void)
{
	return result(syscall(SYS_kexec_load, 0L, 17L, NULL, CRASH));
}

static long no_such_files(void)
{
	return result(syscall(SYS_kexec_file_load, 99L, 99L, 0L, NULL, 2L));
}

static long no_such_module(void)
{
	return result(syscall(SYS_delete_module, "nosuch", O_NONBLOCK));
}

static void *work(void *arg)
{
	for (int n = 0; n < many; n++) {
		wrong += unload() != 0;
		wrong += too_many_segments() != -EINVAL;
		wrong += no_such_files() != -EBADF;
		wrong += syscall(SYS_getppid) != getppid();
		wrong += result(syscall(SYS_close, -1)) != -EBADF;
	}
	return arg;
}

static void tick(int number)
{
	int interrupted = errno;

	ticks++;
	wrong += too_many_segments() != -EINVAL;
	errno = interrupted;
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "plain";

	if (argc > 2)
		many = atoi(argv[2]);
	setvbuf(stdout, NULL, _IONBF, 0);
	if (!strcmp(how, "plain")) {
		printf("%ld %ld %ld %ld %d\n", unload(), too_many_segments(), no_such_files(), no_such_module(), getpagesize());
	} else if (!strcmp(how, "fork")) {
		if (fork() == 0) {
			printf("%ld %ld\n", unload(), too_many_segments());
			if (fork() == 0) {
				printf("%ld\n", no_such_files());
				_exit(0);
			}
			wait(NULL);
			_exit(0);
		}
		wait(NULL);
		printf("%ld\n", too_many_segments());
	} else if (!strcmp(how, "threads")) {
		pthread_t threads[16];

		for (int n = 0; n < 16; n++)
			pthread_create(&threads[n], NULL, work, NULL);
		for (int n = 0; n < 16; n++)
			pthread_join(threads[n], NULL);
		printf("%d\n", wrong);
	} else if (!strcmp(how, "signals")) {
		struct itimerval often = { { 0, 3000 }, { 0, 3000 } };
		struct sigaction action = { .sa_handler = tick, .sa_flags = SA_RESTART };

		sigaction(SIGALRM, &action, NULL);
		setitimer(ITIMER_REAL, &often, NULL);
		while (ticks < 50)
			work(NULL);
		printf("%d\n", wrong);
	} else if (!strcmp(how, "log")) {
		for (unsigned long at = 0x700000000000; at < 0x700200000000; at += 0x30000000) {
			char *buf = mmap((void *)at, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			int size = klogctl(3, buf, 65536);

			wrong += buf == MAP_FAILED || size < 100 || size != strlen(buf);
		}
		printf("%d\n", wrong);
	} else if (!strcmp(how, "cpuinfo")) {
		int fd = open("/proc/cpuinfo", O_RDONLY);
		char buf[4096];

		for (ssize_t n; (n = read(fd, buf, sizeof(buf))) > 0;)
			write(1, buf, n);
	} else {
#if defined(__powerpc64__)
		register long nr asm("r0") = SYS_kexec_load, a asm("r3") = 0, b asm("r4") = 17, c asm("r5") = 0, d asm("r6") = CRASH;
		asm volatile("sc; bns+ 1f; neg 3,3; 1:" : "+r"(nr), "+r"(a), "+r"(b), "+r"(c), "+r"(d) : : "memory", "cr0", "r7", "r8", "r9", "r10", "r11", "r12", "ctr");
#elif defined(__aarch64__)
		register long nr asm("x8") = SYS_kexec_load, a asm("x0") = 0, b asm("x1") = 17, c asm("x2") = 0, d asm("x3") = CRASH;
		asm volatile("svc 0" : "+r"(a) : "r"(nr), "r"(b), "r"(c), "r"(d) : "memory");
#else
		register long nr asm("a7") = SYS_kexec_load, a asm("a0") = 0, b asm("a1") = 17, c asm("a2") = 0, d asm("a3") = CRASH;
		asm volatile("ecall" : "+r"(a) : "r"(nr), "r"(b), "r"(c), "r"(d) : "memory");
#endif
		printf("%ld\n", a);
	}
	return 0;
}
