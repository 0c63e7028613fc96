// Many requests outstanding on a block device, past the page cache: reads and writes of all sizes.
//
// What is asked for follows from the slot alone. Requests that are outstanding together never touch the same sector:
// each has a stretch of the disk for itself.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"

struct request {
    struct iocb call;
    unsigned char *data;
    uint64_t first, sectors; // its stretch
};

static uint64_t draw(uint64_t *state) // xorshift64*
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Dull;
}

static int disk_of(const char *device, char *name, size_t size)
{
    char path[128];
    struct dirent *entry;
    DIR *folder;

    snprintf(path, sizeof path, "/sys/bus/virtio/devices/%s/block", device);
    folder = opendir(path);
    if (!folder)
        return 0;
    while ((entry = readdir(folder)))
        if (entry->d_name[0] != '.')
            break;
    if (entry)
        snprintf(name, size, "%.40s", entry->d_name);
    closedir(folder);
    return entry != NULL;
}

// The next request: mostly small, sometimes large; one of four is a write, whose every 16 bytes say the sector and
// which write it is.
static void prepare(struct request *request, uint64_t *state, int file, int notify)
{
    static uint32_t writes;
    uint64_t most = LARGEST / 512, word = draw(state), count = 1 + (word >> 8) % (word & 3 ? 8 : most);
    uint64_t sector;

    if (count > request->sectors)
        count = request->sectors;
    sector = request->first + (word >> 32) % (request->sectors - count + 1);
    memset(&request->call, 0, sizeof request->call);
    request->call.aio_fildes = (uint32_t)file;
    request->call.aio_buf = (uintptr_t)request->data;
    request->call.aio_nbytes = 512 * count;
    request->call.aio_offset = (int64_t)(512 * sector);
    request->call.aio_flags = IOCB_FLAG_RESFD;
    request->call.aio_resfd = (uint32_t)notify;
    request->call.aio_data = (uintptr_t)request;
    request->call.aio_lio_opcode = (word & 12) == 12 ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
    if (request->call.aio_lio_opcode == IOCB_CMD_PREAD) {
        memset(request->data, 0x5a, 512 * count);
        return;
    }
    writes++;
    for (uint64_t at = 0; at < 512 * count; at += 16) {
        uint64_t which = sector + at / 512;
        memcpy(request->data + at, &which, 8);
        memcpy(request->data + at + 8, &writes, 4);
        memcpy(request->data + at + 12, "vqfz", 4);
    }
}

static const char *keep_busy(struct device *device, int file, uint64_t sectors)
{
    static struct request requests[DEPTH];
    static char why[64];
    aio_context_t context = 0;
    uint64_t state = 0x9E3779B97F4A7C15ull * (uint64_t)(device->slot + 1);
    int notify = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), outstanding = 0, stop = 0;

    if (syscall(SYS_io_setup, DEPTH, &context))
        return "io_setup failed";
    for (int each = 0; each < DEPTH; each++) {
        struct request *request = requests + each;
        request->data = aligned_alloc(4096, LARGEST);
        request->sectors = sectors / DEPTH;
        request->first = request->sectors * (uint64_t)each;
        if (!request->data || !request->sectors)
            return "the disk is too small";
    }
    struct iocb *calls[DEPTH];
    int ready = DEPTH;
    for (int each = 0; each < DEPTH; each++)
        calls[each] = &requests[each].call, prepare(requests + each, &state, file, notify);
    for (;;) {
        struct io_event done[DEPTH];
        long count, sent = 0;
        uint64_t ignored;

        while (!stop && sent < ready) {
            long now = syscall(SYS_io_submit, context, ready - sent, calls + sent);
            if (now <= 0) {
                snprintf(why, sizeof why, "io_submit: %s", now ? strerror(errno) : "nothing taken");
                return why;
            }
            sent += now;
        }
        outstanding += (int)sent;
        ready = 0;
        if (stop && !outstanding)
            break;
        if (!stop)
            stop = stopped(device, notify, -1) & 1;
        if (read(notify, &ignored, sizeof ignored) < 0 && errno != EAGAIN)
            return "eventfd failed";
        count = syscall(SYS_io_getevents, context, stop ? 1 : 0, DEPTH, done, NULL);
        for (long each = 0; each < count; each++) {
            struct request *request = (struct request *)(uintptr_t)done[each].data;
            int reads = request->call.aio_lio_opcode == IOCB_CMD_PREAD;
            say_handed(device->slot, (uint64_t)request->call.aio_offset / 512, (long)done[each].res, request->data,
                       reads && done[each].res > 0 ? (size_t)done[each].res : 0);
            if (!stop)
                prepare(request, &state, file, notify);
            calls[ready++] = &request->call;
        }
        outstanding -= (int)(count > 0 ? count : 0);
        said();
    }
    syscall(SYS_io_destroy, context);
    return NULL;
}

const char *work_blk(struct device *device)
{
    char disk[64], path[160], size[32];
    const char *why;
    int file;

    if (!disk_of(device->name, disk, sizeof disk))
        return "no disk came of it";
    snprintf(path, sizeof path, "/sys/block/%s/queue/nomerges", disk); // so that a request is a buffer
    put(path, "2");
    snprintf(path, sizeof path, "/sys/block/%s/queue/scheduler", disk);
    put(path, "none");
    snprintf(path, sizeof path, "/sys/block/%s/size", disk);
    get(path, size, sizeof size);
    snprintf(path, sizeof path, "/dev/%s", disk);
    file = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    if (file < 0)
        return "its disk can't be opened";
    say("state %d working", device->slot);
    said();
    why = keep_busy(device, file, strtoull(size, NULL, 10));
    close(file);
    return why;
}
