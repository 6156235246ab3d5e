#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""nested-cases.py COPPICE [CASE...]: trees in nested PID and user namespaces, made by the tools that
people make them with, dumped and restored; prints TAP.

Each case runs in a PID namespace of its own whose init is this script. It is dumped and restored
twice, and compared by namespaces.py, which shares no code with coppice.
"""
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "live")]
sys.dont_write_bytecode = True
import namespaces  # noqa: E402
from harness import Failed, coppice, report, run_in_scratch  # noqa: E402

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER, CLONE_NEWPID = 0x10000000, 0x20000000
SUBREAPER = 36
TRANSIENT = {"unshare", "nsenter", "setsid", "sh", "bash"}


def clean():
    """What a program of the tree inherits: no descriptors, default signals."""
    null = os.open("/dev/null", os.O_RDWR)
    for n in (0, 1, 2):
        os.dup2(null, n)
    os.closerange(3, 1024)
    for s in set(range(1, 65)) - {9, 19, 32, 33}:
        signal.signal(s, signal.SIG_DFL)


def start(what, session=True):
    """Forks a child in a session of its own; @what is what it runs or is."""
    def apart():
        if session:
            os.setsid()
        clean()
    return be(what, apart)


def be(what, first=None):
    """A forked child that is @what, for use within one; it calls @first before."""
    pid = os.fork()
    if pid == 0:
        try:
            if first:
                first()
            if callable(what):
                what()
            os.execvp(what[0], what)
        finally:
            os._exit(98)
    return pid


def forever():
    while True:
        signal.pause()


def check(r):
    if r != 0:
        os._exit(97)


def await_that(condition):
    """Waits for something that is bound to happen."""
    while True:
        value = condition()
        if value:
            return value
        try:
            os.sched_yield()
        except OSError:
            pass


def asleep(pid):
    """In a system call that waits: what a process is dumped in is no accident of ours."""
    def all_quiet():
        for p in namespaces.members(pid):
            st = namespaces.status(p)
            if "State" in st and st["State"][0] not in "SZT":
                return False
        return True
    await_that(all_quiet)


def on_the_way(pid):
    """One that has no child, and by its name is to have one or to become somebody else."""
    return namespaces.status(pid).get("Name", ["?"])[0] in TRANSIENT and namespaces.below(pid) == [pid]


def count(pid, n, zombies=0):
    """Waits until the tree has @n processes, so many of them dead and the others asleep."""
    def as_wanted():
        states = [namespaces.status(p).get("State", "?")[0] for p in namespaces.members(pid)]
        return len(states) == n and states.count("Z") == zombies and set(states) <= set("SZ") \
            and not any(on_the_way(p) for p in namespaces.members(pid))
    await_that(as_wanted)
    return pid


def named(pid, name):
    """Waits until all descendants have that name."""
    await_that(lambda: all(namespaces.status(p).get("Name") == [name]
                           for p in namespaces.members(pid) if p != pid))
    return pid


def child_of(pid):
    return await_that(lambda: namespaces.children(pid))[0]


# ---- cases: each returns the PID of the tree root ------------------------------------------------

SLEEP = ["sleep", "100000"]


def container():
    """Its init, in the session of who started it."""
    return count(child_of(start(["unshare", "--pid", "--fork"] + SLEEP)), 1)


def container_session():
    return count(child_of(start(["unshare", "--pid", "--fork", "setsid"] + SLEEP)), 1)


def unshare_in_unshare():
    return count(start(["unshare", "--pid", "--fork", "unshare", "--pid", "--fork"] + SLEEP), 3)


def unshare_in_unshare_container():
    return count(child_of(start(["unshare", "--pid", "--fork", "unshare", "--pid", "--fork",
                                 "unshare", "--pid", "--fork"] + SLEEP)), 3)


def user_in_user():
    user = ["unshare", "--user", "--map-root-user", "--pid", "--fork"]
    return count(start(user + user + SLEEP), 3)


def user_container():
    return count(child_of(start(["unshare", "--user", "--map-root-user", "--pid", "--fork", "sh",
                                 "-c", "sleep 100000 & sleep 100001; :"])), 3)


def user_alone():
    """A user namespace without a PID namespace of its own."""
    return count(start(["sh", "-c", "unshare --user --map-root-user sleep 100000 & exec sleep 100001"]), 2)


def user_of_user():
    """Its ids are those of an ordinary user, who is nobody inside."""
    def run():
        os.setgroups([])
        os.setresgid(4243, 4243, 4243)
        os.setresuid(4242, 4242, 4242)
        os.execvp("unshare", ["unshare", "--user", "--pid", "--fork"] + SLEEP)
    return count(start(run), 2)


def entered():
    """A container and a process that joined it from outside."""
    init = child_of(start(["unshare", "--pid", "--fork", "sh", "-c", "sleep 100000; :"]))
    start(["nsenter", "--target", str(init), "--pid"] + SLEEP)
    return count(init, 3)


def entered_own_session():
    init = child_of(start(["unshare", "--pid", "--fork"] + SLEEP))
    start(["nsenter", "--target", str(init), "--pid", "setsid", "sh", "-c", "sleep 100000; :"])
    return count(init, 3)


def entered_deep():
    """Joined a namespace nested in a host tree."""
    root = start(["unshare", "--pid", "--fork", "unshare", "--pid", "--fork"] + SLEEP)
    count(root, 3)
    start(["nsenter", "--target", str(child_of(child_of(root))), "--pid"] + SLEEP)
    return count(root, 4)


def entered_from_inside():
    """A parent in the root's namespace, its children in two others."""
    def run():
        inits = [be(["unshare", "--pid", "--fork"] + SLEEP) for _ in range(2)]
        for outer in inits:
            be(["nsenter", "--target", str(child_of(outer)), "--pid"] + SLEEP)
        forever()
    return count(start(run), 9)


def deep_chain():
    """All levels that the kernel has (MAX_PID_NS_LEVEL, 32) below the one that this case is on."""
    def chain(levels, command):
        return ["unshare", "--pid", "--fork"] * levels + command
    levels = next(n for n in range(32, 0, -1)
                  if subprocess.run(chain(n, ["true"]), stderr=subprocess.DEVNULL).returncode == 0)
    return count(start(chain(levels, SLEEP)), levels + 1)


def unborn():
    return count(start(["unshare", "--pid"] + SLEEP), 1)


def dead_init():
    def run():
        check(libc.unshare(CLONE_NEWPID))
        os.waitpid(be(["true"]), 0)
        forever()
    pid = start(run)
    own = namespaces.link(1, "pid")
    await_that(lambda: namespaces.link(pid, "pid_for_children") not in ("none", own))
    return count(pid, 1)


def zombie_init():
    def run():
        check(libc.unshare(CLONE_NEWPID))
        be(["true"])
        forever()
    pid = start(run)
    return count(pid, 2, 1)


def background_jobs():
    """A shell with job control; pipelines whose leaders have exited."""
    script = "set -m; true | sleep 100000 | sleep 100001 & sleep 100002 & sleep 100003; :"
    return named(count(start(["bash", "-c", script]), 5), "sleep")


def daemons():
    """Daemonised grandchildren that a subreaper has adopted."""
    def daemon():
        os.setsid()
        be(SLEEP)
        os._exit(0)

    def run():
        check(libc.prctl(SUBREAPER, 1, 0, 0, 0))
        for _ in range(3):
            os.waitpid(be(daemon), 0)
        forever()
    return named(count(start(run), 4), "sleep")


def crossed_sessions():
    """a's child in b's session, b's child in a's, both leaders alive."""
    def run():
        check(libc.prctl(SUBREAPER, 1, 0, 0, 0))

        def b():
            """Born in a's session, forks one of that, then leads its own."""
            be(lambda: (be(forever), os._exit(0)))
            os.setsid()
            be(forever)
            forever()
        be(lambda: (os.setsid(), be(b), be(forever), forever()))
        forever()
    return count(start(run), 7, 1)


def threads_in_user_namespace():
    """Their numbers are chosen on levels that their own namespace has no say on."""
    def run():
        import threading
        for _ in range(5):
            threading.Thread(target=forever_thread, daemon=True).start()
        forever()

    def forever_thread():
        libc.pause()
    script = ("import ctypes,threading,signal\n"
              "c=ctypes.CDLL(None)\n"
              "[threading.Thread(target=c.pause,daemon=True).start() for _ in range(5)]\n"
              "signal.pause()")
    pid = start(["unshare", "--user", "--map-root-user", "--pid", "--fork", sys.executable, "-S",
                 "-c", script])
    await_that(lambda: namespaces.status(child_of(pid)).get("Threads") == ["6"])
    return count(pid, 2)


def numbers():
    """Where the next number comes from, and where numbers end."""
    script = ("[ -e /proc/sys/kernel/pid_max ] && echo 5000 >/proc/sys/kernel/pid_max\n"
              "echo 4900 >/proc/sys/kernel/ns_last_pid; /bin/true; /bin/true; exec sleep 100000")
    host = namespaces.read("/proc/sys/kernel/pid_max")
    pid = count(child_of(start(["unshare", "--pid", "--fork", "sh", "-c", script])), 1)
    await_that(lambda: namespaces.status(pid)["Name"] == ["sleep"])
    numbers.own_max = namespaces.read("/proc/sys/kernel/pid_max") == host
    return pid


def check_numbers(root):
    said = subprocess.run(["nsenter", "--target", str(root), "--pid", "sh", "-c",
                           "echo $$; cat /proc/sys/kernel/pid_max"], capture_output=True, text=True)
    number, most = said.stdout.split()
    if number != "4903" or (numbers.own_max and most != "5000"):
        raise Failed("the next process got %s, pid_max is %s" % (number, most))


def memfd_noexec():
    """Each namespace has its own, no laxer than the one above."""
    inner = "echo 2 >/proc/sys/vm/memfd_noexec; exec sleep 100000"
    script = "echo 1 >/proc/sys/vm/memfd_noexec; unshare --pid --fork sh -c '%s'; :" % inner
    return count(child_of(start(["unshare", "--pid", "--fork", "sh", "-c", script])), 3)


def check_memfd_noexec(root):
    """Files below /proc/sys are those of the namespace of who opens them."""
    inner = child_of(child_of(root))
    for pid, wanted in ((root, "1"), (inner, "2")):
        said = subprocess.run(["nsenter", "--target", str(pid), "--pid", "cat",
                               "/proc/sys/vm/memfd_noexec"], capture_output=True, text=True)
        if said.stdout.strip() != wanted:
            raise Failed("vm.memfd_noexec of %d is %s, was %s" % (pid, said.stdout, wanted))


def projects():
    """A map of project ids."""
    return count(start(["unshare", "--user", "--map-root-user", "sh", "-c",
                        "echo 3 5 10 >/proc/self/projid_map; exec sleep 100000"]), 1)


def limited():
    """What `bwrap --disable-userns` does: no user namespace below the next one."""
    inner = "unshare --user --map-root-user --pid --fork sleep 100000"
    script = "%s & echo 1 >/proc/sys/user/max_user_namespaces; echo 3 >/proc/sys/user/max_pid_namespaces; " \
        "exec sleep 100001" % inner
    return count(start(["unshare", "--user", "--map-root-user", "sh", "-c", script]), 3)


def check_limited(root):
    for name, wanted in (("user", "1"), ("pid", "3"), ("net", "2147483647")):
        said = subprocess.run(["nsenter", "--target", str(root), "--user", "cat",
                               "/proc/sys/user/max_%s_namespaces" % name], capture_output=True, text=True)
        if said.stdout.strip() != wanted:
            raise Failed("user.max_%s_namespaces is %s, was %s" % (name, said.stdout, wanted))


def init_in_dead_group():
    """Such an init waits for ever in its end (zap_pid_ns_processes() in the kernel): for the number of
    its own group, which is in use in its PID namespace. Coppice helps it out before the kill."""
    def init():
        leader = be(lambda: (os.setpgid(0, 0), forever()))
        await_that(lambda: os.getpgid(leader) == leader)
        os.setpgid(0, leader)
        os.kill(leader, signal.SIGKILL)
        os.waitpid(leader, 0)
        os.execvp(SLEEP[0], SLEEP)

    def run():
        check(libc.unshare(CLONE_NEWPID))
        be(init)
        forever()
    return named(count(start(run), 2), "sleep")


def end(root):
    """By coppice: nobody else can."""
    image = tempfile.mkdtemp(prefix="coppice-test-")
    members = namespaces.members(root)
    code, text = coppice(COPPICE, ["dump", "-t", str(root), "-D", image], "/")
    shutil.rmtree(image)
    if code != 0:
        raise Failed("the last dump exits %d:\n%s" % (code, text))
    gone(members)


CHECKS = {numbers: check_numbers, memfd_noexec: check_memfd_noexec, limited: check_limited, init_in_dead_group: end}


# ---- cases that are refused, and with which words ------------------------------------------------

def python(script):
    return [sys.executable, "-S", "-c", "import ctypes, os, signal\nc = ctypes.CDLL(None)\n" + script]


def undumpable():
    """Executed in a user namespace whose root is an ordinary user, and then another user."""
    def run():
        os.setgroups([])
        os.setresgid(4243, 4243, 4243)
        os.setresuid(4242, 4242, 4242)
        check(libc.prctl(4, 1, 0, 0, 0))
        os.execvp("unshare", ["unshare", "--user", "--map-root-user", "perl", "-e",
                              "require 'syscall.ph'; syscall(&SYS_prctl, 4, 0, 0, 0, 0);"
                              "sleep(100000)"])
    pid = start(run)
    await_that(lambda: "perl" in namespaces.read("/proc/%d/cmdline" % pid))
    return count(pid, 1)


def entered_zombie():
    """Dead, and its parent outside does not reap it."""
    init = child_of(start(["unshare", "--pid", "--fork"] + SLEEP))
    count(init, 1)

    def parent():
        fd = os.open("/proc/%d/ns/pid" % init, os.O_RDONLY)
        check(libc.setns(fd, CLONE_NEWPID))
        be(["true"])
        forever()
    outside = start(parent)
    await_that(lambda: namespaces.status(child_of(outside)).get("State", "?")[0] == "Z")
    return init


def zombie_root():
    """Nothing is left to dump but what its parent outside is to be told."""
    root = start(["true"])
    await_that(lambda: namespaces.status(root).get("State", "?")[0] == "Z")
    return root


def faulted_init():
    def run():
        check(libc.unshare(CLONE_NEWPID))
        be(python("ctypes.string_at(0)"))
        forever()
    pid = start(run)
    await_that(lambda: namespaces.status(child_of(pid)).get("State", "?")[0] == "Z")
    return pid


def foreign_namespace():
    """Its children would be born among processes that are not dumped."""
    init = child_of(start(["unshare", "--pid", "--fork"] + SLEEP))

    def run():
        fd = os.open("/proc/%d/ns/pid" % init, os.O_RDONLY)
        check(libc.setns(fd, CLONE_NEWPID))
        os.close(fd)
        os.execvp(SLEEP[0], SLEEP)
    return count(start(run), 1)


def not_the_init():
    init = child_of(start(["unshare", "--pid", "--fork", "sh", "-c", "sleep 100000; :"]))
    return count(child_of(init), 1)


REFUSED = {
    undumpable: "is not dumpable, and its memory belongs to a user namespace",
    entered_zombie: "is a zombie whose parent is outside the tree",
    zombie_root: "is a zombie whose parent is outside the tree",
    faulted_init: "killed by a signal that no init can be killed by again",
    foreign_namespace: "PID namespace whose init is outside",
    not_the_init: "is in another PID namespace than coppice, and not its init",
}

CASES = [container, container_session, unshare_in_unshare, unshare_in_unshare_container,
         user_in_user, user_container, user_alone, user_of_user, entered, entered_own_session,
         entered_deep, entered_from_inside, deep_chain, unborn, dead_init, zombie_init,
         background_jobs, daemons, crossed_sessions, threads_in_user_namespace,
         numbers, memfd_noexec, projects, limited, init_in_dead_group] + list(REFUSED)


# ---- running them ----------------------------------------------------------------------------

def reap_all():
    """Orphans come to us."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        pass


def gone(pids):
    def none_left():
        reap_all()
        return not any(os.path.exists("/proc/%d" % p) for p in pids)
    await_that(none_left)


def one_round(root, image, work):
    level = len(namespaces.status(root)["NSpid"]) - 1
    members = namespaces.members(root)
    before = namespaces.state(root, level)
    code, text = coppice(COPPICE, ["dump", "-t", str(root), "-D", image], work)
    if code != 0:
        raise Failed("dump exits %d:\n%s" % (code, text))
    gone(members)
    code, text = coppice(COPPICE, ["restore", "-D", image, "-d", "--pidfile", image + ".pid"], work)
    if code != 0:
        raise Failed("restore exits %d:\n%s" % (code, text))
    with open(image + ".pid") as f:
        root = int(f.read())
    asleep(root)
    different = namespaces.compare(before, namespaces.state(root, level))
    if different:
        raise Failed("/proc differs after the restore:\n" + "\n".join(different))
    return root


def expect_refusal(root, text, work):
    """And nothing has happened to the tree."""
    before = namespaces.state(root)
    code, said = coppice(COPPICE, ["dump", "-t", str(root), "-D", work + "/image"], work)
    if code != 1 or text not in said:
        raise Failed("dump must be refused with %r; exit %d:\n%s" % (text, code, said))
    asleep(root)
    different = namespaces.compare(before, namespaces.state(root))
    if different:
        raise Failed("the refused dump changed the tree:\n" + "\n".join(different))
    return "ok"


def run_case(case, work):
    root = case()
    top = os.path.dirname(work)
    if case in REFUSED:
        return expect_refusal(root, REFUSED[case], work)
    for number in range(ROUNDS):
        try:
            root = one_round(root, "%s/image-%d" % (top, number), work)
        except Failed as e:
            raise Failed("round %d: %s" % (number + 1, e)) from None
    if case in CHECKS:
        CHECKS[case](root)
    return "ok"


def main():
    if os.geteuid() != 0:
        print("1..0 # SKIP not root")
        return
    cases = [c for c in CASES if len(sys.argv) == 2 or c.__name__ in sys.argv[2:]]
    print("1..%d" % len(cases), flush=True)
    bad = 0
    for number, case in enumerate(cases, 1):
        bad += report(number, case.__name__, run_in_scratch(run_case, case))
    sys.exit(1 if bad else 0)


COPPICE = os.path.abspath(sys.argv[1])
ROUNDS = int(os.environ.get("LIVE_ROUNDS", "2"))
main()
