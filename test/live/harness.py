# SPDX-License-Identifier: Apache-2.0
"""What the runners of live and end-to-end tests share: a PID namespace per test, coppice as a
command, TAP."""
import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import traceback

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x08000000, 0x20000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
MS_REC, MS_PRIVATE = 16384, 1 << 18
libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    pass


def coppice(program, arguments, cwd):
    done = subprocess.run([program] + arguments, cwd=cwd, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def reap(pid):
    """Waits for one process; orphans that init inherits are reaped on the way."""
    while True:
        try:
            done, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return -1
        if done == pid:
            break
    # Its children are orphans now; those that had died with it must not keep their PIDs.
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        pass
    return status


def guarded(function, *arguments):
    try:
        return function(*arguments)
    except Failed as e:
        return "failed " + str(e)
    except BaseException:
        return "failed " + traceback.format_exc()


def in_namespace(function, *arguments):
    """Runs the function as init of new namespaces: PIDs with /proc, mounts with pseudo terminals, IPC,
    network with a loopback device; returns its text."""
    read_end, write_end = os.pipe()
    outer = os.fork()
    if outer == 0:
        os.close(read_end)
        if libc.unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET) != 0:
            os._exit(3)
        init = os.fork()
        if init != 0:
            os._exit(os.waitstatus_to_exitcode(os.waitpid(init, 0)[1]) & 0xff)
        libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
        with socket.socket() as s:
            fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", IFF_UP))
        libc.mount(b"proc", b"/proc", b"proc", 0, None)
        libc.mount(b"devpts", b"/dev/pts", b"devpts", 0, None)
        os.write(write_end, guarded(function, *arguments).encode("utf-8", "replace")[:60000])
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as f:
        text = f.read()
    os.waitpid(outer, 0)
    return text.decode("utf-8", "replace") or "failed the namespace's init died"


def report(number, name, text):
    """Prints the TAP line of one test; @text is "ok", "skip WHY" or "failed WHY". True if it failed."""
    word, _, reason = text.partition(" ")
    if word == "ok":
        print("ok %d - %s" % (number, name), flush=True)
    elif word == "skip":
        print("ok %d - %s # SKIP %s" % (number, name, reason.replace("\n", " ")), flush=True)
    else:
        print("not ok %d - %s" % (number, name))
        print("\n".join("# " + line for line in text.splitlines()), flush=True)
    return word not in ("ok", "skip")


def run_in_scratch(function, *arguments):
    """Runs function(*arguments, directory) in a namespace; LIVE_KEEP keeps the directory of a failure."""
    top = tempfile.mkdtemp(prefix="coppice-test-")
    os.chmod(top, 0o755)
    os.mkdir(top + "/work")
    text = in_namespace(function, *arguments, top + "/work")
    if not text.startswith("failed") or not os.environ.get("LIVE_KEEP"):
        shutil.rmtree(top, ignore_errors=True)
    return text
