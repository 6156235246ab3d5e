/* SPDX-License-Identifier: Apache-2.0 */
/* A statically linked program: no dynamic loader, no shared libraries, its own checksummed state. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { WORDS = 1 << 20 };

int main(void)
{
	const struct timespec pause = {.tv_nsec = 2000000};
	uint64_t *words = calloc(WORDS, sizeof(*words));
	int log = open("log", O_WRONLY | O_APPEND | O_CREAT, 0644);
	uint64_t sum = 0;

	if (!words || log < 0)
		return 1;
	for (uint64_t n = 1;; n++) {
		uint64_t check = 0;

		for (uint64_t i = 0; i < 1000; i++) {
			uint64_t at = (n * 7919 + i * 104729) % WORDS;

			sum += n - words[at];
			words[at] = n;
		}
		for (size_t i = 0; n % 16 == 0 && i < WORDS; i++)
			check += words[i];
		(void)dprintf(log, "%llu %s\n", (unsigned long long)n,
			      n % 16 == 0 && check != sum ? "wrong" : "right");
		(void)nanosleep(&pause, NULL);
	}
}
