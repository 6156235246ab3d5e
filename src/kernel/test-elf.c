/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/elf.h"

enum { LEN = 8192, CONTENT = 5000, SECTIONS = 6000 };

struct file {
	union {
		Elf64_Ehdr ehdr;
		unsigned char bytes[LEN];
	};
};

static void make(struct file *f)
{
	const Elf64_Phdr phdr = {
		.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_offset = 0, .p_filesz = CONTENT};

	memset(f, 0, sizeof(*f));
	memcpy(f->ehdr.e_ident, ELFMAG, SELFMAG);
	f->ehdr.e_ident[EI_CLASS] = ELFCLASS64;
	f->ehdr.e_phoff = sizeof(f->ehdr);
	f->ehdr.e_phentsize = sizeof(phdr);
	f->ehdr.e_phnum = 1;
	memcpy(f->bytes + f->ehdr.e_phoff, &phdr, sizeof(phdr));
}

static void content(void **state)
{
	static struct file f;

	(void)state;
	make(&f);
	assert_int_equal(elf_image_content(f.bytes, LEN), CONTENT);
	f.ehdr.e_shoff = SECTIONS;
	f.ehdr.e_shnum = 2;
	f.ehdr.e_shentsize = 64;
	assert_int_equal(elf_image_content(f.bytes, LEN), SECTIONS + 128);
	assert_int_equal(elf_content_end(&f.ehdr, (void *)(f.bytes + f.ehdr.e_phoff), true),
			 CONTENT);
}

/* Nothing is read or believed behind the end. */
static void damaged(void **state)
{
	static struct file f;

	(void)state;
	make(&f);
	assert_int_equal(elf_image_content(f.bytes, 10), 10);
	assert_int_equal(elf_image_content(f.bytes, CONTENT - 1), CONTENT - 1);
	f.ehdr.e_phoff = LEN - 8;
	assert_int_equal(elf_image_content(f.bytes, LEN), LEN);
	f.ehdr.e_phoff = UINT64_MAX - 8;
	assert_int_equal(elf_image_content(f.bytes, LEN), LEN);
	make(&f);
	f.ehdr.e_phnum = ELF_PHDRS_MAX + 1;
	assert_int_equal(elf_image_content(f.bytes, LEN), LEN);
	make(&f);
	f.ehdr.e_ident[0] = 0;
	assert_int_equal(elf_image_content(f.bytes, LEN), LEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(content),
		cmocka_unit_test(damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
