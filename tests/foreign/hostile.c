/* Tries what would hurt the host if it reached it, each so that it would do little even then; prints NAME = 0 or -errno. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "crash.h"

static void try(const char *name, long result)
{
	printf("%s = %d\n", name, result < 0 ? -errno : 0);
	fflush(stdout);
}

static long put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	long done;

	if (fd < 0)
		return -1;
	done = write(fd, text, strlen(text));
	close(fd);
	return done;
}

int main(void)
{
	static char image[256] = "\177ELF";
	struct timespec past = { 978307200, 0 };
	struct timeval then = { 978307200, 0 };
	char byte = '\n';

	try("kexec_load unload", syscall(SYS_kexec_load, 0L, 0L, NULL, CRASH));
	try("kexec_load", syscall(SYS_kexec_load, 0L, 1L, image, CRASH));
	try("kexec_file_load", syscall(SYS_kexec_file_load, 0L, -1L, 0L, NULL, 6L));
	try("init_module", syscall(SYS_init_module, image, sizeof(image), ""));
	try("finit_module", syscall(SYS_finit_module, 0L, "", 0L));
	try("delete_module", syscall(SYS_delete_module, "loop", O_NONBLOCK));
	try("klogctl clear", klogctl(5, NULL, 0));
	try("panic", put("/proc/sys/kernel/panic", "77"));
	try("core_pattern of the parked /proc", put("/run/kdumpfs/proc/sys/kernel/core_pattern", "|/bin/false"));
	try("sysrq of the parked /proc", put("/run/kdumpfs/proc/sysrq-trigger", "h"));
	try("/sys/power/state", put("/sys/power/state", "none"));
	try("/sys/kernel/uevent_helper", put("/run/kdumpfs/sys/kernel/uevent_helper", "/bin/false"));
	try("/dev/mem", open("/dev/mem", O_RDONLY));
	try("/dev/sda", open("/dev/sda", O_RDONLY));
	try("mknod", mknod("/tmp/kdumpfs-mem", S_IFCHR | 0600, makedev(1, 1)));
	try("mount sysfs", mount("none", "/mnt", "sysfs", 0, NULL));
	try("mount proc", mount("none", "/mnt", "proc", 0, NULL));
	try("mount cgroup2", mount("none", "/mnt", "cgroup2", 0, NULL));
	try("mount debugfs", mount("none", "/mnt", "debugfs", 0, NULL));
	try("mount devtmpfs", mount("none", "/mnt", "devtmpfs", 0, NULL));
	try("remount /sys", mount("none", "/sys", NULL, MS_REMOUNT | MS_BIND, NULL));
	try("umount /proc", umount2("/proc", MNT_DETACH));
	try("umount /run/kdumpfs/sys", umount2("/run/kdumpfs/sys", MNT_DETACH));
	try("umount the C library", umount2("/usr/lib/powerpc64le-linux-gnu/libc.so.6", MNT_DETACH));
	try("swapon", swapon("/tmp/none", 0));
	try("clock_settime", clock_settime(CLOCK_REALTIME, &past));
	try("settimeofday", settimeofday(&then, NULL));
	try("cgroup namespace", unshare(CLONE_NEWCGROUP));
	try("vsock", socket(40, SOCK_STREAM, 0));
	try("keyctl", syscall(SYS_keyctl, 0L, -3L, 0L));
	try("add_key", syscall(SYS_add_key, "user", "kdumpfs", "x", 1L, -3L));
	try("bpf", syscall(SYS_bpf, 0L, image, sizeof(image)));
	try("io_uring", syscall(SYS_io_uring_setup, 4L, image));
	try("open_by_handle_at", syscall(SYS_open_by_handle_at, 0L, image, 0L));
	try("TIOCSTI", ioctl(0, TIOCSTI, &byte));
	try("ptrace of init", ptrace(PTRACE_ATTACH, 1, NULL, NULL));
	try("root of init", open("/proc/1/root/etc/shadow", O_RDONLY));
	try("namespace of init", open("/proc/1/ns/mnt", O_RDONLY));
	sethostname("changed", 7);
	try("reboot", reboot(RB_AUTOBOOT));
	return 0;
}
