/* SPDX-License-Identifier: Apache-2.0 */
/* The walk, text, diff and mutation of messages. */
#include <time.h>

#include "image/test-sample.h"

#include "image/diff.h"
#include "image/mutate.h"
#include "image/text.h"
#include "image/walk.h"
#include "util/context.h"
#include "util/strbuf.h"

struct fixture {
	struct context ctx;
	struct arena arena;
	Coppice__Checkpoint *a;
	Coppice__Checkpoint *b; /* the same, made again */
};

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	arena_init(&f->arena, NULL);
	f->a = sample_checkpoint(&f->arena, 1);
	f->b = sample_checkpoint(&f->arena, 1);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	arena_deinit(&f->arena);
	test_free(f);
	return 0;
}

/* ---- paths and text ------------------------------------------------------------------------- */

static const ProtobufCFieldDescriptor *field_of(const ProtobufCMessageDescriptor *type,
						const char *name)
{
	return protobuf_c_message_descriptor_get_field_by_name(type, name);
}

static void test_paths(void **state)
{
	const struct walk_path process = {
		.field = field_of(&coppice__checkpoint__descriptor, "processes"), .index = 3};
	const struct walk_path thread = {.up = &process,
					 .field =
						 field_of(&coppice__process__descriptor, "threads"),
					 .index = 0};
	const struct walk_path sched = {.up = &thread,
					.field = field_of(&coppice__thread__descriptor, "sched"),
					.index = WALK_NO_INDEX};
	char text[WALK_PATH_MAX];
	char small[12];

	(void)state;
	walk_path_format(&sched, text, sizeof(text));
	assert_string_equal(text, "processes[3].threads[0].sched");
	walk_path_format(&sched, small, sizeof(small));
	assert_string_equal(small, "processes[3");
	walk_path_format(NULL, text, sizeof(text));
	assert_string_equal(text, "");

	assert_true(walk_path_matches(&sched, "processes[].threads[].sched"));
	assert_true(walk_path_matches(&sched, "processes[].threads[].*"));
	assert_true(walk_path_matches(&sched, "processes[].threads[].sched.*"));
	assert_true(walk_path_matches(&sched, "processes[].*"));
	assert_true(walk_path_matches(&thread, "processes[].threads[]"));
	assert_true(walk_path_matches(&thread, "processes[].threads"));
	assert_false(walk_path_matches(&sched, "processes[].threads[]"));
	assert_false(walk_path_matches(&sched, "processes[].threads[].sched_x"));
	assert_false(walk_path_matches(&sched, "processes[].threads[].sch"));
	assert_false(walk_path_matches(&sched, "processes.threads[].sched"));
	assert_false(walk_path_matches(&sched, "mms[].*"));
	assert_false(walk_path_matches(&thread, "processes[].threads[].sched"));
}

static void test_quotes(void **state)
{
	static const struct {
		const char *in;
		const char *text;
		const char *json;
	} rows[] = {
		{"", "\"\"", "\"\""},
		{"a\"b\\", "\"a\\\"b\\\\\"", "\"a\\\"b\\\\\""},
		{"\x1b[2J", "\"\\x1b[2J\"", "\"\\u001b[2J\""},
		{"caf\xc3\xa9", "\"caf\xc3\xa9\"", "\"caf\xc3\xa9\""},
		{"\xff", "\"\\xff\"", "\"\\udcff\""},
		{"\xc3", "\"\\xc3\"", "\"\\udcc3\""},
		{"\xc0\x80", "\"\\xc0\\x80\"", "\"\\udcc0\\udc80\""}, /* overlong */
		{"\xed\xa0\x80", "\"\\xed\\xa0\\x80\"",
		 "\"\\udced\\udca0\\udc80\""},				/* surrogate */
		{"\xe2\x80\xae", "\"\\xe2\\x80\\xae\"", "\"\\u202e\""}, /* right-to-left */
		{"\xc2\x9b", "\"\\xc2\\x9b\"", "\"\\u009b\""},		/* C1 */
		{"\xf0\x9f\x8c\xb3", "\"\xf0\x9f\x8c\xb3\"", "\"\xf0\x9f\x8c\xb3\""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_strbuf_ struct strbuf text = {0};
		_cleanup_strbuf_ struct strbuf json = {0};

		text_quote(&text, rows[i].in);
		text_quote_json(&json, rows[i].in);
		assert_string_equal(strbuf_text(&text), rows[i].text);
		assert_string_equal(strbuf_text(&json), rows[i].json);
	}
}

/* ---- diff ----------------------------------------------------------------------------------- */

struct found {
	int n;
	char last[1024];
	const char *ignore;
};

static bool ignore_pattern(void *data, const struct difference *d)
{
	const struct found *f = data;

	return f->ignore && walk_path_matches(d->path, f->ignore);
}

static int note(void *data, const struct difference *d)
{
	struct found *f = data;

	f->n++;
	(void)snprintf(f->last, sizeof(f->last), "%s", d->text);
	return 0;
}

static int differences(struct fixture *f, struct found *found)
{
	const struct diff diff = {.ignore = ignore_pattern, .found = note, .data = found};

	return message_diff(&f->ctx, &diff, &f->a->base, &f->b->base);
}

static void test_diff_equal(void **state)
{
	struct fixture *f = *state;
	struct found found = {0};

	assert_true(message_equal(&f->a->base, &f->b->base));
	assert_int_equal(differences(f, &found), 0);
	/* NULL and "" are the same string. */
	f->a->mms[0]->vmas[1]->name = NULL;
	assert_true(message_equal(&f->a->base, &f->b->base));
	assert_int_equal(differences(f, &found), 0);
}

static void test_diff_texts(void **state)
{
	struct fixture *f = *state;
	struct found found = {0};
	Coppice__Thread *t = f->b->processes[0]->threads[0];

	f->a->processes[0]->threads[0]->creds->uid = 0;
	t->creds->uid = 1000;
	assert_int_equal(differences(f, &found), 1);
	assert_string_equal(found.last, "processes[0].threads[0].creds.uid: 0 != 1000");
	t->creds->uid = 0;

	t->regs.data[100] = (uint8_t)~f->a->processes[0]->threads[0]->regs.data[100];
	assert_int_equal(differences(f, &found), 1);
	assert_non_null(strstr(found.last, "threads[0].regs: byte 100 of 216: 0x"));
	t->regs.data[100] = f->a->processes[0]->threads[0]->regs.data[100];

	f->b->mms[0]->vmas[0]->policy = NULL;
	assert_int_equal(differences(f, &found), 1);
	assert_string_equal(found.last, "mms[0].vmas[0].policy: {} != nothing");
	found.ignore = "mms[].vmas[].policy";
	assert_int_equal(differences(f, &found), 0);
	found.ignore = "mms[].*";
	assert_int_equal(differences(f, &found), 0);
	found.ignore = "mms[].vmas[].pol";
	assert_int_equal(differences(f, &found), 1);
}

/* One VMA more in the middle is one difference, not one for each that follows. */
static void test_diff_aligns(void **state)
{
	struct fixture *f = *state;
	struct found found = {0};
	Coppice__Mm *mm = f->b->mms[0];

	memmove(&mm->vmas[2], &mm->vmas[3], (mm->n_vmas - 3) * sizeof(*mm->vmas));
	mm->n_vmas--;
	assert_int_equal(differences(f, &found), 1);
	assert_non_null(strstr(found.last, "mms[0].vmas[2]: {start=0x"));
	assert_non_null(strstr(found.last, "} != nothing"));
	found.ignore = "mms[].vmas[]";
	assert_int_equal(differences(f, &found), 0);
}

static int stop_at_once(void *data, const struct difference *d)
{
	(void)data;
	(void)d;
	return -ECANCELED;
}

static void test_diff_stops(void **state)
{
	struct fixture *f = *state;
	const struct diff diff = {.found = stop_at_once};

	f->b->origin->root = 7;
	f->b->origin->page_size = 7;
	assert_int_equal(message_diff(&f->ctx, &diff, &f->a->base, &f->b->base), -ECANCELED);
	assert_false(message_equal(&f->a->base, &f->b->base));
}

/* ---- mutation ------------------------------------------------------------------------------- */

struct mutated {
	struct fixture *f;
	size_t n;
};

/* Whatever is changed, diff says so, once, and names it. */
static int expect_named(void *data, const char *path)
{
	struct mutated *m = data;
	struct found found = {0};

	m->n++;
	assert_false(message_equal(&m->f->a->base, &m->f->b->base));
	assert_int_equal(differences(m->f, &found), 1);
	if (strncmp(found.last, path, strlen(path)) != 0)
		fail_msg("changed %s, diff says %s", path, found.last);
	return 0;
}

static void test_mutations_are_named(void **state)
{
	struct mutated m = {.f = *state};

	assert_int_equal(mutate_each(&m.f->ctx, &m.f->b->base, expect_named, &m), 0);
	print_message("%zu mutations\n", m.n);
	assert_true(m.n > 300);
	assert_true(message_equal(&m.f->a->base, &m.f->b->base)); /* all put back */
}

/* ---- speed ---------------------------------------------------------------------------------- */

/* Printed, not judged: a machine may be busy. */
static void test_diff_of_1000_processes(void **state)
{
	struct fixture *f = *state;
	struct sample sides[] = {{.arena = &f->arena, .state = 5, .cp = f->a},
				 {.arena = &f->arena, .state = 5, .cp = f->b}};
	struct found found = {0};
	struct timespec begin;
	struct timespec end;

	for (size_t i = 0; i < ARRAY_SIZE(sides); i++)
		for (int n = 0; n < 1000; n++)
			sample_process(&sides[i]);
	(void)clock_gettime(CLOCK_MONOTONIC, &begin);
	assert_int_equal(differences(f, &found), 0);
	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	print_message("1000 processes compared in %.2f ms\n",
		      (double)(end.tv_sec - begin.tv_sec) * 1e3 +
			      (double)(end.tv_nsec - begin.tv_nsec) / 1e6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_quotes),
		cmocka_unit_test_setup_teardown(test_diff_equal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_diff_texts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_diff_aligns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_diff_stops, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mutations_are_named, setup, teardown),
		cmocka_unit_test_setup_teardown(test_diff_of_1000_processes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
