/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the harness share. No header of the kernel is needed here. */
#ifndef VQFUZZ_HARNESS_H
#define VQFUZZ_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The same number in every process and every run, so that traces of one program read alike. */
#define VQFUZZ_ADDRESS 0x200000000000UL

/* memory.c */
bool vqfuzz_share(int memory, size_t size, size_t rings); /* the first RINGS of SIZE bytes are for the driver */
void vqfuzz_shared_next(bool shared); /* whether what is allocated from here on is read by the device */
void vqfuzz_fail(uint32_t after); /* the AFTER-th allocation from here on fails, once; 0: none does */
int vqfuzz_left(void); /* allocations that were not freed */
void vqfuzz_forget(void); /* start anew, if nothing is left */

/* cover.c */
bool vqfuzz_count(int counters);

#endif
