# SPDX-License-Identifier: Apache-2.0
"""How long planning takes: a usual tree of 1000 processes, and random ones."""
import json
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
PROCESSES = 1000


def usual_tree():
    """Services and shells: a session for every ten processes, with pipelines in groups of their own."""
    processes = [{"pid": [1], "parent": None, "pid_ns": 0, "sid": [1], "pgid": [1]}]
    for pid in range(2, PROCESSES + 1):
        leader = pid - (pid - 2) % 10
        group = leader if pid - leader < 4 else leader + 4 + (pid - leader - 4) // 3 * 3
        processes.append({"pid": [pid], "parent": 1 if pid == leader else leader, "pid_ns": 0,
                          "sid": [leader], "pgid": [group]})
    return {"root": 1, "pid_namespaces": [{"id": 0, "parent": None}], "processes": processes}


def random_trees(seeds):
    """Of ../shared/trees, if it is there."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, os.environ.get("COPPICE_TREES") or here + "/../../shared/trees")
    try:
        import treemodel
    except ImportError:
        return
    for seed in seeds:
        _, kernel = treemodel.random_history(seed, ops=3000, limit=PROCESSES, container=seed % 2 == 0,
                                             nested=seed % 4 > 1)
        yield kernel.tree()


def measure(program, tree):
    """Milliseconds to plan and to replay, and what was said instead."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
        json.dump(tree, f)
        f.flush()
        done = subprocess.run([program, f.name], capture_output=True, text=True)
    words = done.stdout.split()
    return (float(words[1]), float(words[3])) if words else (None, done.stderr.strip())


def plans(build, seeds=(0, 1, 3, 7)):
    program = build + "/bench/bench-plans"
    lines = []
    rows = [("usual", usual_tree())] + [("random %d" % s, t) for s, t in zip(seeds, random_trees(seeds))]
    for name, tree in rows:
        planned, replayed = measure(program, tree)
        if planned is None:
            lines.append("plans: %s: %s" % (name, replayed))
        else:
            lines.append("plans: %-9s %4d processes, %d namespaces: planned in %.1f ms, replayed in %.1f ms"
                         % (name, len(tree["processes"]), len(tree["pid_namespaces"]), planned, replayed))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(plans(os.path.abspath(sys.argv[1])), end="")
