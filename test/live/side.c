/* SPDX-License-Identifier: Apache-2.0 */
#include "side.h"

#include <pthread.h>
#include <stddef.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int (*part_to_do)(void); /* NULL: none, or done */
static int result;
static int started;

static void *side(void *arg)
{
	(void)arg;
	(void)pthread_mutex_lock(&mutex);
	for (;;) {
		while (!part_to_do)
			(void)pthread_cond_wait(&changed, &mutex);
		result = part_to_do();
		part_to_do = NULL;
		(void)pthread_cond_broadcast(&changed);
	}
	return NULL;
}

int side_run(int (*part)(void))
{
	pthread_t thread;
	int r;

	if (!started && pthread_create(&thread, NULL, side, NULL) != 0)
		return 1;
	started = 1;
	(void)pthread_mutex_lock(&mutex);
	part_to_do = part;
	(void)pthread_cond_broadcast(&changed);
	while (part_to_do)
		(void)pthread_cond_wait(&changed, &mutex);
	r = result;
	(void)pthread_mutex_unlock(&mutex);
	return r;
}
