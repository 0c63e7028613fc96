// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A vhost-user back-end for tests: one split virtqueue, one connection after the other, one thread.
 *
 *   backend SOCKET OUTCOMES
 *
 * It reads each buffer, answers with up to 16 bytes, and marks in the file OUTCOMES, a byte each, which of twelve things
 * it has met: they are hidden behind values of bytes, lengths, and the shape of the chain (judge()).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { GET_FEATURES = 1, SET_FEATURES, SET_OWNER, SET_MEM_TABLE = 5, SET_VRING_NUM = 8, SET_VRING_ADDR,
       SET_VRING_BASE, GET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR };
enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };
#define FEATURES (1ull << 32 | 1ull << 28) /* VERSION_1, INDIRECT_DESC */
#define OUTCOMES 12
#define LONGEST (1u << 18)

struct message {
	uint32_t request, flags, size;
	uint8_t payload[256];
} __attribute__((packed));

struct descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags, next;
};

struct used_element {
	uint32_t id, length;
};

struct memory {
	uint64_t guest, size, user, offset;
};

static struct memory region;
static uint8_t *shared;
static struct descriptor *descriptors;
static uint16_t *available, *used;
static uint32_t queue_size;
static uint16_t position;
static int kick = -1, call = -1;
static uint8_t *outcomes, data[LONGEST];
static uint32_t previous;

/* --- what is hidden ----------------------------------------------------------------------------------------------- */

struct chain {
	uint32_t length, room, readable, writable; /* bytes to read, to write; descriptors of either kind */
	bool table;
};

static void reached(unsigned int which)
{
	outcomes[which] = 1;
}

static uint64_t number(uint32_t at, uint32_t size)
{
	uint64_t value = 0;

	memcpy(&value, data + at, size);
	return value;
}

static void judge(const struct chain *chain)
{
	uint32_t first, length = chain->length;

	if (length == 1337)
		reached(0);
	if (chain->room == 2741)
		reached(1);
	if (chain->readable == 3 && chain->writable == 5)
		reached(2);
	if (length < 16)
		return;
	first = (uint32_t)number(0, 4);
	if (data[0] == 0x7e) {
		reached(3);
		if (data[1] == 0xa5 && chain->room > 64)
			reached(4);
	}
	if ((uint16_t)number(2, 2) == 0xbeef)
		reached(5);
	if (first == 0x5eedf00d)
		reached(6);
	if (number(0, 8) == 0xfeedface12345678ull)
		reached(7);
	if (__builtin_bswap32((uint32_t)number(4, 4)) == 0x51ab3c07)
		reached(8);
	if (first == 0xc0dec0de && length == 77 && (uint32_t)number(8, 4) == 0x0ddba11)
		reached(9);
	if (previous == 0x11223344 && number(8, 8) == 0x8877665544332211ull)
		reached(10);
	if (chain->table && chain->readable + chain->writable == 7 && (uint16_t)number(4, 2) == 0x1abe)
		reached(11);
	previous = first;
}

/* --- the ring ----------------------------------------------------------------------------------------------------- */

static void *at_guest(uint64_t address, uint64_t length)
{
	if (!shared || address < region.guest || length > region.size || address - region.guest > region.size - length)
		return NULL;
	return shared + region.offset + (address - region.guest);
}

static void *at_user(uint64_t address)
{
	return address - region.user < region.size ? shared + region.offset + (address - region.user) : NULL;
}

/* One element of a chain: read, or answered; false if it can't be. */
static bool element(struct chain *chain, const struct descriptor *one, uint32_t *written)
{
	uint8_t *bytes = at_guest(one->address, one->length);
	uint32_t count;

	if (!bytes)
		return false;
	if (!(one->flags & WRITE)) {
		if (chain->writable || one->length > LONGEST - chain->length)
			return false;
		memcpy(data + chain->length, bytes, one->length);
		chain->length += one->length;
		chain->readable++;
		return true;
	}
	count = *written + one->length < 16 ? one->length : 16 - *written;
	memset(bytes, 0x5a, count);
	*written += count;
	chain->room += one->length;
	chain->writable++;
	return true;
}

static bool walk(struct chain *chain, const struct descriptor *table, uint32_t size, uint32_t at, uint32_t *written)
{
	uint32_t count;

	for (count = 0; count < size && at < size; count++) {
		struct descriptor one = table[at];

		if (one.flags & INDIRECT) {
			const struct descriptor *inner = at_guest(one.address, one.length);

			if (!inner || chain->table || one.flags & NEXT || one.length % sizeof(one))
				return false;
			chain->table = true;
			return walk(chain, inner, one.length / sizeof(one), 0, written);
		}
		if (!element(chain, &one, written))
			return false;
		if (!(one.flags & NEXT))
			return true;
		at = one.next;
	}
	return false;
}

/* Everything that is available; false if the driver breaks a rule. */
static bool serve(void)
{
	struct used_element *ring = (struct used_element *)(used + 2);

	if (!descriptors || !available || !used || !queue_size)
		return true;
	while (position != __atomic_load_n(&available[1], __ATOMIC_ACQUIRE)) {
		uint16_t head = available[2 + position % queue_size], place = used[1];
		struct chain chain = {0};
		uint32_t written = 0;

		if (!walk(&chain, descriptors, queue_size, head, &written))
			return false;
		judge(&chain);
		ring[place % queue_size] = (struct used_element){head, written};
		__atomic_store_n(&used[1], (uint16_t)(place + 1), __ATOMIC_RELEASE);
		position++;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (!(available[0] & 1) && call >= 0 && write(call, &(uint64_t){1}, 8) != 8)
			return false;
	}
	return true;
}

/* --- the conversation --------------------------------------------------------------------------------------------- */

static void give_up(int *descriptor, int other)
{
	if (*descriptor >= 0)
		close(*descriptor);
	*descriptor = other;
}

static void forget(void)
{
	if (shared)
		munmap(shared, region.offset + region.size);
	shared = NULL;
	descriptors = NULL;
	available = used = NULL;
	queue_size = 0;
	position = 0;
	previous = 0;
	give_up(&kick, -1);
	give_up(&call, -1);
}

static bool take(int connection, struct message *message, int *gift)
{
	char room[CMSG_SPACE(8 * sizeof(int))];
	struct iovec part = {message, 12};
	struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
	struct cmsghdr *extra;

	*gift = -1;
	if (recvmsg(connection, &head, MSG_CMSG_CLOEXEC | MSG_WAITALL) != 12)
		return false;
	extra = CMSG_FIRSTHDR(&head);
	if (extra && extra->cmsg_type == SCM_RIGHTS)
		memcpy(gift, CMSG_DATA(extra), sizeof(int));
	if (message->size > sizeof(message->payload))
		return false;
	return !message->size || recv(connection, message->payload, message->size, MSG_WAITALL) == (ssize_t)message->size;
}

static bool answer(int connection, struct message *message, uint32_t size)
{
	message->flags = 5;
	message->size = size;
	return send(connection, message, 12 + size, MSG_NOSIGNAL) == (ssize_t)(12 + size);
}

static bool talk(int connection)
{
	struct message message;
	uint32_t state[2];
	uint64_t areas[5];
	int gift;

	if (!take(connection, &message, &gift))
		return false;
	memcpy(state, message.payload, sizeof(state));
	switch (message.request) {
	case GET_FEATURES:
		memcpy(message.payload, &(uint64_t){FEATURES}, 8);
		return answer(connection, &message, 8);
	case SET_MEM_TABLE:
		if (state[0] != 1 || gift < 0 || shared)
			return false;
		memcpy(&region, message.payload + 8, sizeof(region));
		shared = mmap(NULL, region.offset + region.size, PROT_READ | PROT_WRITE, MAP_SHARED, gift, 0);
		close(gift);
		return shared != MAP_FAILED;
	case SET_VRING_NUM:
		queue_size = state[1];
		return queue_size <= 32768;
	case SET_VRING_BASE:
		position = (uint16_t)state[1];
		return true;
	case SET_VRING_ADDR:
		memcpy(areas, message.payload, sizeof(areas));
		descriptors = at_user(areas[1]);
		used = at_user(areas[2]);
		available = at_user(areas[3]);
		return descriptors && used && available;
	case SET_VRING_KICK:
		give_up(&kick, gift);
		return true;
	case SET_VRING_CALL:
		give_up(&call, gift);
		return true;
	case GET_VRING_BASE:
		give_up(&kick, -1);
		state[1] = position;
		memcpy(message.payload, state, sizeof(state));
		return answer(connection, &message, 8);
	default:
		if (gift >= 0)
			close(gift);
		return true;
	}
}

static void converse(int connection)
{
	uint64_t events;

	for (;;) {
		struct pollfd both[2] = {{connection, POLLIN, 0}, {kick, POLLIN, 0}};

		if (poll(both, 2, -1) < 0 && errno != EINTR)
			break;
		if (both[1].revents & POLLIN && (read(kick, &events, 8) != 8 || !serve()))
			break;
		if (both[0].revents && !talk(connection))
			break;
	}
	forget();
	close(connection);
}

int main(int count, char **words)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), file, connection;

	if (count != 3 || strlen(words[1]) >= sizeof(address.sun_path)) {
		fprintf(stderr, "backend SOCKET OUTCOMES\n");
		return 2;
	}
	file = open(words[2], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (file < 0 || ftruncate(file, OUTCOMES))
		return 2;
	outcomes = mmap(NULL, OUTCOMES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	strcpy(address.sun_path, words[1]);
	if (outcomes == MAP_FAILED || bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 8))
		return 2;
	while ((connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		converse(connection);
	return 1;
}
