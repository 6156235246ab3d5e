/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "puppet/call.h"
#include "task/memory-finish.h"
#include "util/macro.h"

enum { VMAS = 4 };

/* One address space, and what is asked of its stub. */
struct fixture {
	struct rebuild rebuild;
	Coppice__Checkpoint cp;
	Coppice__Origin origin;
	Coppice__Mm mm;
	Coppice__Vma vma[VMAS];
	Coppice__Vma *vmas[VMAS];
	struct arena arena;
	struct call_table table;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	coppice__checkpoint__init(&f->cp);
	coppice__origin__init(&f->origin);
	coppice__mm__init(&f->mm);
	f->origin.page_size = 4096;
	f->cp.origin = &f->origin;
	f->rebuild.cp = &f->cp;
	f->mm.vmas = f->vmas;
	arena_init(&f->arena, NULL);
	call_table_init(&f->table, &f->arena);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	arena_deinit(&f->arena);
	free(f);
	return 0;
}

static Coppice__Vma *add_vma(struct fixture *f, uint32_t prot, uint32_t key)
{
	size_t i = f->mm.n_vmas++;
	Coppice__Vma *vma = &f->vma[i];

	coppice__vma__init(vma);
	vma->start = 0x10000 * (i + 1);
	vma->end = vma->start + 0x4000;
	vma->prot = prot;
	vma->flags = MAP_PRIVATE;
	vma->pkey = key;
	f->vmas[i] = vma;
	return vma;
}

/* The names of all entries, one after the other. */
static void assert_calls(struct fixture *f, const char *expected)
{
	char calls[512] = "";

	for (size_t i = 0; i < f->table.n_calls; i++) {
		(void)strncat(calls, f->table.calls[i].what, sizeof(calls) - strlen(calls) - 1);
		(void)strncat(calls, " ", sizeof(calls) - strlen(calls) - 1);
	}
	assert_string_equal(calls, expected);
}

static void test_plain_needs_nothing(void **state)
{
	struct fixture *f = *state;

	add_vma(f, PROT_READ | PROT_WRITE, 0);
	memory_finish(&f->rebuild, &f->mm, &f->table);
	assert_calls(f, "");
}

/* Keys 1 and 3 are the program's, 2 is not: all are taken, then 2 is given back. */
static void test_keys_with_a_gap(void **state)
{
	struct fixture *f = *state;
	uint32_t keys[] = {1, 3};

	f->mm.pkeys_allocated = keys;
	f->mm.n_pkeys_allocated = ARRAY_SIZE(keys);
	add_vma(f, PROT_READ, 3);
	memory_finish(&f->rebuild, &f->mm, &f->table);
	assert_calls(f, "pkey_alloc pkey_alloc pkey_alloc pkey_free pkey_mprotect ");
	assert_int_equal(f->table.calls[2].want, 3);
	assert_int_equal(f->table.calls[3].arg[0].value, 2);
	assert_int_equal(f->table.calls[4].arg[3].value, 3);
}

/* The kernel took key 2 for execute-only memory, when 1 was taken; 1 has been given back since. */
static void test_execute_only_key(void **state)
{
	struct fixture *f = *state;
	uint32_t keys[] = {3};

	f->mm.pkeys_allocated = keys;
	f->mm.n_pkeys_allocated = ARRAY_SIZE(keys);
	add_vma(f, PROT_EXEC, 2);
	add_vma(f, PROT_EXEC, 2);
	memory_finish(&f->rebuild, &f->mm, &f->table);
	assert_calls(f, "pkey_alloc mprotect mprotect pkey_alloc pkey_free ");
	assert_int_equal(f->table.calls[0].want, 1);
	assert_int_equal(f->table.calls[3].want, 3);
	assert_int_equal(f->table.calls[4].arg[0].value, 1);
}

/* What was made writable to be filled, and what never was. */
static void test_working_protection(void **state)
{
	struct fixture *f = *state;
	Coppice__PageRun runs[2] = {COPPICE__PAGE_RUN__INIT, COPPICE__PAGE_RUN__INIT};
	Coppice__PageRun *list[] = {&runs[0], &runs[1]};
	Coppice__Vma *accounted = add_vma(f, PROT_READ, 0);
	Coppice__Vma *poked = add_vma(f, PROT_READ, 0);

	accounted->accounted = true;
	runs[0].address = accounted->start;
	runs[1].address = poked->start;
	runs[0].pages = runs[1].pages = 1;
	f->mm.pages = list;
	f->mm.n_pages = ARRAY_SIZE(list);
	assert_int_equal(memory_working_prot(&f->rebuild, &f->mm, accounted),
			 PROT_READ | PROT_WRITE);
	assert_int_equal(memory_page_entry(accounted), PAGES_READ);
	assert_int_equal(memory_working_prot(&f->rebuild, &f->mm, poked), PROT_READ);
	assert_int_equal(memory_page_entry(poked), PAGES_FORCE);
	memory_finish(&f->rebuild, &f->mm, &f->table);
	assert_calls(f, "mprotect ");
	assert_int_equal(f->table.calls[0].arg[0].value, accounted->start);
}

/* Guards before the lock, which forbids them; the lock of what nobody can read may fail. */
static void test_order(void **state)
{
	struct fixture *f = *state;
	Coppice__Range guard = COPPICE__RANGE__INIT;
	Coppice__Range *guards[] = {&guard};
	Coppice__Vma *vma = add_vma(f, PROT_NONE, 0);

	guard.start = vma->start;
	guard.end = vma->start + 0x1000;
	f->mm.guards = guards;
	f->mm.n_guards = 1;
	vma->locked = 1;
	vma->sealed = true;
	vma->advice = COPPICE__VMA_ADVICE__VMA_ADVICE_DONTFORK;
	memory_finish(&f->rebuild, &f->mm, &f->table);
	f->mm.def_mlock = MCL_FUTURE;
	memory_seal(&f->mm, &f->table);
	assert_calls(f,
		     "madvise(MADV_GUARD_INSTALL) madvise(MADV_DONTFORK) mlock2 mlockall mseal ");
	assert_int_equal(f->table.calls[2].expect, CALL_ANY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_plain_needs_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_with_a_gap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_execute_only_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_working_protection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
