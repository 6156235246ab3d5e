/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects behind descriptors whose state the kernel gives to nobody, or takes from nobody, found by
 * the text of their links. The reason is the kernel's; docs/STATE.md names the functions.
 */
#include "file/unsupported.h"

#include <linux/magic.h>
#include <stddef.h>
#include <string.h>

#include "util/macro.h"

static const char by_driver[] = "what a driver keeps behind it cannot be read";
static const char of_program[] = "it belongs to a BPF program, which cannot be loaded again";

static const struct file_unsupported table[] = {
	{"anon_inode:[userfaultfd]", 0, "a userfaultfd",
	 "pages whose absence it watches over would be there after a restore"},
	{"anon_inode:[perf_event]", 0, "a performance counter (perf_event_open)",
	 "nothing tells what it counts, and nobody can set its count"},
	{"anon_inode:bpf-prog", 0, "a BPF program",
	 "the kernel gives out what its verifier made of it, not the instructions it was loaded "
	 "from"},
	{"anon_inode:bpf_link", 0, "a BPF link", of_program},
	{"anon_inode:bpf-link", 0, "a BPF link", of_program},
	{"anon_inode:bpf_iter", 0, "a BPF iterator", of_program},
	{"anon_inode:bpf-stats", 0, "a switch for statistics of BPF programs (BPF_ENABLE_STATS)",
	 "the statistics of programs outside the tree depend on it"},
	{"anon_inode:btf", 0, "a BTF object",
	 "it is part of BPF programs, which cannot be loaded again"},
	{"anon_inode:[landlock-ruleset]", 0, "a Landlock ruleset",
	 "its rules can be added, not read"},
	{"anon_inode:seccomp notify", 0, "the listener of a seccomp filter",
	 "the filter cannot be installed again with the same listener in another process"},
	{"anon_inode:[fscontext]", 0, "a file system being configured (fsopen)",
	 "the parameters it was given cannot be read"},
	{"/secretmem", SECRETMEM_MAGIC, "secret memory (memfd_secret)",
	 "nobody but its owner can read it"},
	{"/dmabuf:", DMA_BUF_MAGIC, "a buffer of a device (dma-buf)", by_driver},
	{"anon_inode:sync_file", 0, "a fence of a device (sync_file)", by_driver},
	{"anon_inode:kvm-", 0, "a virtual machine (KVM)", by_driver},
	{"anon_inode:[kvm-gmem]", 0, "the memory of a virtual machine (KVM)", by_driver},
	{"anon_inode:[vfio-", 0, "a device (VFIO)", by_driver},
	{"anon_inode:[infiniband", 0, "events of a device (InfiniBand)", by_driver},
	{"anon_inode:ntsync", 0, "an object of Windows' synchronisation (ntsync)", by_driver},
};

const struct file_unsupported *file_unsupported_find(const char *link, uint64_t fs_type)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (strncmp(link, table[i].link, strlen(table[i].link)) == 0 &&
		    (table[i].fs_type == 0 || table[i].fs_type == fs_type))
			return &table[i];
	return NULL;
}
