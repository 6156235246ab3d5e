#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""plan-live.py COPPICE: running trees that cannot be dumped, or not yet, and all the same be planned;
prints TAP.

`coppice plan -t` is about processes alone: what files they have, and in which other namespaces they
are, makes no difference to it. The chromium case is skipped where there is no chromium, or its sandbox does
not start.
"""
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import namespaces  # noqa: E402

CLONE_NEWNET = 0x40000000
ORDINARY = 4242


def plan(root):
    done = subprocess.run([sys.argv[1], "plan", "-t", str(root)], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def foreign_socket():
    """A socket of a network namespace that it has left: only in there it can be asked for."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        ok = libc.unshare(CLONE_NEWNET) == 0
        pair = socket.socketpair()  # noqa: F841
        ok = ok and libc.setns(home, CLONE_NEWNET) == 0
        os.write(told, b"y" if ok else b"n")
        signal.pause()
        os._exit(1)
    try:
        assert os.read(ready, 1) == b"y"
        code, text = plan(pid)
        return "ok" if code == 0 else "exit %d: %s" % (code, text)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def sandboxed(root):
    """Those on a level below the root's."""
    level = len(namespaces.status(root)["NSpid"])
    return [p for p in namespaces.below(root) if len(namespaces.status(p).get("NSpid", [])) > level]


def stays_down(started, work):
    """Until a renderer is in its sandbox, or the browser has given up."""
    while True:
        root = namespaces.children(started.pid)
        with open(os.path.join(work, "out"), errors="replace") as f:
            said = f.read()
        if "DevTools listening" in said and root and len(sandboxed(root[0])) > 2:
            return root[0], said
        if started.poll() is not None:
            return None, said
        os.sched_yield()


def chromium():
    """Headless, as an ordinary user: its sandbox nests user and PID namespaces."""
    if not shutil.which("chromium"):
        return "ok # SKIP no chromium"
    work = tempfile.mkdtemp(prefix="coppice-chromium-")
    os.chown(work, ORDINARY, ORDINARY)
    environment = {"PATH": os.environ["PATH"], "HOME": work, "TMPDIR": work}
    command = ["unshare", "--pid", "--fork", "--mount-proc", "setpriv",
               "--reuid", str(ORDINARY), "--regid", str(ORDINARY), "--clear-groups",
               "chromium", "--headless", "--disable-gpu", "--remote-debugging-port=0", "about:blank"]
    with open(os.path.join(work, "out"), "w") as out:
        started = subprocess.Popen(command, cwd=work, env=environment, stdin=subprocess.DEVNULL,
                                   stdout=out, stderr=out)
    try:
        root, said = stays_down(started, work)
        if root is None:
            return "ok # SKIP chromium does not run here: " + " ".join(said.split())[:200]
        code, text = plan(root)
        if code != 0 or "makes PID namespace" not in text or "joins user namespace" not in text:
            return "exit %d: %s" % (code, text)
        return "ok"
    finally:
        for init in namespaces.children(started.pid):
            os.kill(init, signal.SIGKILL)  # and all in its namespace
        started.wait()
        shutil.rmtree(work, ignore_errors=True)


def main():
    if os.geteuid() != 0:
        print("1..0 # SKIP not root")
        return
    cases = [foreign_socket, chromium]
    print("1..%d" % len(cases), flush=True)
    bad = 0
    for number, case in enumerate(cases, 1):
        outcome = case()
        good = outcome.startswith("ok")
        print("%s %d - %s%s" % ("ok" if good else "not ok", number, case.__name__, outcome[2:] if good else ""))
        if not good:
            print("# " + outcome.replace("\n", "\n# "), flush=True)
            bad += 1
    sys.exit(1 if bad else 0)


main()
