#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random process trees, dumped and restored: growing (checkpoint/grow.c) judged from outside.

usage: grown-trees.py COPPICE [FIRST [COUNT [OPERATIONS]]]

grove.c builds each tree on the kernel by a random history, and livetree.py reads it from /proc
before the dump and after the restore: numbers, parents, sessions, groups, zombies, names. Each tree
lives in a PID namespace of its own, whose init is this script: it also sees what is left over.
Needs root. Exit status 77 (skipped) without it, or where grove is not there.
"""
import os
import subprocess
import sys
import tempfile
import time

FIELDS = ("parent", "sid", "pgid", "zombie", "name")
WALL = 0x40000000


def load():
    here = os.path.dirname(os.path.abspath(__file__))
    path = os.environ.get("COPPICE_TREES") or os.path.join(here, "..", "..", "..", "shared", "trees")
    sys.path.insert(0, path)
    sys.dont_write_bytecode = True
    try:
        import livetree
        import treemodel
    except ImportError:
        print("skipped: no livetree.py in", os.path.normpath(path))
        sys.exit(77)
    return livetree, treemodel


def reap():
    """All that a killed tree leaves comes to us, as init; anything alive is a defect."""
    end = time.time() + 10
    while time.time() < end:
        try:
            if os.waitpid(-1, os.WNOHANG | WALL)[0] == 0:
                time.sleep(0.005)
        except ChildProcessError:
            return []
    return ["something is left alive"]


def run(*argv):
    done = subprocess.run(argv, capture_output=True, text=True)
    return [] if done.returncode == 0 else ["%s: %s" % (argv[1], done.stderr.strip())]


def differences(coppice, seed, operations):
    livetree, treemodel = load()
    log, kernel = treemodel.random_history(seed, ops=operations, container=False, nested=False)
    root = livetree.build(log, kernel)
    before = livetree.read_tree(root, 0)
    with tempfile.TemporaryDirectory(prefix="coppice-trees-") as top:
        image = os.path.join(top, "image")
        bad = run(coppice, "dump", "-t", str(root), "-D", image) or reap() or \
            run(coppice, "restore", "-d", "-D", image)
    return bad or livetree.compare(livetree.read_tree(root, 0), before, FIELDS)


def main():
    coppice = sys.argv[1]
    first, count, operations = [int(a) for a in sys.argv[2:] + ["0", "30", "50"][len(sys.argv) - 2:]]
    if os.getpid() == 1:
        bad = differences(coppice, first, operations)
        for line in bad:
            print("seed %d: %s" % (first, line))
        sys.exit(1 if bad else 0)
    if os.geteuid() != 0:
        print("skipped: not root")
        sys.exit(77)
    load()
    failed = 0
    for seed in range(first, first + count):
        failed += subprocess.run(
            ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, __file__,
             coppice, str(seed), "1", str(operations)], stdin=subprocess.DEVNULL).returncode != 0
    print("%d trees, %d failed" % (count, failed))
    sys.exit(1 if failed else 0)


main()
