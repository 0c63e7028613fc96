// Kinds other than disks: entropy, network cards, consoles.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "agent.h"

enum { ETHERTYPE = 0x88b5 }; // for experiments (IEEE 802)

// The one entry of a folder below a device's, such as net/eth0.
static int child_of(const char *device, const char *folder, const char *prefix, char *name, size_t size)
{
    char path[128];
    struct dirent *entry;
    DIR *open_folder;

    snprintf(path, sizeof path, "/sys/bus/virtio/devices/%s%s", device, folder);
    open_folder = opendir(path);
    if (!open_folder)
        return 0;
    while ((entry = readdir(open_folder)))
        if (entry->d_name[0] != '.' && !strncmp(entry->d_name, prefix, strlen(prefix)))
            break;
    if (entry)
        snprintf(name, size, "%.40s", entry->d_name);
    closedir(open_folder);
    return entry != NULL;
}

const char *work_rng(struct device *device)
{
    unsigned char data[64];
    uint64_t number = 0;
    int file = open("/dev/hwrng", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    if (file < 0)
        return "/dev/hwrng can't be opened";
    say("state %d working", device->slot);
    said();
    while (!(stopped(device, -1, 1) & 1)) {
        ssize_t count = read(file, data, sizeof data);
        if (count < 0 && errno == EAGAIN)
            continue;
        // The kernel keeps what it read, even when the device goes and comes: whose data it is can't be told.
        say_handed(device->slot, number++, count < 0 ? -errno : (long)count, NULL, 0);
        said();
    }
    close(file);
    return NULL;
}

static int raise_up(const char *name, int socket_)
{
    struct ifreq request = {0};

    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    if (ioctl(socket_, SIOCGIFFLAGS, &request) < 0)
        return -1;
    request.ifr_flags |= IFF_UP | IFF_PROMISC;
    return ioctl(socket_, SIOCSIFFLAGS, &request);
}

// Frames of growing length out, with a running number behind the header; whatever comes in is told.
const char *work_net(struct device *device)
{
    static unsigned char frame[2048];
    char name[IFNAMSIZ];
    struct sockaddr_ll place = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    uint64_t came = 0, sent = 0;
    int wire = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ALL));

    if (!child_of(device->name, "/net", "", name, sizeof name) || wire < 0)
        return "no network card came of it";
    place.sll_ifindex = (int)if_nametoindex(name);
    if (bind(wire, (struct sockaddr *)&place, sizeof place) || raise_up(name, wire))
        return "its network card can't be used";
    say("state %d working", device->slot);
    said();
    while (!(stopped(device, wire, 1) & 1)) {
        struct sockaddr_ll from;
        socklen_t size = sizeof from;
        ssize_t count;

        while ((count = recvfrom(wire, frame, sizeof frame, 0, (struct sockaddr *)&from, &size)) > 0)
            if (from.sll_pkttype != PACKET_OUTGOING)
                say_handed(device->slot, came++, (long)count, frame, (size_t)count);
        said();
        for (int each = 0; each < 8; each++) {
            memset(frame, 0xff, 6);
            memset(frame + 6, 2, 6);
            frame[12] = ETHERTYPE >> 8, frame[13] = ETHERTYPE & 255;
            memcpy(frame + 14, &sent, sizeof sent);
            if (send(wire, frame, 60 + sent % 1400, 0) < 0)
                break;
            sent++;
        }
    }
    close(wire);
    return NULL;
}

// Lines go out as fast as they are taken; whatever comes in is told.
const char *work_console(struct device *device)
{
    unsigned char data[512];
    char name[64], path[128], line[64];
    struct termios how;
    uint64_t number = 0, lines = 0;
    int file, tries = 2000;

    do { // the device is asked for its ports only after the binding
        if (stopped(device, -1, 5) & 1)
            return NULL;
        snprintf(path, sizeof path, "/dev/hvc0");
        if (child_of(device->name, "/virtio-ports", "vport", name, sizeof name))
            snprintf(path, sizeof path, "/dev/%s", name);
        file = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    } while (file < 0 && tries--);
    if (file < 0)
        return "its console can't be opened";
    if (tcgetattr(file, &how) == 0) {
        cfmakeraw(&how);
        tcsetattr(file, TCSANOW, &how);
    }
    say("state %d working", device->slot);
    said();
    while (!(stopped(device, file, 2) & 1)) {
        ssize_t count = read(file, data, sizeof data);
        int size = snprintf(line, sizeof line, "vqfuzz %llu\n", (unsigned long long)lines);

        if (count > 0) {
            say_handed(device->slot, number++, (long)count, data, (size_t)count);
            said();
        }
        if (write(file, line, (size_t)size) == size)
            lines++;
        else if (errno != EAGAIN)
            return "its console takes nothing";
    }
    close(file);
    return NULL;
}
