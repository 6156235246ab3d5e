/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the coordinator itself lives in, and every stub with it: CPUs, namespaces, control groups,
 * security labels. A process that differs from it is refused, or is given what it had.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct context;
struct proc_dir;

enum { CPU_BYTES = 1024 };

enum {
	NAMESPACE_CGROUP,
	NAMESPACE_IPC,
	NAMESPACE_MNT,
	NAMESPACE_NET,
	NAMESPACE_PID,
	NAMESPACE_PID_FOR_CHILDREN,
	NAMESPACE_TIME,
	NAMESPACE_TIME_FOR_CHILDREN,
	NAMESPACE_USER,
	NAMESPACE_UTS,
	NAMESPACE_KINDS,
};

/* "net" below /proc/PID/ns, and what people call it. */
struct namespace_kind {
	const char *link;
	const char *name;
	bool saved; /* it may be another than the coordinator's */
};
extern const struct namespace_kind namespace_kinds[NAMESPACE_KINDS];

/* A line of /proc/PID/cgroup. */
struct cgroup_place {
	char *hierarchy; /* controllers ("cpu,cpuacct", "name=systemd"); "" is cgroup2 */
	char *path;	 /* as our cgroup namespace shows it */
};

struct surroundings {
	uint8_t online[CPU_BYTES]; /* CPUs, little-endian bits */
	uint64_t slice_ns;	   /* of a fair task that asked for none; 0 if not known */
	bool guard_flag;	   /* smaps flags mappings that may have guard regions */
	bool util_clamp;	   /* this kernel has utilization clamps */
	uint64_t namespaces[NAMESPACE_KINDS]; /* inode numbers; 0: this kernel has no such kind */
	struct cgroup_place *cgroups;
	size_t n_cgroups;
	char **labels;		      /* see label.c; NULL-terminated */
	int32_t session_keyring;      /* that the coordinator has; 0: its user's default one */
	bool landlock;		      /* the kernel has it */
	uint32_t login;		      /* as Thread.login */
	unsigned int landlock_layers; /* of the domain that the coordinator is in; 0: none */
};

/*
 * Read at the first call and kept in *@cache, which is collect.surroundings or
 * rebuild.surroundings. 0 or -errno with a chain.
 */
int surroundings_get(struct context *ctx, struct arena *arena, const struct surroundings **cache,
		     const struct surroundings **ret);

/* The namespaces of the task whose /proc directory this is, by inode number in nsfs. 0 or -errno. */
int namespaces_read(const struct proc_dir *dir, const char *prefix,
		    uint64_t ret_ino[NAMESPACE_KINDS]);
/* The lines of "@prefix""cgroup" below the directory. 0 or -errno. */
int cgroups_read(const struct proc_dir *dir, const char *prefix, struct arena *arena,
		 struct cgroup_place **ret, size_t *ret_n);
/* The security labels, as "current=unconfined". 0 or -errno. */
int labels_read(int proc_fd, const char *prefix, struct arena *arena, char ***ret);

/* Whom the audit log names: as Thread.login. 0 or -errno. */
int audit_read_login(const struct proc_dir *dir, const char *prefix, uint32_t *ret);

int parse_cgroups(const char *text, struct arena *arena, struct cgroup_place **ret, size_t *ret_n);
/* "0-3,8": a list of CPUs, as a mask. */
int parse_cpu_list(const char *text, uint8_t *ret_mask, size_t size);
