// Lines to the host, and small files.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "agent.h"

static int channel = -1;
static char kept[1 << 16];
static size_t length;

void say_open(const char *tty)
{
    struct termios how;

    channel = open(tty, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (channel < 0) {
        printf("vqfuzz agent: %s: %s\n", tty, strerror(errno));
        return;
    }
    if (tcgetattr(channel, &how) == 0) {
        cfmakeraw(&how);
        cfsetspeed(&how, B115200);
        tcsetattr(channel, TCSANOW, &how);
    }
}

int say_descriptor(void)
{
    return channel;
}

// In one call, which no other worker's lines come between.
void said(void)
{
    size_t done = 0;

    while (done < length) {
        ssize_t now = write(channel, kept + done, length - done);
        if (now < 0 && errno != EINTR && errno != EAGAIN)
            break;
        done += now > 0 ? (size_t)now : 0;
    }
    length = 0;
}

void say(const char *format, ...)
{
    va_list words;
    int wrote;

    if (length + 512 > sizeof kept)
        said();
    va_start(words, format);
    wrote = vsnprintf(kept + length, 511, format, words);
    va_end(words);
    length += wrote > 510 ? 510 : (size_t)wrote;
    kept[length++] = '\n';
}

void say_handed(int slot, uint64_t tag, long result, const void *data, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    char text[2 * CHECKED + 1];
    const unsigned char *bytes = data;
    size_t count = size > CHECKED ? CHECKED : size;

    for (size_t at = 0; at < count; at++) {
        text[2 * at] = digits[bytes[at] >> 4];
        text[2 * at + 1] = digits[bytes[at] & 15];
    }
    text[2 * count] = 0;
    say("h %d %llx %ld %s", slot, (unsigned long long)tag, result, count ? text : "-");
}

int put(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CLOEXEC), result = 0;

    if (file < 0)
        return -errno;
    if (write(file, text, strlen(text)) < 0)
        result = -errno;
    close(file);
    return result;
}

int get(const char *path, char *text, size_t size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count;

    text[0] = 0;
    if (file < 0)
        return -errno;
    count = read(file, text, size - 1);
    close(file);
    if (count < 0)
        return -errno;
    text[count] = 0;
    text[strcspn(text, "\n")] = 0;
    return (int)strlen(text);
}

int stopped(struct device *device, int descriptor, int milliseconds)
{
    struct pollfd looked[2] = {{device->stop, POLLIN, 0}, {descriptor, POLLIN, 0}};

    if (poll(looked, descriptor < 0 ? 1 : 2, milliseconds) <= 0)
        return 0;
    return (looked[0].revents ? 1 : 0) | (looked[1].revents ? 2 : 0);
}
