/* SPDX-License-Identifier: Apache-2.0 */
/* Dump: a running process tree becomes an image. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "checkpoint/stage.h"
#include "puppet/puppet.h"

struct context;
struct resource;

struct dump_options {
	pid_t root;	 /* the topmost process of the tree */
	const char *dir; /* made if it is not there; must hold no image */
	enum puppet_fate fate;
	bool shell_job;
	bool tcp_established; /* keep connections */
	bool tcp_close;	      /* give them up: the program will find them ended */
	bool skip_in_flight;  /* drop connections that wait to be accepted */
	bool checksum_pages;  /* keep checksums of page files, for restore's check_pages */
	bool check_content;   /* hash files that will be found again by path */
	const struct resource *external; /* open files that belong to the outside */
	size_t n_external;
	bool ext_unix; /* datagram sockets may be connected to the outside */
};

/* What a dump can tell about itself afterwards. */
struct dump_report {
	struct stage_times times;
	uint64_t frozen_ns; /* from the first seize to the release */
	size_t n_processes;
	size_t n_threads;
	uint64_t page_bytes; /* memory content written */
};

/*
 * Dumps the tree. On failure every process runs on as before and @dir holds no image. Errors
 * besides system ones: -EOPNOTSUPP something in the tree cannot be restored (the chain says what),
 * -ECANCELED stopped by a signal.
 */
int dump_tree(struct context *ctx, const struct dump_options *opt, struct dump_report *ret_report);
