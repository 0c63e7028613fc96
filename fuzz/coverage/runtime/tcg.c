// SPDX-License-Identifier: MIT
/*
 * A plugin for QEMU's TCG: counts blocks of a guest's code, such as its virtio drivers, in memory shared as by vqcov.c.
 *
 *   -accel tcg -plugin tcg.so,from=0xffffffff81000000,to=0xffffffff81020000
 *
 * Needs no header of QEMU: of its interface only functions are used that there are from version 2 on. From version 7 on
 * (QEMU 11) callbacks take data of ours; before, registering with one word more did no harm, so one build does for all.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))

/* of vqcov.c, which is linked into the plugin */
void vqcov_count(uint32_t place);

/* --- QEMU's interface for plugins, as far as it is needed --------------------------------------------------------- */

struct qemu_plugin_tb;
typedef uint64_t plugin_id;
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*translated)(uintptr_t one, uintptr_t other), void *data);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, void (*run)(unsigned int cpu, void *data),
					  int registers, void *data);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *block);

void qemu_plugin_set_pc(uint64_t to) __attribute__((weak)); /* is there since the version before 7 */

EXPORTED int qemu_plugin_version = 2;
EXPORTED int qemu_plugin_install(plugin_id id, const void *info, int count, char **words);

/* ------------------------------------------------------------------------------------------------------------------ */

static uint64_t from, to = UINT64_MAX;

static void run(unsigned int cpu, void *data)
{
	(void)cpu;
	vqcov_count((uint32_t)(uintptr_t)data);
}

/* QEMU looks at the version behind this. */
__attribute__((constructor)) static void choose_version(void)
{
	if (qemu_plugin_set_pc)
		qemu_plugin_version = 7;
}

/* Of (id, block), or of (block, data) with data of ours, which is where «from» is. */
static void translated(uintptr_t one, uintptr_t other)
{
	struct qemu_plugin_tb *block = (struct qemu_plugin_tb *)(other == (uintptr_t)&from ? one : other);
	uint64_t at = qemu_plugin_tb_vaddr(block);

	if (at >= from && at < to)
		qemu_plugin_register_vcpu_tb_exec_cb(block, run, 0, (void *)(uintptr_t)(uint32_t)(at - from));
}

static bool number(const char *word, const char *name, uint64_t *value)
{
	size_t length = strlen(name);
	char *end;

	if (strncmp(word, name, length) || !word[length])
		return false;
	*value = strtoull(word + length, &end, 0);
	return !*end;
}

EXPORTED int qemu_plugin_install(plugin_id id, const void *info, int count, char **words)
{
	int i;

	(void)info;
	for (i = 0; i < count; i++)
		if (!number(words[i], "from=", &from) && !number(words[i], "to=", &to)) {
			fprintf(stderr, "vqfuzz's plugin: %s is neither from=ADDRESS nor to=ADDRESS\n", words[i]);
			return -1;
		}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated, &from);
	return 0;
}
