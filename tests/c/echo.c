// SPDX-License-Identifier: GPL-2.0-or-later
/* Reads records of 16 bytes from standard input, answers each with a byte: how deep it looked. */
#include <stdint.h>
#include <string.h>
#include <unistd.h>

static char depth(const uint8_t *record)
{
	uint64_t first;

	memcpy(&first, record, 8);
	if (first != 0xfeedface12345678ull)
		return '0';
	if (record[8] < 0x70)
		return '1';
	return '2';
}

int main(void)
{
	uint8_t record[16];
	char answer;

	while (read(0, record, sizeof(record)) == sizeof(record)) {
		answer = depth(record);
		if (write(1, &answer, 1) != 1)
			return 1;
	}
	return 0;
}
