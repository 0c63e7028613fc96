// Sockets: a stream to the host, which is written to as fast as it is taken, and read from.
//
// What is read is whole pieces of 16 bytes, for that is what the host sends; of each read the first piece is told.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "agent.h"

enum { PORT = 1234 }; // and the slot
enum { PATIENCE = 600 }; // seconds: the host may take its time
enum { SOME = 8 };    // writes in a row

static int call_host(const struct device *device)
{
    struct sockaddr_vm host = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST};
    struct timeval patience = {.tv_sec = PATIENCE};
    int wire = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    host.svm_port = (unsigned)(PORT + device->slot);
    if (wire < 0)
        return -1;
    setsockopt(wire, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &patience, sizeof patience);
    if (connect(wire, (struct sockaddr *)&host, sizeof host) == 0 || errno == EINPROGRESS)
        return wire;
    close(wire);
    return -1;
}

static int answered(int wire)
{
    struct pollfd looked = {wire, POLLOUT, 0};

    return poll(&looked, 1, 0) > 0;
}

// Whether the stream still stands. It does before the host answered, too.
static int listen_to(struct device *device, int wire, uint64_t *number)
{
    static unsigned char data[4096];
    ssize_t count;

    while ((count = recv(wire, data, sizeof data, 0)) > 0)
        say_handed(device->slot, (*number)++, (long)count, data, (size_t)count);
    said();
    return count < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOTCONN);
}

// Pieces of 16 bytes that say which they are; one that did not go out whole is begun anew, for nobody puts them together.
static void talk(int wire, uint64_t *sent)
{
    static unsigned char data[4096];

    for (int each = 0; each < SOME; each++) {
        size_t size = 16 * (1 + *sent % (sizeof data / 16));
        for (size_t at = 0; at < size; at += 16) {
            memcpy(data + at, sent, 8);
            memcpy(data + at + 8, "vqfuzz\r\n", 8);
        }
        if (send(wire, data, size, MSG_NOSIGNAL) < 0)
            return;
        ++*sent;
    }
}

const char *work_vsock(struct device *device)
{
    uint64_t number = 0, sent = 0;
    int wire = call_host(device);

    if (wire < 0)
        return "there is no way to the host";
    while (!answered(wire))
        if (stopped(device, -1, 2) & 1) {
            close(wire);
            return NULL;
        }
    say("state %d working", device->slot);
    said();
    while (!(stopped(device, wire, 2) & 1)) {
        if (listen_to(device, wire, &number)) {
            talk(wire, &sent);
            continue;
        }
        close(wire);
        wire = call_host(device);
        if (wire < 0)
            return "there is no way to the host any more";
    }
    close(wire);
    return NULL;
}
