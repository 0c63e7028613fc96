// SPDX-License-Identifier: MIT
/*
 * The coverage of a program, in memory shared with whoever fuzzes it.
 *
 * Link this into a program whose code is compiled with -fsanitize-coverage=…:
 *   gcc    trace-pc,trace-cmp
 *   clang  trace-pc-guard,trace-cmp   or   inline-8bit-counters,pc-table,trace-cmp
 *   rustc  the passes of LLVM, as clang
 * Where the variable VQFUZZ_COVERAGE is «fd:N», the memory file that was inherited as descriptor N is mapped; else it is
 * the path of one. Without the variable, or with one that leads to anything else, nothing is done at all.
 *
 * The file has a header (struct header), COUNTERS bytes that count up to 255 and stay there, and COMPARED entries, a
 * ring of the comparisons that found their sides unequal. Who reads it clears it. Threads may lose counts to each other;
 * a child that was forked counts in the same memory.
 *
 * Nothing in here is traced, whatever flags it is compiled with.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define VARIABLE "VQFUZZ_COVERAGE"
#define MAGIC 0x31766f6371767176ull /* «vqvqcov1» */
#define MODULES 64u
#define REGIONS 60u
#define RECENT 256u

#if defined(__clang__)
#define UNTRACED __attribute__((no_sanitize("coverage", "address", "undefined", "thread", "memory")))
#else
#define UNTRACED __attribute__((no_sanitize_coverage, no_sanitize("address", "undefined", "thread")))
#endif
#define CALLED(type) __attribute__((visibility("default"))) UNTRACED type

struct region {
	uint32_t start, length; /* bytes, from the beginning of the file */
};

struct header {
	uint64_t magic;
	uint32_t counters, counters_size; /* where they are, how many: ours to read, the fuzzer's to write */
	uint32_t compared, compared_slots;
	uint32_t room, room_size; /* where pages with counters of the compiler's own can be put */
	uint32_t attached; /* from here on ours to write: how often a program began to count here */
	uint32_t used;	   /* counters given to guards: all others are found by address */
	uint32_t regions;  /* of counters in the room */
	uint32_t epoch;	   /* the fuzzer's: changes when it has cleared everything */
	uint64_t count; /* comparisons ever logged */
	struct region region[REGIONS];
};

struct compared {
	uint64_t left, right, place;
	uint32_t size, constant; /* whether the right side is one */
};

struct module {
	uintptr_t start, end, base;
	uint32_t seed;
};

static struct header *header;
static uint8_t *counters;
static struct compared *compared;
static struct module modules[MODULES], *current;
static unsigned int module_count;
static uint32_t room_taken;
static int tried;
/* the sides seen last at a place: a loop that compares the same again and again says so once */
static struct {
	uint64_t left, right;
	uint32_t epoch, size; /* 0: there was none */
} recent[RECENT];

UNTRACED static int within(uint64_t start, uint64_t length, uint64_t size)
{
	return length <= size && start <= size - length;
}

UNTRACED static int descriptor(const char *text)
{
	char *end;
	long number;

	if (strncmp(text, "fd:", 3))
		return open(text, O_RDWR | O_CLOEXEC);
	number = strtol(text + 3, &end, 10);
	return *end || end == text + 3 || number < 0 || number > 1 << 20 ? -1 : (int)number;
}

static int shared_file = -1; /* open as long as the compiler's own counters may come */

UNTRACED static void attach(void)
{
	const char *text = getenv(VARIABLE);
	struct header *found;
	struct stat file;

	if (tried)
		return;
	tried = 1;
	if (!text || !*text)
		return;
	shared_file = descriptor(text);
	if (shared_file < 0 || fstat(shared_file, &file) || !S_ISREG(file.st_mode) || file.st_size < 4096)
		return;
	found = mmap(NULL, (size_t)file.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, shared_file, 0);
	if (found == MAP_FAILED)
		return;
	if (found->magic != MAGIC || !found->counters_size || (found->counters_size & (found->counters_size - 1)) ||
	    !within(found->counters, found->counters_size, (uint64_t)file.st_size) ||
	    !within(found->compared, (uint64_t)found->compared_slots * sizeof(*compared), (uint64_t)file.st_size) ||
	    !within(found->room, found->room_size, (uint64_t)file.st_size)) {
		munmap(found, (size_t)file.st_size);
		return;
	}
	found->regions = 0;
	found->used = 0;
	compared = found->compared_slots ? (struct compared *)((char *)found + found->compared) : NULL;
	counters = (uint8_t *)found + found->counters;
	header = found;
	__atomic_add_fetch(&found->attached, 1, __ATOMIC_RELAXED);
}

__attribute__((constructor(101))) UNTRACED static void begin(void)
{
	attach();
}

UNTRACED static void bump(uint32_t place)
{
	uint8_t *one = &counters[place & (header->counters_size - 1)];

	if (*one != 255)
		++*one;
}

/* For code that says by itself where it is, such as a plugin of an emulator. */
CALLED(void) vqcov_count(uint32_t place);

CALLED(void) vqcov_count(uint32_t place)
{
	if (header)
		bump(place);
}

/* --- places by address: the same in every run, wherever a module is loaded -------------------------------------- */

UNTRACED static int found_module(struct dl_phdr_info *info, size_t size, void *unused)
{
	const char *name = info->dlpi_name;
	struct module *one;
	uint32_t seed = 0;
	int i;

	(void)size;
	(void)unused;
	while (*name) /* FNV, of the name alone */
		seed = (seed ^ (uint8_t)*name++) * 16777619u;
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];

		if (part->p_type != PT_LOAD || !(part->p_flags & PF_X) || module_count == MODULES)
			continue;
		one = &modules[module_count++];
		one->start = info->dlpi_addr + part->p_vaddr;
		one->end = one->start + part->p_memsz;
		one->base = one->start;
		one->seed = seed;
	}
	return 0;
}

UNTRACED static struct module *listed(uintptr_t at)
{
	unsigned int i;

	for (i = 0; i < module_count; i++)
		if (at >= modules[i].start && at < modules[i].end)
			return &modules[i];
	return NULL;
}

UNTRACED static uint32_t place_of(uintptr_t at)
{
	static unsigned int walks;
	struct module *one = current;

	if (!one || at < one->start || at >= one->end) {
		one = listed(at);
		if (!one && walks < MODULES) { /* something was loaded since */
			walks++;
			module_count = 0;
			dl_iterate_phdr(found_module, NULL);
			one = listed(at);
		}
		if (!one)
			return (uint32_t)(at & 4095); /* code that was made: all that stays is its place in the page */
		current = one;
	}
	return (uint32_t)(at - one->base) + one->seed;
}

CALLED(void) __sanitizer_cov_trace_pc(void)
{
	if (header)
		bump(place_of((uintptr_t)__builtin_return_address(0)));
}

CALLED(void) __sanitizer_cov_trace_pc_indir(uintptr_t callee)
{
	(void)callee;
}

/* --- places by number: clang's guards --------------------------------------------------------------------------- */

CALLED(void) __sanitizer_cov_trace_pc_guard_init(uint32_t *start, uint32_t *stop)
{
	static uint32_t last;

	attach();
	if (!header || start == stop || *start)
		return;
	for (; start < stop; start++)
		*start = ++last; /* 0 is that of who isn't counted */
	header->used = last + 1 < header->counters_size ? last + 1 : header->counters_size;
}

CALLED(void) __sanitizer_cov_trace_pc_guard(uint32_t *guard)
{
	if (header && *guard)
		bump(*guard);
}

/* --- counters of the compiler's own: the pages that they are in are put into the shared file -------------------- */

CALLED(void) __sanitizer_cov_8bit_counters_init(char *start, char *stop)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first, last;
	uint32_t size, at;

	attach();
	if (!header || start >= stop || header->regions == REGIONS)
		return;
	first = (uintptr_t)start & ~(page - 1);
	last = ((uintptr_t)stop + page - 1) & ~(page - 1);
	size = (uint32_t)(last - first);
	at = header->room + room_taken;
	if (at % page || size > header->room_size - room_taken)
		return; /* it counts where nobody looks */
	/* everything else in these pages goes with them */
	memcpy((char *)header + at, (void *)first, size);
	if (mmap((void *)first, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, shared_file, at) == MAP_FAILED)
		return;
	room_taken += size;
	header->region[header->regions].start = at + (uint32_t)((uintptr_t)start - first);
	header->region[header->regions].length = (uint32_t)(stop - start);
	header->regions++;
}

CALLED(void) __sanitizer_cov_pcs_init(const uintptr_t *start, const uintptr_t *stop)
{
	(void)start;
	(void)stop;
}

/* --- comparisons ------------------------------------------------------------------------------------------------ */

UNTRACED static void compare(uint64_t left, uint64_t right, uint32_t size, uint32_t constant, uintptr_t at)
{
	struct compared *one;
	uint32_t place, slot;

	if (!compared || left == right)
		return;
	place = place_of(at);
	slot = (place ^ place >> 8) % RECENT;
	if (recent[slot].left == left && recent[slot].right == right && recent[slot].epoch == header->epoch &&
	    recent[slot].size)
		return;
	recent[slot].left = left;
	recent[slot].right = right;
	recent[slot].epoch = header->epoch;
	recent[slot].size = size;
	one = &compared[__atomic_fetch_add(&header->count, 1, __ATOMIC_RELAXED) % header->compared_slots];
	one->left = left;
	one->right = right;
	one->place = place;
	one->size = size;
	one->constant = constant;
}

#define COMPARISON(suffix, type)                                                                               \
	CALLED(void) __sanitizer_cov_trace_cmp##suffix(type left, type right)                                  \
	{                                                                                                      \
		if (header)                                                                                    \
			compare(left, right, sizeof(type), 0, (uintptr_t)__builtin_return_address(0));         \
	}                                                                                                      \
	CALLED(void) __sanitizer_cov_trace_const_cmp##suffix(type constant, type other)                        \
	{                                                                                                      \
		if (header)                                                                                    \
			compare(other, constant, sizeof(type), 1, (uintptr_t)__builtin_return_address(0));     \
	}

COMPARISON(1, uint8_t)
COMPARISON(2, uint16_t)
COMPARISON(4, uint32_t)
COMPARISON(8, uint64_t)

/* cases: how many, bits of the value, then the constants */
CALLED(void) __sanitizer_cov_trace_switch(uint64_t value, void *table)
{
	const uint64_t *cases = table;
	uintptr_t at = (uintptr_t)__builtin_return_address(0);
	uint64_t i;

	if (!header)
		return;
	for (i = 0; i < cases[0] && i < 32; i++)
		compare(value, cases[2 + i], (uint32_t)(cases[1] / 8), 1, at + i);
}

CALLED(void) __sanitizer_cov_trace_cmpf(float left, float right)
{
	(void)left;
	(void)right;
}

CALLED(void) __sanitizer_cov_trace_cmpd(double left, double right)
{
	(void)left;
	(void)right;
}

CALLED(void) __sanitizer_cov_trace_div4(uint32_t value)
{
	(void)value;
}

CALLED(void) __sanitizer_cov_trace_div8(uint64_t value)
{
	(void)value;
}

CALLED(void) __sanitizer_cov_trace_gep(uintptr_t index)
{
	(void)index;
}
