/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers and structs of the kernel's interface that the build machine's headers may be too old
 * for. They are ABI: whether the running kernel knows them is found out by using them.
 */
#pragma once

#include <linux/ioctl.h>
#include <stdint.h>

/* ---- PAGEMAP_SCAN on /proc/PID/pagemap (linux/fs.h) ---- */

/* Not called after the kernel's structs: newer headers have those. */
struct uapi_page_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

struct uapi_pm_scan_arg {
	uint64_t size;
	uint64_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t walk_end;
	uint64_t vec;
	uint64_t vec_len;
	uint64_t max_pages;
	uint64_t category_inverted;
	uint64_t category_mask;
	uint64_t category_anyof_mask;
	uint64_t return_mask;
};

#define UAPI_PAGEMAP_SCAN _IOWR('f', 16, struct uapi_pm_scan_arg)

#ifndef PAGE_IS_FILE
#define PAGE_IS_FILE	(1 << 2)
#define PAGE_IS_PRESENT (1 << 3)
#define PAGE_IS_SWAPPED (1 << 4)
#define PAGE_IS_PFNZERO (1 << 5)
#endif
#ifndef PAGE_IS_GUARD
#define PAGE_IS_GUARD (1 << 8)
#endif

/* ---- madvise(2) ---- */

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE  103
#endif

/* ---- prctl(2) ---- */

#ifndef PR_SET_MDWE
#define PR_SET_MDWE		 65
#define PR_MDWE_REFUSE_EXEC_GAIN (1UL << 0)
#define PR_GET_MDWE		 66
#endif
#ifndef PR_MDWE_NO_INHERIT
#define PR_MDWE_NO_INHERIT (1UL << 1)
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#define PR_GET_MEMORY_MERGE 68
#endif
#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS	77
#define PR_TIMER_CREATE_RESTORE_IDS_OFF 0
#define PR_TIMER_CREATE_RESTORE_IDS_ON	1
#define PR_TIMER_CREATE_RESTORE_IDS_GET 2
#endif
#ifndef PR_THP_DISABLE_EXCEPT_ADVISED
#define PR_THP_DISABLE_EXCEPT_ADVISED (1 << 1)
#endif

/* ---- epoll(7) ---- */

struct uapi_epoll_params {
	uint32_t busy_poll_usecs;
	uint16_t busy_poll_budget;
	uint8_t prefer_busy_poll;
	uint8_t pad;
};

#define UAPI_EPIOCSPARAMS _IOW(0x8A, 1, struct uapi_epoll_params)
#define UAPI_EPIOCGPARAMS _IOR(0x8A, 2, struct uapi_epoll_params)

/* ---- pidfd_open(2) ---- */

#define UAPI_PIDFS_MAGIC 0x50494446

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

/* As of PIDFD_INFO_SIZE_VER0. */
struct uapi_pidfd_info {
	uint64_t mask;
	uint64_t cgroupid;
	uint32_t pid;
	uint32_t tgid;
	uint32_t ppid;
	uint32_t ids[8];
	int32_t exit_code;
};

#define UAPI_PIDFD_GET_INFO  _IOWR(0xFF, 11, struct uapi_pidfd_info)
#define UAPI_PIDFD_INFO_EXIT (1UL << 3)

/* ---- inotify(7), fanotify(7) ---- */

#define UAPI_FAN_PRE_ACCESS 0x00100000 /* 6.14 */
/* fs/notify/fanotify/fanotify.h: made without CAP_SYS_ADMIN */
#define UAPI_FANOTIFY_UNPRIV 0x80000000

#define UAPI_INOTIFY_SETNEXTWD _IOW('I', 0, int32_t)

/* ---- timerfd_create(2); <linux/timerfd.h> goes not together with <sys/timerfd.h> ---- */

#ifndef TFD_IOC_SET_TICKS
#define TFD_IOC_SET_TICKS _IOW('T', 0, uint64_t)
#endif

/* ---- membarrier(2) ---- */

/* An enumerator in the kernel's header, so it cannot be tested for there. */
enum { UAPI_MEMBARRIER_GET_REGISTRATIONS = 1 << 9 };

/* ---- getsockopt(2) ---- */

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#define SO_PEERPIDFD 77
#endif
#ifndef SO_RCVPRIORITY
#define SO_RCVPRIORITY 82
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif
#ifndef UDPLITE_SEND_CSCOV
#define UDPLITE_SEND_CSCOV 10 /* net/udplite.h */
#define UDPLITE_RECV_CSCOV 11
#endif
/* Numbers only, so that this header goes with both <linux/tcp.h> and <netinet/tcp.h>. */
#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#endif
#ifndef TCP_RTO_MIN_US
#define TCP_RTO_MIN_US	  45
#define TCP_DELACK_MAX_US 46
#endif

/* ---- system calls ---- */

#ifndef __NR_mseal
#define __NR_mseal 462
#endif

/* ---- ipv6(7) ---- */

/* Some releases of linux/in6.h leave these to the C library, which has not got them. */
#ifndef IPV6_FLOWINFO
#define IPV6_FLOWINFO	   11
#define IPV6_FLOWINFO_SEND 33
#endif
