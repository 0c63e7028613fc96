// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The driver's memory: what a device reads lies in memory shared with it, everything else on the heap.
 *
 * Blocks of the shared memory are powers of two from 128 bytes on, at least 64 bytes of each are nobody's, and what was
 * freed is used again as late as possible. So a sanitizer sees accesses beside or after a block here, too; and the
 * same calls give the same addresses.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifdef SANITIZED
#include <sanitizer/asan_interface.h>
#define LOCK(block, size) __asan_poison_memory_region(block, size)
#define UNLOCK(block, size) __asan_unpoison_memory_region(block, size)
#else
#define LOCK(block, size) ((void)(block), (void)(size))
#define UNLOCK(block, size) ((void)(block), (void)(size))
#endif

#define UNIT 64UL
#define PAGE 4096UL
#define JUNK 0xa5
#define CLASSES 32
#define REST 8 /* so many freed blocks of a class rest before the first of them is used again */

void *vqfuzz_alloc(size_t size);
void *vqfuzz_pages(size_t size);
void vqfuzz_free(void *block);

static char *shared;
static size_t end, bump;
static uint8_t *class_of;       /* by unit: class of the block that begins here */
static uint32_t *next_of;       /* by unit: the block freed after this one, + 1 */
static uint32_t first[CLASSES], last[CLASSES], count[CLASSES]; /* freed blocks: unit + 1 */
static bool shared_next;
static uint32_t failing;
static int live;

bool vqfuzz_share(int memory, size_t size, size_t rings)
{
	int flags = MAP_SHARED | MAP_FIXED_NOREPLACE;

	shared = mmap((void *)VQFUZZ_ADDRESS, size, PROT_READ | PROT_WRITE, flags, memory, 0);
	if (shared != (char *)VQFUZZ_ADDRESS)
		return false;
	end = rings;
	class_of = calloc(rings / UNIT, sizeof(*class_of));
	next_of = calloc(rings / UNIT, sizeof(*next_of));
	LOCK(shared, rings);
	return class_of && next_of;
}

void vqfuzz_shared_next(bool is_shared)
{
	shared_next = is_shared;
}

void vqfuzz_fail(uint32_t after)
{
	failing = after;
}

int vqfuzz_left(void)
{
	return live;
}

void vqfuzz_forget(void)
{
	if (live)
		return;
	bump = 0;
	memset(first, 0, sizeof(first));
	memset(last, 0, sizeof(last));
	memset(count, 0, sizeof(count));
}

static bool fails(void)
{
	return failing && !--failing;
}

static void *take(size_t size)
{
	unsigned int class = 1;
	size_t block, at;

	while ((UNIT << class) < size + UNIT)
		class++;
	block = UNIT << class;
	if (class >= CLASSES || block > end)
		return NULL;
	at = (bump + (block < PAGE ? block : PAGE) - 1) & ~((block < PAGE ? block : PAGE) - 1);
	if (count[class] > REST || (at + block > end && count[class])) {
		at = (first[class] - 1) * UNIT;
		first[class] = next_of[at / UNIT];
		count[class]--;
	} else if (at + block > end) {
		return NULL;
	} else {
		bump = at + block;
	}
	class_of[at / UNIT] = class;
	UNLOCK(shared + at, size);
	return shared + at;
}

/* kmalloc() and its like: what stands in it has no meaning. */
void *vqfuzz_alloc(size_t size)
{
	void *block;

	if (fails())
		return NULL;
	block = shared_next ? take(size) : malloc(size);
	if (!block)
		return NULL;
	memset(block, JUNK, size);
	live++;
	return block;
}

/* Whole pages, zeroed: of these rings are made. */
void *vqfuzz_pages(size_t size)
{
	void *block;

	size = (size + PAGE - 1) & ~(PAGE - 1);
	if (fails())
		return NULL;
	block = take(size);
	if (!block)
		return NULL;
	memset(block, 0, size);
	live++;
	return block;
}

void vqfuzz_free(void *pointer)
{
	char *block = pointer;
	unsigned int class;
	uint32_t unit;

	if (!block)
		return;
	live--;
	if (block < shared || block >= shared + end) {
		free(block);
		return;
	}
	unit = (block - shared) / UNIT;
	class = class_of[unit];
	if (!class || (block - shared) % UNIT)
		abort(); /* freed twice, or never allocated */
	class_of[unit] = 0;
	LOCK(block, UNIT << class);
	next_of[unit] = 0;
	if (count[class]++)
		next_of[last[class]] = unit + 1;
	else
		first[class] = unit + 1;
	last[class] = unit;
}
