// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A process around the kernel's virtio_ring.c: up to QUEUES virtqueues of one device, driven by requests over a socket.
 *
 *	linux-ring SOCKET MEMORY SIZE RINGS [COUNTERS]
 *
 * SOCKET, MEMORY and COUNTERS are inherited file descriptors, SIZE and RINGS bytes. A request is a struct request with
 * its elements behind it, an answer a struct answer with tokens behind it; in protocol.py they stand in Python. What
 * the driver prints goes to standard error, and when it fails, this process does.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include <signal.h>
#include <sys/socket.h>

#define QUEUES 4
#define MOST 4096 /* elements of a request, tokens of an answer */
#define RING_RESET (1ULL << 40)
#define VRING_ALIGN 4096

enum op { START = 1, ADD, KICK, INTERRUPT, GET, CALLBACKS, RESET_QUEUE, RESET, TAKEN, BROKEN, FAIL };
static const char *const names[] = {
	"none", "start", "add", "kick", "interrupt", "get", "callbacks", "reset_queue", "reset", "taken", "broken", "fail",
};

struct request {
	uint32_t op;
	uint32_t readable; /* elements */
	uint32_t writable;
	uint32_t number;
	uint64_t value;
	uint32_t queue;
	uint32_t unused;
};

struct element {
	uint64_t address;
	uint64_t length;
};

struct answer {
	int64_t result;
	int64_t features;
	int64_t size;
	int64_t descriptor;
	int64_t driver;
	int64_t device;
};

/* The header in tools/virtio of 6.12 lacks these. */
bool virtqueue_kick_prepare(struct virtqueue *queue);
bool virtqueue_notify(struct virtqueue *queue);
bool virtqueue_is_broken(const struct virtqueue *queue);
unsigned int virtqueue_get_vring_size(const struct virtqueue *queue);
dma_addr_t virtqueue_get_desc_addr(const struct virtqueue *queue);
dma_addr_t virtqueue_get_avail_addr(const struct virtqueue *queue);
dma_addr_t virtqueue_get_used_addr(const struct virtqueue *queue);
#ifdef VQFUZZ_RECYCLE_DONE
int virtqueue_resize(struct virtqueue *queue, u32 size, void (*recycle)(struct virtqueue *queue, void *token),
		     void (*done)(struct virtqueue *queue));
int virtqueue_reset(struct virtqueue *queue, void (*recycle)(struct virtqueue *queue, void *token),
		    void (*done)(struct virtqueue *queue));
#define RESIZE(queue, size, recycle) virtqueue_resize(queue, size, recycle, NULL)
#define RESET_ONE(queue, recycle) virtqueue_reset(queue, recycle, NULL)
#else
int virtqueue_resize(struct virtqueue *queue, u32 size, void (*recycle)(struct virtqueue *queue, void *token));
int virtqueue_reset(struct virtqueue *queue, void (*recycle)(struct virtqueue *queue, void *token));
#define RESIZE(queue, size, recycle) virtqueue_resize(queue, size, recycle)
#define RESET_ONE(queue, recycle) virtqueue_reset(queue, recycle)
#endif

/* Switches of the headers in tools/virtio, which let a test preset what kmalloc() returns. */
void *__kmalloc_fake, *__kfree_ignore_start, *__kfree_ignore_end;

static struct virtio_device device;
static struct virtqueue *queues[QUEUES];
static unsigned int notifications[QUEUES], callbacks[QUEUES];
static uint64_t *taken; /* tokens given back unused, by a reset */
static size_t taken_count, taken_room;
static volatile sig_atomic_t current;

static bool notified(struct virtqueue *which)
{
	notifications[which->index]++;
	return true;
}

static void called(struct virtqueue *which)
{
	callbacks[which->index]++;
}

static int disable(struct virtqueue *which)
{
	which->reset = true; /* as virtio_pci does */
	return 0;
}

static int enable(struct virtqueue *which)
{
	which->reset = false;
	return 0;
}

static const struct virtio_config_ops operations = {
	.disable_vq_and_reset = disable,
	.enable_vq_after_reset = enable,
};

/* A token counts from 0, and the driver takes no NULL. */
static void *as_data(uint64_t token)
{
	return (void *)(uintptr_t)(token + 1);
}

static void recycle(struct virtqueue *which, void *data)
{
	if (taken_count == taken_room) {
		taken_room = taken_room ? 2 * taken_room : 1024;
		taken = realloc(taken, taken_room * sizeof(*taken));
		if (!taken)
			abort();
	}
	taken[taken_count++] = (uintptr_t)data - 1;
}

static int64_t offset(dma_addr_t address)
{
	return (int64_t)(address - VQFUZZ_ADDRESS);
}

static void tell(struct virtqueue *queue, struct answer *answer)
{
	answer->features = device.features;
	answer->size = virtqueue_get_vring_size(queue);
	answer->descriptor = offset(virtqueue_get_desc_addr(queue));
	answer->driver = offset(virtqueue_get_avail_addr(queue));
	answer->device = offset(virtqueue_get_used_addr(queue));
}

/* Queue 0 comes first: with it the device's features are settled. */
static void start(const struct request *request, struct answer *answer)
{
	struct virtqueue *queue;

	if (!request->queue) {
		memset(&device, 0, sizeof(device));
		INIT_LIST_HEAD(&device.vqs);
		spin_lock_init(&device.vqs_list_lock);
		device.config = &operations;
		device.features = request->value;
		vring_transport_features(&device);
		device.features |= request->value & RING_RESET; /* the transport's, as virtio_pci has it */
	}
	answer->features = device.features;
	if (!request->number) /* only asked */
		return;
	queue = queues[request->queue] = vring_create_virtqueue(request->queue, request->number, VRING_ALIGN, &device, true,
								false, false, notified, called, "queue");
	if (!queue) {
		answer->result = -ENOMEM;
		return;
	}
	queue->num_max = request->number;
	tell(queue, answer);
}

static int64_t add(struct virtqueue *queue, const struct request *request, const struct element *elements)
{
	static struct scatterlist list[MOST];
	static struct scatterlist *lists[MOST];
	unsigned int all = request->readable + request->writable, index;
	int result;

	for (index = 0; index < all; index++) {
		sg_init_one(&list[index], (void *)(uintptr_t)elements[index].address, elements[index].length);
		lists[index] = &list[index];
	}
	vqfuzz_shared_next(true); /* the one thing that is allocated on the way is an indirect table */
	result = virtqueue_add_sgs(queue, lists, request->readable, request->writable, as_data(request->value), GFP_ATOMIC);
	vqfuzz_shared_next(false);
	return result;
}

static int64_t kick(struct virtqueue *queue)
{
	unsigned int before = notifications[queue->index];

	if (virtqueue_kick_prepare(queue))
		virtqueue_notify(queue);
	return notifications[queue->index] != before;
}

static int64_t interrupt(struct virtqueue *queue)
{
	unsigned int before = callbacks[queue->index];

	vring_interrupt(0, queue);
	return callbacks[queue->index] != before;
}

static void get(struct virtqueue *queue, struct answer *answer)
{
	unsigned int length = 0;
	void *data = virtqueue_get_buf(queue, &length);

	answer->result = (int64_t)(uintptr_t)data; /* token + 1, or 0 */
	answer->size = length;
}

static int64_t suppress(struct virtqueue *queue, uint32_t mode)
{
	if (mode == 0) {
		virtqueue_disable_cb(queue);
		return true;
	}
	return mode == 1 ? virtqueue_enable_cb(queue) : virtqueue_enable_cb_delayed(queue);
}

static void reset_queue(struct virtqueue *queue, const struct request *request, struct answer *answer)
{
	answer->result = request->number ? RESIZE(queue, request->number, recycle) : RESET_ONE(queue, recycle);
	tell(queue, answer);
}

static void reset(void)
{
	unsigned int index;
	void *data;

	if (!queues[0])
		return;
	for (index = 0; index < QUEUES; index++) {
		if (!queues[index])
			continue;
		while ((data = virtqueue_detach_unused_buf(queues[index])))
			recycle(queues[index], data);
		vring_del_virtqueue(queues[index]);
		queues[index] = NULL;
	}
	if (vqfuzz_left())
		fprintf(stderr, "linux-ring: %d allocations are left behind a deleted virtqueue\n", vqfuzz_left());
	vqfuzz_forget();
}

static void serve(const struct request *request, const struct element *elements, struct answer *answer)
{
	struct virtqueue *queue = queues[request->queue];

	switch (request->op) {
	case START: start(request, answer); break;
	case ADD: answer->result = add(queue, request, elements); break;
	case KICK: answer->result = kick(queue); break;
	case INTERRUPT: answer->result = interrupt(queue); break;
	case GET: get(queue, answer); break;
	case CALLBACKS: answer->result = suppress(queue, request->number); break;
	case RESET_QUEUE: reset_queue(queue, request, answer); break;
	case RESET: reset(); break;
	case BROKEN: answer->result = virtqueue_is_broken(queue); break;
	case FAIL: vqfuzz_fail(request->number); break;
	}
}

/* The last line is what people are told. */
static void fatal(int number, siginfo_t *info, void *context)
{
	char line[160];
	int length = snprintf(line, sizeof(line), "linux-ring: %s at address %p in %s\n", strsignal(number), info->si_addr,
			      names[current]);

	if (number != SIGABRT && write(2, line, length) < 0)
		_exit(1);
	signal(number, SIG_DFL);
	raise(number);
}

static void listen_to_signals(void)
{
	static const int fatal_ones[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
	struct sigaction action = { .sa_sigaction = fatal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	stack_t stack = { .ss_size = 65536, .ss_sp = malloc(65536) }; /* its own: the driver's may be used up */
	unsigned int index;

	sigaltstack(&stack, NULL);
	for (index = 0; index < ARRAY_SIZE(fatal_ones); index++)
		sigaction(fatal_ones[index], &action, NULL);
}

static bool well_formed(const struct request *request, ssize_t length)
{
	size_t all = (size_t)request->readable + request->writable;

	if (length < (ssize_t)sizeof(*request) || request->op < START || request->op > FAIL || all > MOST ||
	    request->queue >= QUEUES)
		return false;
	if (request->op == START && (request->queue ? !queues[0] : !!queues[0] && request->number))
		return false;
	if (!queues[request->queue] && request->op != START && request->op != RESET && request->op != TAKEN && request->op != FAIL)
		return false;
	return (size_t)length == sizeof(*request) + all * sizeof(struct element);
}

int main(int argc, char **argv)
{
	static struct { struct request request; struct element elements[MOST]; } in;
	static struct { struct answer answer; uint64_t tokens[MOST]; } out;
	int channel;

	if (argc < 5 || !vqfuzz_share(atoi(argv[2]), strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10)) ||
	    (argc > 5 && !vqfuzz_count(atoi(argv[5])))) {
		fprintf(stderr, "linux-ring: the shared memory can't be mapped\n");
		return 2;
	}
	channel = atoi(argv[1]);
	setvbuf(stdout, NULL, _IOLBF, 0);
#ifndef VQFUZZ_SANITIZED
	listen_to_signals(); /* else the sanitizer does, and has more to say */
#endif
	for (;;) {
		ssize_t length = recv(channel, &in, sizeof(in), 0);
		size_t size = sizeof(out.answer);

		if (length < 0 && errno == EINTR)
			continue;
		if (length <= 0)
			return 0;
		if (!well_formed(&in.request, length)) {
			fprintf(stderr, "linux-ring: a request that has no meaning\n");
			return 2;
		}
		memset(&out.answer, 0, sizeof(out.answer));
		current = in.request.op;
		if (in.request.op == TAKEN) {
			size_t count = taken_count < MOST ? taken_count : MOST;

			out.answer.result = count;
			for (size_t index = 0; index < count; index++)
				out.tokens[index] = taken[--taken_count];
			size += count * sizeof(*out.tokens);
		} else {
			serve(&in.request, in.elements, &out.answer);
		}
		current = 0;
		if (send(channel, &out, size, MSG_NOSIGNAL) < 0)
			return 0;
	}
}
