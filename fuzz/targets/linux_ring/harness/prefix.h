/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stands before everything in virtio_ring.c and in harness.c: what the headers in tools/virtio of the same tree
 * lack or do in a way that would hide something. virtio_ring.c itself is compiled as it is.
 */
#ifndef VQFUZZ_PREFIX_H
#define VQFUZZ_PREFIX_H

#include <linux/kernel.h>
#include <linux/compiler.h>
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/slab.h>

/* 6.12 lacks these two. */
#ifndef data_race
#define data_race(expression) (expression)
#endif
#ifndef MODULE_DESCRIPTION
#define MODULE_DESCRIPTION(text)
#endif
/* As the kernel's compiler_types.h has it: C23's auto, for older languages. */
#ifndef auto
#define auto __auto_type
#endif

/*
 * Memory. What the device reads (rings, indirect tables) comes from memory shared with it, page aligned and zeroed
 * where the kernel's allocator says so; the driver's own state comes from the heap, where a sanitizer watches it.
 */
void *vqfuzz_alloc(size_t size);
void *vqfuzz_pages(size_t size);
void vqfuzz_free(void *block);

#define kmalloc(size, gfp) vqfuzz_alloc(size)
#define kmalloc_array(count, size, gfp) vqfuzz_alloc((size_t)(count) * (size))
#define kfree(block) vqfuzz_free(block)
#undef alloc_pages_exact
#define alloc_pages_exact(size, gfp) vqfuzz_pages(size)
#define free_pages_exact(block, size) vqfuzz_free(block)
#define kzalloc(size, gfp) vqfuzz_zeroed(size)
static inline __attribute__((unused)) void *vqfuzz_zeroed(size_t size)
{
	void *block = vqfuzz_alloc(size);

	return block ? memset(block, 0, size) : block;
}

/* The path of devices behind an IOMMU (VIRTIO_F_ACCESS_PLATFORM). */
#undef dma_alloc_coherent
#define dma_alloc_coherent(device, size, place, gfp) ({ \
	void *vqfuzz_block = vqfuzz_pages(size); \
	*(place) = (unsigned long)vqfuzz_block; \
	vqfuzz_block; \
})
#undef dma_free_coherent
#define dma_free_coherent(device, size, block, place) vqfuzz_free(block)

#endif
