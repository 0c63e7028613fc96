// The agent: all that runs in a guest. Process 1 listens to the host; a worker for each device binds its driver, keeps
// it busy and unbinds it, so that one that hangs stops no other.
//
// The host says   begin SLOT | end SLOT | blocked | crash | off
// and hears       code FROM TO            if the kernel's command line asks: hex, 0 0 if nobody knows
//                 device SLOT NAME KIND   for each device, then   ready RELEASE
//                 state SLOT starting | working | ending | off       features SLOT HEX, after the binding
//                 failed SLOT WHY           h SLOT TAG RESULT BYTES   what came back of one request (TAG and BYTES: hex)
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent.h"

enum { MOST = 16 }; // devices

const struct work WORK[] = {
    {1, "virtio_net", work_net},
    {2, "virtio_blk", work_blk},
    {3, "virtio_console", work_console},
    {4, "virtio_rng", work_rng},
    {19, "vmw_vsock_virtio_transport", work_vsock},
    {0, NULL, NULL},
};

static struct device devices[MOST];
static int stops[MOST]; // the worker's end of life: our end of its pipe, or -1
static int count;

static void features(struct device *device)
{
    char path[128], text[160] = "";
    unsigned long long bits = 0;

    snprintf(path, sizeof path, "/sys/bus/virtio/devices/%s/features", device->name);
    get(path, text, sizeof text);
    for (int bit = 0; bit < 64 && text[bit]; bit++)
        if (text[bit] == '1')
            bits |= 1ull << bit;
    say("features %d %llx", device->slot, bits);
}

static const char *bind_driver(const struct device *device, const struct work *work, const char *what)
{
    static char why[160];
    char path[128];
    int result;

    snprintf(path, sizeof path, "/sys/bus/virtio/drivers/%s/%s", work->driver, what);
    result = put(path, device->name);
    if (!result || (result == -EBUSY && !strcmp(what, "bind"))) // bound already
        return NULL;
    snprintf(why, sizeof why, "%s %s: %s", what, work->driver, strerror(-result));
    return why;
}

static const char *serve(struct device *device)
{
    const struct work *work = WORK;
    const char *why, *after;

    while (work->driver && work->kind != device->kind)
        work++;
    if (!work->driver)
        return "no driver for this kind of device";
    say("state %d starting", device->slot);
    said();
    if ((why = bind_driver(device, work, "bind")))
        return why;
    features(device);
    said();
    why = work->run(device);
    say("state %d ending", device->slot);
    said();
    after = bind_driver(device, work, "unbind");
    return why ? why : after;
}

static void worker(struct device *device)
{
    const char *why = serve(device);

    if (why)
        say("failed %d %s", device->slot, why);
    else
        say("state %d off", device->slot);
    said();
    _exit(0);
}

static void begin(int slot)
{
    int ends[2];

    if (stops[slot] >= 0)
        close(stops[slot]);
    if (pipe2(ends, O_CLOEXEC))
        return;
    stops[slot] = ends[1];
    if (fork() == 0) {
        for (int each = 0; each < count; each++) // else another's pipe would never close
            if (stops[each] >= 0)
                close(stops[each]);
        devices[slot].stop = ends[0];
        worker(&devices[slot]);
    }
    close(ends[0]);
}

static void end(int slot)
{
    if (stops[slot] >= 0)
        close(stops[slot]);
    stops[slot] = -1;
}

static void off(void)
{
    sync();
    reboot(RB_POWER_OFF);
}

static void obey(const char *line)
{
    int slot = -1;

    if (!strcmp(line, "off"))
        off();
    else if (!strcmp(line, "blocked")) // the kernel says on its console which tasks hang, and where
        put("/proc/sysrq-trigger", "w");
    else if (!strcmp(line, "crash"))
        put("/proc/sysrq-trigger", "c");
    else if (sscanf(line, "begin %d", &slot) == 1 && slot >= 0 && slot < count)
        begin(slot);
    else if (sscanf(line, "end %d", &slot) == 1 && slot >= 0 && slot < count)
        end(slot);
}

static void load_modules(void)
{
    struct dirent **names;
    char path[300];
    int found = scandir("/modules", &names, NULL, alphasort);

    for (int each = 0; each < found; each++) {
        int file;
        if (names[each]->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/modules/%s", names[each]->d_name);
        file = open(path, O_RDONLY | O_CLOEXEC);
        if (file < 0 || syscall(SYS_finit_module, file, "", 0))
            printf("vqfuzz agent: %s: %s\n", path, strerror(errno));
        close(file);
    }
}

static void find_devices(void)
{
    char path[128], text[32];

    for (int number = 0; number < MOST; number++) {
        struct device *device = &devices[count];
        snprintf(path, sizeof path, "/sys/bus/virtio/devices/virtio%d/device", number);
        if (get(path, text, sizeof text) < 0)
            continue;
        device->slot = count;
        device->kind = (unsigned)strtoul(text, NULL, 16);
        snprintf(device->name, sizeof device->name, "virtio%d", number);
        stops[count++] = -1;
        say("device %d %s %u", device->slot, device->name, device->kind);
    }
}

int main(void)
{
    const char *tty = getenv("vqfuzz_tty");
    struct utsname about;
    char line[256];
    size_t length = 0;

    signal(SIGCHLD, SIG_IGN); // workers that end need no burial
    mkdir("/proc", 0755), mkdir("/sys", 0755), mkdir("/dev", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    put("/sys/bus/virtio/drivers_autoprobe", "0"); // a driver comes when it is told to
    put("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    put("/proc/sys/kernel/sysrq", "1");
    put("/proc/sys/kernel/hung_task_timeout_secs", "10");
    load_modules();
    say_open(tty ? tty : "/dev/ttyS0");
    if (getenv("vqfuzz_code"))
        say_code();
    uname(&about);
    find_devices();
    say("ready %s", about.release);
    said();
    for (;;) {
        char byte;
        ssize_t now = read(say_descriptor(), &byte, 1);
        if (now == 0 || (now < 0 && errno != EINTR))
            off(); // nobody is there any more
        if (now != 1)
            continue;
        if (byte == '\n') {
            line[length] = 0;
            obey(line);
            length = 0;
        } else if (length < sizeof line - 1) {
            line[length++] = byte;
        }
    }
}
