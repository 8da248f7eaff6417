/* What a kernel does with program headers, in C: `phdrs build|print ROWS TIMES`; seconds of CPU for one. */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct range {
	unsigned long start, end;
};

/* crash_prepare_elf64_headers() in short: zeroed memory of its own, then a row for each range. */
static Elf64_Phdr *build(const struct range *ranges, int count)
{
	Elf64_Phdr *rows = calloc(count, sizeof(*rows));

	for (int i = 0; i < count; i++) {
		unsigned long start = ranges[i].start, size = ranges[i].end - start + 1;
		rows[i] = (Elf64_Phdr){PT_LOAD, PF_R | PF_W | PF_X, start, start | 0xc000000000000000UL, start, size, size, 0};
	}
	return rows;
}

static long print(const Elf64_Phdr *rows, int count, char *to)
{
	char *at = to;

	for (int i = 0; i < count; i++) {
		const Elf64_Phdr *p = &rows[i];
		at += sprintf(at, "0x%-3x %-18s 0x%-16lx 0x%-16lx 0x%-16lx 0x%-16lx 0x%-16lx %c%c%c\n", i,
			      p->p_type == PT_LOAD ? "PT_LOAD" : "PT_NOTE", p->p_offset, p->p_vaddr, p->p_paddr, p->p_filesz,
			      p->p_memsz, p->p_flags & PF_R ? 'R' : '-', p->p_flags & PF_W ? 'W' : '-',
			      p->p_flags & PF_X ? 'X' : '-');
	}
	return at - to;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	int count = atoi(argv[2]), times = atoi(argv[3]);
	struct range *ranges = malloc(count * sizeof(*ranges));
	char *text = malloc(count * 160L);
	volatile long sum = 0;

	for (long i = 0; i < count; i++)
		ranges[i] = (struct range){i << 29, (i << 29) + (1L << 28) - 1};
	Elf64_Phdr *rows = build(ranges, count);
	sum += print(rows, count, text);
	clock_t from = clock();
	for (int i = 0; i < times; i++) {
		if (argv[1][0] == 'b') {
			Elf64_Phdr *made = build(ranges, count);
			sum += made[i % count].p_paddr;
			free(made);
		} else {
			sum += print(rows, count, text);
		}
	}
	printf("%.9f\n", (double)(clock() - from) / CLOCKS_PER_SEC / times);
	return 0;
}
