// SPDX-License-Identifier: MIT
/*
 * A plugin for QEMU's TCG: counts blocks of a guest's code, such as its virtio drivers, in memory shared as by vqcov.c.
 *
 *   -accel tcg -plugin tcg.so,from=0xffffffff81000000,to=0xffffffff81020000
 *
 * Needs no header of QEMU: of its interface only functions are used that are the same from version 2 on.
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
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*translated)(plugin_id id, struct qemu_plugin_tb *block));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, void (*run)(unsigned int cpu, void *data),
					  int registers, void *data);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *block);

EXPORTED int qemu_plugin_version = 2;
EXPORTED int qemu_plugin_install(plugin_id id, const void *info, int count, char **words);

/* ------------------------------------------------------------------------------------------------------------------ */

static uint64_t from, to = UINT64_MAX;

static void run(unsigned int cpu, void *data)
{
	(void)cpu;
	vqcov_count((uint32_t)(uintptr_t)data);
}

static void translated(plugin_id id, struct qemu_plugin_tb *block)
{
	uint64_t at = qemu_plugin_tb_vaddr(block);

	(void)id;
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
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
