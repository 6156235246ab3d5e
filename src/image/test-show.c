/* SPDX-License-Identifier: Apache-2.0 */
/* What show prints is readable: by people, and by any JSON parser. */
#include <errno.h>
#include <json-c/json.h>

#include "image/test-sample.h"

#include "image/show.h"
#include "image/walk.h"
#include "util/cleanup.h"
#include "util/context.h"

struct fixture {
	struct context ctx;
	struct arena arena;
	Coppice__Checkpoint *cp;
};

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	arena_init(&f->arena, NULL);
	f->cp = sample_checkpoint(&f->arena, sample_seed());
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

static char *shown(struct fixture *f,
		   int (*show)(struct context *ctx, FILE *out, const ProtobufCMessage *msg))
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	assert_int_equal(show(&f->ctx, out, &f->cp->base), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void test_text(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *text = shown(f, show_text);
	char line[64];

	for (const char *c = text; *c != '\0'; c++)
		assert_true(*c == '\n' || (unsigned char)*c >= 0x20);
	(void)snprintf(line, sizeof(line), "processes[0]:\n  id: 1\n  pid: %d\n",
		       f->cp->processes[0]->pid[0]);
	assert_non_null(strstr(text, line));
	assert_non_null(strstr(text, "caf\xc3\xa9 \\x1b[31m"));
	assert_non_null(strstr(text, "\n  fds[0]: file="));
	assert_null(strstr(text, "subreaper")); /* false: left out */
}

/* Every field of every message is in the JSON, with as many elements. */
static void expect_complete(const ProtobufCMessage *msg, struct json_object *json)
{
	for (unsigned int i = 0; i < msg->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &msg->descriptor->fields[i];
		size_t n = walk_count(msg, field);
		bool list = field->label == PROTOBUF_C_LABEL_REPEATED;
		struct json_object *value = NULL;

		assert_int_equal(json_object_object_get_ex(json, field->name, &value),
				 list || n > 0);
		if (list)
			assert_int_equal(json_object_array_length(value), n);
		for (size_t k = 0; walk_is_message(field) && k < n; k++)
			expect_complete(walk_message(walk_value(msg, field, k)),
					list ? json_object_array_get_idx(value, k) : value);
	}
}

static void test_json(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *text = shown(f, show_json);
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *json;
	struct json_object *value;

	/* Strict: no trailing commas, no single quotes. */
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	json = json_tokener_parse_ex(tokener, text, (int)strlen(text));
	if (!json)
		fail_msg("%s", json_tokener_error_desc(json_tokener_get_error(tokener)));
	expect_complete(&f->cp->base, json);
	assert_true(json_object_object_get_ex(json, "origin", &value));
	assert_true(json_object_object_get_ex(value, "arch", &value));
	assert_string_equal(json_object_get_string(value), f->cp->origin->arch);
	(void)json_object_put(json);
	json_tokener_free(tokener);
}

static void test_full_disk(void **state)
{
	struct fixture *f = *state;
	FILE *out = fopen("/dev/full", "we");

	assert_non_null(out);
	assert_int_equal(show_json(&f->ctx, out, &f->cp->base), -ENOSPC);
	(void)fclose(out); /* fails again, as it must */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_text, setup, teardown),
		cmocka_unit_test_setup_teardown(test_json, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
