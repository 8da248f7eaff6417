/* A kernel as small as one can be, for the tests: the symbols, types and initial values that a vmlinux is read for.
 * Written by us; members have the kernel's names, and other places than in any kernel.
 */
typedef unsigned long ulong;
#define __percpu __attribute__((section(".data..percpu")))
#define offsetof(t, m) __builtin_offsetof(t, m)

struct list_head { struct list_head *next, *prev; };
struct hlist_node { struct hlist_node *next, **pprev; };
struct hlist_head { struct hlist_node *first; };
enum node_states { N_POSSIBLE, N_ONLINE, N_CPU, NR_NODE_STATES };
enum pageflags { PG_locked, PG_lru = 7, PG_head = 11 };
typedef struct { ulong bits[2]; } nodemask_t;
struct cpumask { ulong bits[4]; };
struct xarray { int lock; void *xa_head; };
struct xa_node { unsigned char shift, offset, count, nr_values; struct xa_node *parent; struct xarray *array; void *slots[16]; };
struct idr { struct xarray idr_rt; unsigned int idr_base, idr_next; };
struct pid_namespace { int pad; struct idr idr; unsigned int pid_allocated; struct task_struct *child_reaper; };
struct upid { int nr; struct pid_namespace *ns; };
struct pid { int count; struct hlist_head tasks[4]; int level; struct upid numbers[]; };
struct signal_struct { int nr_threads; struct list_head thread_head; struct pid *pids[4]; };
struct thread_struct { ulong sp; };
struct task_struct {
	struct { int flags; unsigned int cpu; } thread_info;
	union { int usage; struct { short a, b; }; };
	void *stack;
	int on_cpu, pid, tgid;
	struct task_struct *real_parent, *parent, *group_leader;
	struct list_head children, sibling, tasks, thread_node;
	struct pid *thread_pid;
	struct hlist_node pid_links[4];
	struct signal_struct *signal;
	char comm[16];
	struct thread_struct thread;
};
struct rt_prio_array { ulong bitmap[2]; struct list_head queue[8]; };
struct rt_rq { int pad; struct rt_prio_array active; };
struct rq { unsigned int nr_running; int cpu; struct rt_rq rt; struct task_struct *curr, *idle; };
struct kmem_cache_node { int nr_partial; struct list_head partial; };
struct kmem_cache { unsigned int size, object_size, inuse; struct { unsigned int x; } oo; const char *name; struct list_head list; struct kmem_cache_node *node[4]; };
struct super_block { int flags; struct list_head s_inodes; };
enum zone_stat_item { NR_ZONE_FIRST, NR_FREE_PAGES };
enum node_stat_item { NR_ANON_MAPPED, NR_FILE_PAGES, NR_SLAB_UNRECLAIMABLE_B };
struct new_utsname { char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65]; };
struct uts_namespace { long count; struct new_utsname name; };
struct timekeeper { long pad; ulong xtime_sec; };
struct page { ulong flags; union { struct list_head lru; ulong compound_info; }; void *mapping; ulong private; int _mapcount, _refcount; };

extern char init_stack[16384];
extern struct pid_namespace init_pid_ns;
struct pid init_struct_pid = { .count = 1, .numbers = { { 0, &init_pid_ns } } };
struct signal_struct init_signals = { .nr_threads = 1 };
struct task_struct init_task = {
	.usage = 2, .stack = init_stack, .comm = "swapper",
	.real_parent = &init_task, .parent = &init_task, .group_leader = &init_task,
	.tasks = { &init_task.tasks, &init_task.tasks },
	.thread_pid = &init_struct_pid, .signal = &init_signals,
};
struct pid_namespace init_pid_ns = { .child_reaper = &init_task };
struct uts_namespace init_uts_ns = { 3, { "Linux", "(none)", RELEASE, "#1 SMP Debian 7.3.4-1 (2026-11-01)", "x86_64", "(none)" } };
nodemask_t node_states[NR_NODE_STATES] = { { { 1 } }, { { 1 } } };
struct cpumask __cpu_possible_mask = { { 255 } }, __cpu_online_mask, __cpu_present_mask;
ulong __per_cpu_offset[64] = { 1 }, jiffies_64 = 4294667296UL, phys_base = 1, page_offset_base = 1, vmemmap_base = 1, vmalloc_base = 1;
struct { int seq; struct timekeeper timekeeper; } tk_core = { 1 };
int panic_cpu = -1, crashing_cpu = -1, nr_cpu_ids = 64;
void *prb = &init_task, *task_struct_cachep = &init_task, *kmem_cache = &init_task, *mem_section = &init_task;
char init_stack[16384] = "stack", init_top_pgt[4096] = "pgd", printk_rb_static[128] = "rb";
char linux_banner[] = "Linux version " RELEASE;
struct list_head modules = { &modules, &modules }, slab_caches;
long vm_zone_stat[2], vm_node_stat[3];
struct super_block *blockdev_superblock = (void *)1;
enum zone_stat_item zone_item; enum node_stat_item node_item; struct kmem_cache_node *cache_node;
struct page *page; struct xa_node *xa_node; struct kmem_cache *cache; enum pageflags flags; enum node_states states;
__percpu struct rq runqueues = { 7 };
__percpu int cpu_number = 77;
__percpu ulong this_cpu_off = 5;
__percpu struct task_struct *current_task = &init_task;

/* Where the compiler put what the tests read. */
ulong offsets[] = {
	offsetof(struct task_struct, thread_info.cpu), offsetof(struct task_struct, stack), offsetof(struct task_struct, pid),
	offsetof(struct task_struct, tasks), offsetof(struct task_struct, comm), offsetof(struct task_struct, pid_links),
	offsetof(struct pid, tasks), offsetof(struct pid, numbers), offsetof(struct xa_node, slots),
	offsetof(struct pid_namespace, idr.idr_rt.xa_head), offsetof(struct rq, curr), offsetof(struct task_struct, b),
	offsetof(struct task_struct, real_parent), sizeof(struct task_struct), offsetof(struct rq, rt.active.queue),
	offsetof(struct task_struct, thread_pid),
};

void default_idle(void) { for (;;); }
void __crash_kexec(void) { default_idle(); }
