// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Coverage: a counter for each place of virtio_ring.c that is reached, in memory shared with whoever asks.
 *
 * -fsanitize-coverage=trace-pc is what both gcc and clang have. The program is not linked position independent and
 * is small, so that a place has the same counter in every run, and one of its own.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <sys/mman.h>

#define COUNTERS 65536UL

extern const char __executable_start[];
void __sanitizer_cov_trace_pc(void);

static uint8_t *counter;

bool vqfuzz_count(int counters)
{
	void *place = mmap(NULL, COUNTERS, PROT_READ | PROT_WRITE, MAP_SHARED, counters, 0);

	if (place == MAP_FAILED)
		return false;
	counter = place;
	return true;
}

void __sanitizer_cov_trace_pc(void)
{
	uintptr_t place = (uintptr_t)__builtin_return_address(0) - (uintptr_t)__executable_start;
	uint8_t *one;

	if (!counter)
		return;
	one = &counter[place % COUNTERS];
	*one += *one != 255;
}
