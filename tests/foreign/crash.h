/* KEXEC_ON_CRASH with the KEXEC_ARCH_ of who asks. */
#if defined(__powerpc64__)
#define CRASH 0x150001
#elif defined(__aarch64__)
#define CRASH 0xb70001
#else
#define CRASH 0xf30001
#endif
