#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random process trees, dumped and restored: growing (checkpoint/grow*.c) judged from outside.

usage: grown-trees.py COPPICE flat|host|container [FIRST [COUNT [OPERATIONS [ROUNDS]]]]

flat: an ordinary process and one PID namespace. host: with nested ones. container: the root is
init of one, and others have joined it from outside.

grove.c builds each tree on the kernel by a random history; namespaces.py reads it from /proc before
the dump and after each restore: numbers on all levels, parents, sessions, groups, zombies, names.
After the last round random processes are killed, and the orphans must come to those whom the model
kernel of treemodel.py gives them to. Each tree lives in a PID namespace of its own, whose init is
this script: it also sees what is left over. Needs root. Exit status 77 (skipped) without it, or
where grove is not there.
"""
import os
import random
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import grove  # noqa: E402
import namespaces  # noqa: E402

WALL = 0x40000000
PF_EXITING = 4


def is_going(pid):
    """Dead, dying or about to: a process that is not sleeps, as all in these trees do."""
    st = namespaces.status(pid)
    flags = namespaces.read("/proc/%d/stat" % pid).rpartition(")")[2].split()[6:7]
    pending = [int(mask, 16) for key in ("SigPnd", "ShdPnd") for mask in st.get(key, [])]
    return st.get("State", "Z")[0] not in "ST" or any(mask >> signal.SIGKILL - 1 & 1 for mask in pending) \
        or not flags or int(flags[0]) & PF_EXITING != 0


def reap():
    """All that a killed tree leaves comes to us, as init; anything alive is a defect."""
    while True:
        try:
            reaped = os.waitpid(-1, os.WNOHANG | WALL)[0]
        except ChildProcessError:
            return []
        left = [p for p in os.listdir("/proc") if p.isdigit() and int(p) != 1]
        alive = [p for p in left if not is_going(int(p))]
        if alive:
            return ["left alive: %s" % ", ".join(alive)]
        if not reaped:
            os.sched_yield()


def run(*argv):
    done = subprocess.run(argv, capture_output=True, text=True)
    return [] if done.returncode == 0 else ["%s: %s" % (argv[1], done.stderr.strip())]


def numbers(root):
    """{outermost number: PID as we see it}"""
    level = len(namespaces.status(root)["NSpid"]) - 1
    return {int(namespaces.status(p)["NSpid"][level]): p for p in namespaces.members(root)}


def wrong_parents(root, kernel):
    out = []
    state = namespaces.state(root)
    for task in kernel.tasks.values():
        is_now = state.get(str(task.pid[0]), {}).get("parent")
        parent = "outside" if task.parent is None else str(kernel.tasks[task.parent].pid[0])
        if is_now != parent:
            out.append("%d has the parent %s, should be %s" % (task.pid[0], is_now, parent))
    return out


def kill_some(root, kernel, refused, seed, times=3):
    """Who adopts the orphans."""
    rnd = random.Random(seed)
    here = numbers(root)
    for _ in range(times):
        victims = [t for t in kernel.alive() if t is not kernel.root]
        victim = rnd.choice(victims) if victims else None
        try:
            kernel.exit(victim.key if victim else None)
        except (refused, KeyError):
            continue
        pid = here[victim.pid[0]]
        os.kill(pid, signal.SIGKILL)
        while namespaces.status(pid).get("State", ["Z"])[0] != "Z":
            os.sched_yield()
        if victim.key not in kernel.tasks:  # its parent is outside: it is ours to reap now
            os.waitpid(pid, 0)
    return wrong_parents(root, kernel)


def one_tree(coppice, kind, seed, operations, rounds):
    livetree, treemodel = grove.load("livetree", "treemodel")
    log, kernel = treemodel.random_history(seed, ops=operations, container=kind == "container",
                                           nested=kind != "flat", strangers=kind == "container")
    root = livetree.build(log, kernel)
    before = namespaces.state(root)
    bad = []
    with tempfile.TemporaryDirectory(prefix="coppice-trees-") as top:
        for number in range(rounds):
            image = os.path.join(top, "image-%d" % number)
            bad = run(coppice, "dump", "-t", str(root), "-D", image) or reap() or \
                run(coppice, "restore", "-d", "-D", image, "--pidfile", image + ".pid")
            if bad:
                return ["round %d: %s" % (number + 1, line) for line in bad]
            with open(image + ".pid") as f:
                root = int(f.read())
            bad = namespaces.compare(before, namespaces.state(root))
            if bad:
                return ["round %d: %s" % (number + 1, line) for line in bad]
    bad = kill_some(root, kernel, treemodel.Refused, seed)
    with tempfile.TemporaryDirectory(prefix="coppice-trees-") as top:
        # An init in a group whose leader has died in its PID namespace would not die by itself.
        return bad or run(coppice, "dump", "-t", str(root), "-D", os.path.join(top, "image"))


def main():
    coppice, kind = sys.argv[1:3]
    first, count, operations, rounds = [
        int(a) for a in sys.argv[3:] + ["0", "30", "50", "1"][len(sys.argv) - 3:]]
    if os.getpid() == 1:
        bad = one_tree(coppice, kind, first, operations, rounds)
        for line in bad:
            print("seed %d: %s" % (first, line), flush=True)
        sys.exit(1 if bad else 0)
    if os.geteuid() != 0:
        print("skipped: not root")
        sys.exit(77)
    grove.load("livetree", "treemodel")
    failed = 0
    for seed in range(first, first + count):
        failed += subprocess.run(
            ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, __file__,
             coppice, kind, str(seed), "1", str(operations), str(rounds)],
            stdin=subprocess.DEVNULL).returncode != 0
    print("%s: %d trees, %d failed" % (kind, count, failed))
    sys.exit(1 if failed else 0)


with grove.own():
    main()
