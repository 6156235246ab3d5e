/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puppets: tasks that the coordinator holds by ptrace and that execute system calls for it.
 *
 * There are two sorts. A *borrowed* puppet is a task of a running program (dump, check): it must
 * behave, once released, as if nothing had happened, and must survive the coordinator's SIGKILL
 * at any moment. A *made* puppet (restore) starts as a stub of ours and becomes the restored
 * task; it dies with the coordinator until it is let go (PTRACE_O_EXITKILL).
 *
 * Both run call tables with the same interpreter (stub/interp.c) and are used through the same
 * functions; what differs is how they are entered and how they are told to run a table.
 *
 * A borrowed puppet's life:
 *	seize_tree() ............ every task ptrace-stopped, registers saved
 *	puppet_enter() .......... area mapped, task waits in the command loop above its sigreturn
 *frame puppet_run() ... ........ any number of tables puppet_leave() .......... area unmapped,
 *original registers and mask back, still stopped puppet_release() ........ let go (or left stopped,
 *or killed) puppet_run on a puppet that was not entered enters and leaves around the table.
 *
 * Nothing here names a register: those live behind puppet/arch.h.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "puppet/arch.h"
#include "puppet/call.h"

struct context;

/* An address in a puppet's address space; never to be dereferenced here. */
typedef uint64_t
	puppet_addr; /* the one typedef: mixing these up with pointers is the bug it prevents */

enum puppet_state {
	PUPPET_NONE,	/* not attached */
	PUPPET_STOPPED, /* ptrace-stopped, its own registers in place */
	PUPPET_LOOP,	/* waits in the command loop for a table */
	PUPPET_BUSY,	/* a table is running: puppet_start without puppet_finish */
	PUPPET_GONE,	/* died (an ordinary result; every call then returns -ESRCH) */
};

/*
 * The memory that a puppet's address space lends us: the interpreter, and slots. One per address
 * space; tasks that share it (threads, vfork-style clones) use different slots.
 */
struct puppet_area {
	puppet_addr base;
	uint64_t size;	  /* bytes, a multiple of the page size */
	puppet_addr code; /* entry of the interpreter */
	uint32_t n_slots;
	uint32_t slot_size;
	uint32_t reserve;   /* bytes at the end of each slot that are not the table's */
	unsigned int users; /* puppets whose area pointer is this one */
	/* Borrowed puppets; the area of a thread group exists from its seizure on, mapped or not:
	 */
	bool mapped;
	puppet_addr boot;	/* unused executable bytes of the program; 0: not looked for yet */
	puppet_addr vdso_start; /* as puppet_tell has it */
	puppet_addr vdso_end;
	struct puppet **tasks; /* the tasks of the thread group; owned by the tree */
	size_t n_tasks;
	int code_mem;		/* /proc/PID/mem, while code is being written, or -EBADF; owned */
	struct puppet *looping; /* the one task that waits at the socket */
	int socket;		/* coordinator's end of the loop's doorbell, or -EBADF; owned */
	int far_socket;		/* the program's number for the other end */
	int lent;		/* and for the descriptor that it has been lent; or -EBADF */
	uint64_t answered;	/* bit i: slot i's answer has been read from the socket */
	uint64_t slots_used;	/* bit i: slot i has a user */
	/* Made puppets: SIGTRAP is not ours any more (ignored or pending by order of the image):
	 * ring by a system call, which costs two stops per call of a table. Sticky. */
	bool quiet;
	/* Made puppets: slots are handed out in order; the first task of the address space brought
	 * its own from the one it is a copy of. */
	uint32_t first_slot;
	uint32_t next_slot;
};

struct puppet {
	pid_t tid; /* as the coordinator's PID namespace numbers it */
	pid_t tgid;
	bool borrowed; /* a running program's task, as opposed to a stub of ours */
	enum puppet_state state;
	struct puppet_area *area; /* NULL until entered; shared by tasks of one address space */
	uint32_t slot;		  /* this task's slot in the area */
	int socket;		  /* coordinator's end of the doorbell, or -EBADF; owned */
	struct arch_regs regs;	  /* general registers at the stop: what the task goes on with */
	uint64_t sigmask;	  /* blocked signals at the stop: what the task goes on with */
	bool group_stopped;	  /* the thread group was stopped by a job-control signal */
	int stop_signal;	  /* which one */
	int wait_status;	  /* when PUPPET_GONE: the status that waitpid gave, or -1 */
	bool worker;		  /* a thread of io_uring's, which is no task of the program's */
	bool permitted;		  /* remote calls have been found to be allowed */
	bool filtered;		  /* under seccomp, if that is known already */
	bool told;		  /* the facts are known (puppet_tell) */
	bool own_files;		  /* has not the descriptors of the task that waits in the loop */
	bool suspended;		  /* its seccomp filters are suspended while we hold it */
	bool leave_after;	  /* was entered by puppet_start; puppet_finish leaves */
	uint32_t pid_depth;   /* made: PID namespace levels between the coordinator's and its own */
	uint32_t birth_depth; /* made: and the one that its children are born into */
	/* Made: where the numbers of children that ptrace events tell of go, in the order of
	 * their births; private to clone.c. */
	pid_t *born;
	size_t n_born;
	size_t born_room;
	struct batch *batch; /* the table under way; private to transport.c; owned */
};

/* ---- whole trees (seize.c) ------------------------------------------------------------- */

/* The puppets of one thread group. */
struct puppet_process {
	pid_t pid;
	pid_t parent;	       /* as the coordinator's PID namespace numbers it; 0: outside that */
	bool zombie;	       /* has no tasks to hold: tasks is empty */
	struct puppet **tasks; /* the leader first, if it lives */
	size_t n_tasks;
	struct puppet_area *area; /* owned */
};

struct puppet_tree {
	struct puppet_process *processes; /* parents before children; the root first */
	size_t n_processes;
	/* cgroup freezers that had to be thawed, to be frozen again at release. Private to seize.c
	 */
	struct thawed *thawed;
	size_t n_thawed;
};

/*
 * Seizes and stops @root and all its descendants with all their threads, until no new one
 * appears; tasks inside an rseq critical section get their abort ip, a parent in vfork is waited
 * for (bounded), a tree under a cgroup freezer is thawed once everything is pinned. On failure
 * everything seized so far is let go. Errors say which process, and who traces it if somebody does.
 */
int puppet_tree_seize(struct context *ctx, pid_t root, struct puppet_tree *ret_tree);

enum puppet_fate {
	FATE_RUN,  /* goes on as if nothing had happened (stopped jobs stay stopped) */
	FATE_STOP, /* left stopped by SIGSTOP */
	FATE_KILL, /* SIGKILL, waited for */
};
/*
 * Enters the first task of each process, so that the tables of all its tasks run without entering
 * and leaving each time. What fails is left to the first puppet_run, which tells. Release leaves.
 */
void puppet_tree_enter(struct context *ctx, struct puppet_tree *tree);
/* Lets everything go. Never fails half way: what cannot be done for one task is done for the
 * others. */
int puppet_tree_release(struct context *ctx, struct puppet_tree *tree, enum puppet_fate fate);

/* ---- one puppet (puppet.c) ------------------------------------------------------------- */

/*
 * Maps the area into the puppet's address space (unless a sharer has done it) and brings the puppet
 * into the command loop. @slots is how many tasks share the address space.
 */
int puppet_enter(struct context *ctx, struct puppet *p, uint32_t slots);
/* Back to its own registers and mask; the last user of the area unmaps it. Still ptrace-stopped.
 * After an error: a table that is under way is waited for; nothing to do if it has left already. */
int puppet_leave(struct context *ctx, struct puppet *p);

/*
 * Runs a table: 0 if every entry met its expectation; else -errno of the first that did not, with a
 * chain naming it (its `what` and the puppet's pid); earlier results are valid either way.
 * -ESRCH: the puppet died. Tables of any length; the transport batches them.
 */
int puppet_run(struct context *ctx, struct puppet *p, struct call_table *t);
/* The same in two halves, so that many puppets can work at once. One table under way per puppet. */
int puppet_start(struct context *ctx, struct puppet *p, struct call_table *t);
int puppet_finish(struct context *ctx, struct puppet *p, struct call_table *t);

/*
 * SIGSTOP cannot be blocked: a borrowed task that waits in its loop takes it when it comes. Positive:
 * it has, and goes on towards its group stop, which another look finds.
 */
int puppet_heed(struct context *ctx, struct puppet *p);
/* Stops a borrowed task where it waits in its loop, for what the kernel tells of stopped tasks only;
 * and has it wait on. Nothing to do for one that is stopped anyway. */
int puppet_hold(struct context *ctx, struct puppet *p);
int puppet_unhold(struct context *ctx, struct puppet *p);

/* One remote call: the result (>= 0) or -errno, with a chain. */
int64_t puppet_call(struct context *ctx, struct puppet *p, const char *what, uint64_t nr,
		    const struct call_arg arg[6]);

/* Memory of a puppet that is stopped or in the loop. All or -errno (-EFAULT: not mapped). */
int puppet_read(struct context *ctx, struct puppet *p, puppet_addr from, void *to, size_t len);
int puppet_write(struct context *ctx, struct puppet *p, puppet_addr to, const void *from,
		 size_t len);

/*
 * What the caller has read about a held task and its address space anyway, so that entering it need
 * not read it again. Holds as long as the task is held.
 */
struct puppet_facts {
	bool filtered;	/* under seccomp */
	bool own_files; /* its descriptor table is not that of its process's first task */
	puppet_addr
		vdso_start; /* of the mapping "[vdso]"; start == end: there is none, or not known */
	puppet_addr vdso_end;
};
void puppet_tell(struct puppet *p, const struct puppet_facts *facts);

/* ---- descriptors (fd.c) ---------------------------------------------------------------- */

/* A pidfd of the task (of its process before Linux 6.9); owned by the caller. */
int puppet_pidfd(struct context *ctx, struct puppet *p, int *ret_fd);
/* A duplicate, here, of descriptor @fd of the process (pidfd_getfd); owned by the caller. */
int puppet_fd_out(struct context *ctx, struct puppet *p, int fd, int *ret_fd);
/* Sends @n descriptors of ours into a made puppet (SCM_RIGHTS over its doorbell, close-on-exec). The
 * numbers they got are in ret_fds. -EMFILE: there is no room for them, none came. */
int puppet_fds_in(struct context *ctx, struct puppet *p, const int *fds, size_t n, int *ret_fds);

/*
 * A descriptor of ours that a process has for a while, for calls by which it looks at something that
 * it could not name otherwise. A running program's task waits in the loop meanwhile, and gives the
 * descriptor back at the latest when it leaves, or when this process dies. (loan.c)
 */
struct puppet_loan {
	struct puppet *puppet; /* NULL: nothing is lent */
	int fd;		       /* the number there */
	bool entered;
};
/* -EMFILE: there is no room for it. */
int puppet_lend(struct context *ctx, struct puppet *p, int fd, struct puppet_loan *ret_loan);
/* @r: how the calls ended; an error of theirs goes before one of taking back. Returns the first. */
int puppet_take_back(struct context *ctx, struct puppet_loan *loan, int r);

/* ---- made puppets (make.c) ------------------------------------------------------------- */

/*
 * Starts the first stub as a child of the coordinator: exec of the stub image from a memfd, moved
 * to @base with @slots slots of @slot_size bytes, everything else unmapped except vdso and vvar; no
 * descriptors but its doorbell (for puppet_fds_in), which children inherit. With @set_tid
 * (innermost first, may be NULL) it gets these PIDs; @clone_flags: CLONE_NEWPID, ...
 * A stub runs with all signals blocked but SIGTRAP, and dies with the coordinator.
 */
struct puppet_make {
	puppet_addr base; /* where the area goes: free in every address space of the image */
	uint32_t slots;
	uint32_t slot_size; /* a multiple of the page size */
	uint64_t clone_flags;
	const pid_t *set_tid;
	size_t n_set_tid;
	int exit_signal; /* to the coordinator at its death */
	int doorbell;	 /* the number of the doorbell in the stub */
};
int puppet_make_first(struct context *ctx, const struct puppet_make *how,
		      struct puppet **ret_puppet);
/* How much address space an area takes. */
uint64_t puppet_area_size(uint32_t slots, uint32_t slot_size);

/*
 * Has @parent clone a new process (its copy: a stub in the same loop) or, with CLONE_VM in @flags,
 * one or a thread that uses another slot of the same area. The child is auto-attached.
 * @exit_signal as in clone3; @set_tid innermost first. On failure *ret_child may be set all the
 * same: a child that exists, to be killed with the others.
 */
struct puppet_clone {
	uint64_t flags;
	int exit_signal;
	const pid_t *set_tid;
	size_t n_set_tid;
};
int puppet_clone(struct context *ctx, struct puppet *parent, const struct puppet_clone *how,
		 struct puppet **ret_child);
/* The same for many children of one parent by one table; cheaper by a stop each where every set_tid
 * reaches the coordinator's PID namespace. ret_children has room for @n; NULL for those not made. */
int puppet_clone_many(struct context *ctx, struct puppet *parent, const struct puppet_clone *how,
		      size_t n, struct puppet **ret_children);

struct puppet_become {
	struct puppet *p;
	const void *xstate; /* borrowed */
	size_t xstate_len;
	bool unmap; /* the area: once per address space, by the last task */
};
/*
 * Has the children that @p clones from now on born into the PID namespace @ns (a descriptor of
 * ours), which lies below its own, @depth levels below the coordinator's; puppet_leave_pid_ns: into
 * its own again. No threads can be cloned in between (EINVAL).
 */
int puppet_enter_pid_ns(struct context *ctx, struct puppet *p, int ns, uint32_t depth);
int puppet_leave_pid_ns(struct context *ctx, struct puppet *p);
/*
 * A new PID namespace for the children of @p, without an init as yet, owned by @p's user namespace.
 * *@ret_ns, owned by the caller, is for puppet_enter_pid_ns. -EOPNOTSUPP: the kernel gives no
 * descriptor of it (before 6.11).
 */
int puppet_unshare_pid_ns(struct context *ctx, struct puppet *p, int *ret_ns);
/* @p, of a single thread and with an fs of its own, joins the user namespace @ns, a descriptor of
 * ours. It has all capabilities there, and none outside. */
int puppet_join_user_ns(struct context *ctx, struct puppet *p, int ns);
/* A new user namespace below @p's own, owned by its effective ids, without maps. */
int puppet_unshare_user_ns(struct context *ctx, struct puppet *p, int *ret_ns);

/*
 * The last step of made puppets' tasks: unmaps the area if asked to, sets p->regs, xstate and
 * p->sigmask, and leaves the task ptrace-stopped as the program's own: PTRACE_DETACH lets it run,
 * and restarts a system call that its registers say was interrupted. All @n take it at the same
 * time, so whoever unmaps an area must be alone in it. After an error *@ret_which is whose.
 */
int puppet_become(struct context *ctx, const struct puppet_become *all, size_t n,
		  size_t *ret_which);
/*
 * Stops a process as by job control with @signal (or SIGSTOP where the process would not stop for
 * it). @tasks are its @n tasks, each stopped or in its loop. They can be used as before; let go,
 * they stay stopped. Its parent is told as ever (SIGCHLD).
 */
int puppet_job_stop(struct context *ctx, struct puppet *const *tasks, size_t n, int signal);
/*
 * Ends the process of a single task in its loop, so that wait() gives @status: by exit_group, or
 * by the signal. It is waited for here as by its tracer; the zombie is its parent's to reap. A core
 * dump in @status is made (-EOPNOTSUPP: this machine's core_pattern does not let us).
 */
int puppet_die(struct context *ctx, struct puppet *p, int status);
/* Ends one task in its loop that is not the last of its process; it is detached from before, so
 * that a dead leader is nobody's tracee. */
int puppet_exit_task(struct context *ctx, struct puppet *p, int code);
/* Ends a thread that was cloned last in its address space, as if it had never been. */
int puppet_discard_thread(struct context *ctx, struct puppet *p);
/* The task no longer dies with the coordinator (PTRACE_O_EXITKILL off). */
int puppet_keep(struct context *ctx, struct puppet *p);
/* Detaches: the task goes on by itself (in a stopped process: stays stopped). */
int puppet_let_go(struct context *ctx, struct puppet *p);
/* SIGKILL, waited for as a tracer; never fails. Threads before their leader. The zombie is left to
 * its parent. */
void puppet_kill(struct puppet *p);

/*
 * Reads registers and signal mask of a stopped task into @p, as the kernel has them now: what a
 * task that puppet_become was called for will really go on with.
 */
int puppet_look(struct context *ctx, struct puppet *p);

void puppet_free(struct puppet *p);
