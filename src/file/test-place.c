/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "file/place.h"
#include "puppet/call.h"
#include "util/arena.h"

enum { NUMBERS = 64 };

/* A model of a descriptor table: what each number refers to, 0: free. */
struct model {
	int object[NUMBERS];
	bool cloexec[NUMBERS];
};

static void execute(struct model *m, const struct call *call)
{
	int fd = (int)call->arg[0].value;
	int to = (int)call->arg[1].value;

	assert_true(fd >= 0 && fd < NUMBERS && m->object[fd] != 0);
	switch (call->nr) {
	case SYS_dup3:
		assert_true(to >= 0 && to < NUMBERS && to != fd);
		assert_int_equal(m->object[to], 0); /* nothing that waits is overwritten */
		m->object[to] = m->object[fd];
		m->cloexec[to] = call->arg[2].value == O_CLOEXEC;
		break;
	case SYS_close:
		m->object[fd] = 0;
		m->cloexec[fd] = false;
		break;
	case SYS_fcntl:
		assert_int_equal(call->arg[1].value, F_SETFD);
		m->cloexec[fd] = false;
		break;
	default:
		fail();
	}
}

/* Random tables, sent in batches to the lowest free numbers as the kernel does. */
static void one_table(struct arena *arena, unsigned int seed)
{
	struct fd_place places[NUMBERS];
	struct model model = {}, wanted = {};
	size_t n = 0, batch;

	srand(seed);
	for (int number = 0; number < NUMBERS; number++) {
		if (rand() % 3 == 0)
			continue;
		places[n] = (struct fd_place){
			.fd = 100 + rand() % 5, .number = number, .cloexec = rand() % 2};
		wanted.object[number] = places[n].fd;
		wanted.cloexec[number] = places[n++].cloexec;
	}
	for (size_t done = 0; done < n; done += batch) {
		int got[NUMBERS], next = 0;
		struct call_table t;

		batch = 1 + (size_t)rand() % (n - done);
		call_table_init(&t, arena);
		for (size_t i = 0; i < batch; i++) {
			while (model.object[next] != 0)
				next++;
			got[i] = next;
			model.object[next] = places[done + i].fd;
			model.cloexec[next] = true;
		}
		assert_int_equal(fds_move(&t, got, places + done, batch), 0);
		for (size_t i = 0; i < t.n_calls; i++)
			execute(&model, &t.calls[i]);
	}
	for (int number = 0; number < NUMBERS; number++) {
		if (model.object[number] != wanted.object[number] ||
		    model.cloexec[number] != wanted.cloexec[number])
			fail_msg("seed %u: number %d", seed, number);
	}
}

static void test_random_tables(void **state)
{
	struct arena arena;

	(void)state;
	arena_init(&arena, NULL);
	for (unsigned int seed = 1; seed <= 2000; seed++)
		one_table(&arena, seed);
	arena_deinit(&arena);
}

static void test_dense_table_needs_no_move(void **state)
{
	const struct fd_place places[] = {{7, 0, true}, {7, 1, true}, {8, 2, true}};
	const int got[] = {0, 1, 2};
	struct arena arena;
	struct call_table t;

	(void)state;
	arena_init(&arena, NULL);
	call_table_init(&t, &arena);
	assert_int_equal(fds_move(&t, got, places, 3), 0);
	assert_int_equal(t.n_calls, 0);
	arena_deinit(&arena);
}

static void test_places_in_use(void **state)
{
	const struct fd_place places[] = {{7, 3, true}, {7, 4, true}};
	const int above[] = {3, 5}, unordered[] = {3, 2};
	struct arena arena;
	struct call_table t;

	(void)state;
	arena_init(&arena, NULL);
	call_table_init(&t, &arena);
	assert_int_equal(fds_move(&t, above, places, 2), -EINVAL);
	assert_int_equal(fds_move(&t, unordered, places, 2), -EINVAL);
	arena_deinit(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_tables),
		cmocka_unit_test(test_dense_table_needs_no_move),
		cmocka_unit_test(test_places_in_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
