/* SPDX-License-Identifier: Apache-2.0 */
/* The execution domain of each thread. */
#include "live.h"

#include <sys/personality.h>

#include "side.h"
#include "util/macro.h"

enum { READ = 0xffffffff };

static int make_bits(void)
{
	CHECK_EQ(personality(ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC | SHORT_INODE), 0);
	return 0;
}

static int check_bits(void)
{
	CHECK_EQ(personality((unsigned int)READ),
		 ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC | SHORT_INODE);
	return 0;
}

static int make_side(void)
{
	return side_run(make_bits);
}

static int check_side(void)
{
	CHECK_EQ(personality((unsigned int)READ), 0);
	return side_run(check_bits);
}

static const struct live_row rows[] = {
	{"layout bits", make_bits, check_bits},
	{"of one thread", make_side, check_side},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
