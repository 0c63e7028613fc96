// Where the kernel's code for virtqueues lies (virtio_ring.c), as /proc/kallsyms says, whose lines go up in address.
//
// Nobody tells which symbols belong to a file that is built in: its functions lie together, and most have a name that
// tells. A module's symbols name it.
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "agent.h"

enum { APART = 24 };       // names in between that tell nothing, at most
enum { LAST = 4096 };      // bytes that the last function of a module may have

static const char SURE[] = "vring_interrupt"; // is of that file, in all versions

static int tells(const char *name)
{
    return strstr(name, "virtqueue") || strstr(name, "vring_") || strstr(name, "detach_buf_");
}

// A run of names that tell: from its first to where the one after its last begins.
struct run {
    unsigned long long from, to;
    int since; // names after the last that tells
    int sure;
};

static int ended(struct run *run, unsigned long long at, const char *name, struct run *found)
{
    if (run->from && run->since == 0)
        run->to = at; // the last one ends here
    if (tells(name)) {
        if (!run->from)
            run->from = at;
        run->since = 0;
        run->sure |= !strcmp(name, SURE);
        return 0;
    }
    if (!run->from || ++run->since <= APART)
        return 0;
    if (run->sure)
        *found = *run;
    memset(run, 0, sizeof *run);
    return found->sure;
}

void say_code(void)
{
    FILE *symbols = fopen("/proc/kallsyms", "re");
    char line[512], name[256], module[128];
    struct run run = {0}, found = {0}, loaded = {0};
    unsigned long long at;
    char kind;

    while (symbols && !found.sure && fgets(line, sizeof line, symbols)) {
        int words = sscanf(line, "%llx %c %255s [%127[^]]]", &at, &kind, name, module);

        if (words < 3 || !at || (kind != 't' && kind != 'T'))
            continue;
        if (words == 3) {
            ended(&run, at, name, &found);
        } else if (!strcmp(module, "virtio_ring")) {
            loaded.from = loaded.from && loaded.from < at ? loaded.from : at;
            loaded.to = loaded.to > at + LAST ? loaded.to : at + LAST;
        }
    }
    if (symbols)
        fclose(symbols);
    if (!found.sure)
        found = loaded;
    say("code %llx %llx", found.from, found.to);
}
