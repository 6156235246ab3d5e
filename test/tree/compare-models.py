#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plans of random trees, replayed on a model of the kernel that is not ours.

usage: compare-models.py COPPICE [FIRST [COUNT [KIND]]]

KIND: flat (where missing), nested, or strangers (nested, and containers are entered from outside).

treemodel.py makes random histories of 30 to 300 operations; `coppice plan --tree --json` plans the
tree that each ends in; treemodel replays the plan and compares. Exit status 77, which means skipped,
where treemodel is not there (grove.py).
"""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import grove  # noqa: E402


def corrected(treemodel):
    """The numbers of an inherited group, on every level that its leader is visible on: where a process
    in a group led from a deeper namespace forks into that, treemodel shows 0 there."""
    class Kernel(treemodel.Kernel):
        def clone(self, actor, key, **kw):
            t = super().clone(actor, key, **kw)
            if actor is not None and t.group[0]:
                t.group = self.seen_from(t.group[0], t.ns)
            return t

    treemodel.Kernel = Kernel
    return treemodel


def plan_of(coppice, tree, path):
    """The plan as treemodel reads it, or the error text."""
    with open(path, "w") as f:
        json.dump(tree, f)
    done = subprocess.run([coppice, "plan", "--tree", path, "--json"], capture_output=True, text=True)
    if done.returncode:
        return None, done.stderr.strip()
    return json.loads(done.stdout), None


def differences(model, coppice, seed, kind, path):
    ops = 30 + seed * 7 % 271
    _, kernel = model.random_history(seed, ops=ops, container=seed % 2 == 0, nested=kind != "flat",
                                     max_level=2 + seed % 4, strangers=kind == "strangers")
    tree = kernel.tree()
    plan, error = plan_of(coppice, tree, path)
    if error:
        return [error]
    return model.run_plan(plan, tree)


def main():
    coppice = sys.argv[1]
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 300
    kind = sys.argv[4] if len(sys.argv) > 4 else "flat"
    model = corrected(grove.load("treemodel")[0])
    bad = 0
    with tempfile.TemporaryDirectory() as directory:
        for seed in range(first, first + count):
            found = differences(model, coppice, seed, kind, os.path.join(directory, "tree.json"))
            if found:
                print("seed %d: %s" % (seed, "; ".join(found[:4])))
                bad += 1
    print("%d of %d plans lead to their tree on treemodel (%s, seeds from %d)"
          % (count - bad, count, kind, first))
    sys.exit(1 if bad else 0)


main()
