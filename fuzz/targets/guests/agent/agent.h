// What the parts of the agent share. The agent is all that runs in a guest: process 1, and a worker for each device
// that is in use. Its words are described in agent.c.
#ifndef VQFUZZ_AGENT_H
#define VQFUZZ_AGENT_H

#include <stddef.h>
#include <stdint.h>

enum { DEPTH = 32 };             // requests outstanding at a time
enum { LARGEST = 128 * 512 };    // bytes of the largest one
enum { CHECKED = 16 };           // bytes of what arrived that are told

struct device {
    int slot;          // as the host counts
    char name[32];     // as the bus does: virtio0
    unsigned kind;     // virtio device id (5)
    int stop;          // a pipe: readable when the worker is to end
};

// What a kind of device does between the binding of its driver and the unbinding.
struct work {
    unsigned kind;
    const char *driver;
    const char *(*run)(struct device *device); // returns why it can't work, or NULL when it was stopped
};

extern const struct work WORK[];

// say.c
void say_open(const char *tty);
int say_descriptor(void);
void say(const char *format, ...) __attribute__((format(printf, 1, 2))); // a line, kept back until said()
void said(void);
void say_handed(int slot, uint64_t tag, long result, const void *data, size_t length);
int put(const char *path, const char *text);            // into a file; 0, or -errno
int get(const char *path, char *text, size_t size);     // a file's first line; its length, or -errno
int stopped(struct device *device, int descriptor, int milliseconds); // waits; 1: stop, 2: descriptor is readable

// code.c
void say_code(void);

// blk.c, others.c, vsock.c
const char *work_blk(struct device *device);
const char *work_rng(struct device *device);
const char *work_net(struct device *device);
const char *work_console(struct device *device);
const char *work_vsock(struct device *device);

#endif
