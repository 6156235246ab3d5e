#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plans of random trees, executed on the real kernel by a program that is not ours.

usage: kernel-plans.py COPPICE container|host [FIRST [COUNT]]

As compare-models.py, but grove.c carries the plan out and livetree.py reads the outcome from /proc.
Needs root. Exit status 77 (skipped) without it, or where grove is not there.
"""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import grove  # noqa: E402


def plan_of(coppice, tree):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
        json.dump(tree, f)
        f.flush()
        done = subprocess.run([coppice, "plan", "--tree", f.name, "--json"], check=True,
                              capture_output=True, text=True)
    return json.loads(done.stdout)


def script(plan, root):
    """The plan in grove's words."""
    number = {0: root}
    out = []
    for s in plan["steps"]:
        op, process = s["op"], s["process"]
        if op == "clone":
            number[s["child"]] = s["pid"][0]
            mode = "s" if s.get("clone_parent") else "f"
            out.append("C %d %d %s 0 1 %d" % (process, s["child"], mode, s["pid"][0]))
        elif op == "setsid":
            out.append("S %d" % process)
        elif op == "setpgid":
            out.append("G %d %d %d" % (process, number[s.get("target", process)], s["pgid"][0]))
        elif op == "subreaper":
            out.append("R %d %d" % (process, s["on"]))
        elif op == "exit":
            out.append("X %d" % process)
        elif op == "wait":
            out.append("W %d %d" % (process, number[s["child"]]))
    return "\n".join(out) + "\n"


def differences(live, model, coppice, kind, seed):
    container = kind == "container"
    _, kernel = model.random_history(seed, ops=20 + seed * 7 % 80, container=container, nested=False)
    tree = kernel.tree()
    plan = plan_of(coppice, tree)
    done = subprocess.run([live.built_grove(), kind], input=script(plan, tree["root"]),
                          capture_output=True, text=True)
    if done.returncode:
        return [done.stderr.strip()]
    root = int(done.stdout.split()[1])
    got = live.read_container(root) if container else live.read_tree(root, 0)
    found = live.compare(got, tree["processes"])
    if container:
        live.destroy(root)
    return found


def main():
    coppice, kind = sys.argv[1], sys.argv[2]
    first = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 50
    live, model = grove.load("livetree", "treemodel")
    if os.getuid() != 0:
        print("skipped: not root")
        sys.exit(77)
    bad = 0
    for seed in range(first, first + count):
        if kind == "host" and os.getpid() != 1:
            # each in a PID namespace that stands for the host, and ends with it
            bad += live.in_host_namespace([__file__, coppice, kind, str(seed), "1"]).returncode
            continue
        found = differences(live, model, coppice, kind, seed)
        if found:
            print("seed %d: %s" % (seed, "; ".join(found[:4])))
            bad += 1
    if os.getpid() != 1:
        print("%d of %d plans lead to their tree on this kernel (%s)" % (count - bad, count, kind))
    sys.exit(min(bad, 1))


with grove.own():
    main()
