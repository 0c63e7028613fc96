/*
 * Reads from a vhost-user disk with libblkio, and says what it got.
 *
 *   reader SOCKET REPORTS
 *
 * Keeps OUTSTANDING reads on their way, of 1 to 8 sectors each, until SIGTERM comes; then it waits for those that
 * are out, and ends. REPORTS gets a line for each read that came back: the first sector, the result (bytes, or
 * -errno), and the first 16 bytes as hexadecimal digits.
 */
#define _GNU_SOURCE
#include <blkio.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OUTSTANDING 16
#define SECTOR 512
#define MOST 8
#define SECTORS (1 << 20)

struct request {
	uint64_t sector;
	unsigned int count;
	unsigned char *data;
};

static volatile sig_atomic_t ending;

static void end(int number)
{
	(void)number;
	ending = 1;
}

static void give_up(const char *what)
{
	fprintf(stderr, "reader: %s: %s\n", what, blkio_get_error_msg());
	exit(1);
}

static void submit(struct blkioq *queue, struct request *request, uint64_t number)
{
	request->sector = number * 3 % SECTORS;
	request->count = 1 + number % MOST;
	memset(request->data, 0xa5, SECTOR * request->count);
	blkioq_read(queue, request->sector * SECTOR, request->data, SECTOR * request->count, request, 0);
}

static void report(FILE *reports, const struct request *request, int result)
{
	fprintf(reports, "%llu %d ", (unsigned long long)request->sector,
		result < 0 ? result : (int)(SECTOR * request->count));
	for (int place = 0; place < 16; place++)
		fprintf(reports, "%02x", request->data[place]);
	fputc('\n', reports);
}

static void work(struct blkioq *queue, struct request *requests, FILE *reports)
{
	struct blkio_completion came[OUTSTANDING];
	uint64_t number = 0;
	int out = 0;

	for (; out < OUTSTANDING; out++)
		submit(queue, &requests[out], ++number);
	while (out) {
		struct timespec patience = {0, 20 * 1000 * 1000};
		int count = blkioq_do_io(queue, came, 1, OUTSTANDING, &patience);

		if (count == -ETIME || count == -EINTR)
			continue;
		if (count < 0)
			give_up("blkioq_do_io");
		for (int place = 0; place < count; place++) {
			struct request *request = came[place].user_data;

			report(reports, request, came[place].ret);
			if (ending)
				out--;
			else
				submit(queue, request, ++number);
		}
		fflush(reports);
	}
}

int main(int argc, char **argv)
{
	struct request requests[OUTSTANDING];
	struct blkio_mem_region region;
	struct blkio *device;
	FILE *reports;

	if (argc != 3) {
		fprintf(stderr, "usage: reader SOCKET REPORTS\n");
		return 2;
	}
	reports = fopen(argv[2], "w");
	if (!reports) {
		perror(argv[2]);
		return 1;
	}
	signal(SIGTERM, end);
	if (blkio_create("virtio-blk-vhost-user", &device))
		give_up("blkio_create");
	if (blkio_set_str(device, "path", argv[1]) || blkio_connect(device))
		give_up("blkio_connect");
	if (blkio_start(device))
		give_up("blkio_start");
	if (blkio_alloc_mem_region(device, &region, OUTSTANDING * MOST * SECTOR))
		give_up("blkio_alloc_mem_region");
	if (blkio_map_mem_region(device, &region))
		give_up("blkio_map_mem_region");
	for (int place = 0; place < OUTSTANDING; place++)
		requests[place].data = (unsigned char *)region.addr + place * MOST * SECTOR;
	work(blkio_get_queue(device, 0), requests, reports);
	blkio_destroy(&device);
	return 0;
}
