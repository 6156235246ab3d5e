# SPDX-License-Identifier: Apache-2.0
"""An independent reader of trees in nested namespaces: no code of the collector's.

members(root) finds the tree below a process and whoever is in a PID namespace whose init is in it;
state(root) tells what a restore has to bring back, in numbers of the root's PID namespace.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "live"))

from snapshot import children  # noqa: E402

STATUS = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs",
          "Threads")


def read(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError as e:
        return "<%s>" % os.strerror(e.errno)


def status(pid):
    lines = (line.partition(":") for line in read("/proc/%d/status" % pid).splitlines())
    return {key: value.split() for key, _, value in lines}


def link(pid, name):
    try:
        return os.readlink("/proc/%d/ns/%s" % (pid, name))
    except OSError:
        return "none"


def below(root):
    todo, seen = [root], []
    while todo:
        seen.append(todo.pop())
        todo += children(seen[-1])
    return seen


def members(root):
    found = below(root)
    inits = {link(p, "pid") for p in found if status(p).get("NSpid", [0])[-1] == "1"}
    inits -= {link(1, "pid"), "none"}
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in found and link(int(name), "pid") in inits:
            found += [p for p in below(int(name)) if p not in found]
    return found


def one(pid, level, inside):
    st = status(pid)
    if "NSpid" not in st:
        return None
    parent = int(st["PPid"][0])
    result = {"pid": st["NSpid"][level:], "sid": st["NSsid"][level:], "pgid": st["NSpgid"][level:],
              "parent": status(parent)["NSpid"][level] if parent in inside else "outside",
              "state": st["State"][0].replace("R", "S"), "name": st["Name"]}
    if result["state"] != "Z":
        result.update({key: st.get(key) for key in STATUS})
        result["tids"] = sorted(tuple(thread["NSpid"][level:]) for thread in threads(pid))
    for name in ("uid_map", "gid_map", "projid_map", "setgroups"):
        result[name] = read("/proc/%d/%s" % (pid, name))
    return result


def threads(pid):
    for tid in os.listdir("/proc/%d/task" % pid):
        lines = (x.partition(":") for x in read("/proc/%d/task/%s/status" % (pid, tid)).splitlines())
        yield {key: value.split() for key, _, value in lines}


def name_outside(processes):
    """Who came in from outside brought a session and a group that have other numbers next time."""
    entrants = [p for p in processes if p["parent"] == "outside"]
    led = {p["pid"][0] for p in processes}
    outside = {p[key][0] for p in entrants for key in ("sid", "pgid")} - led
    for p in processes:
        for key in ("sid", "pgid"):
            if p[key][0] in outside and p["sid"][0] in outside | {"0"}:
                p[key][0] = "0"


def state(root, level=None):
    """{PID: what it is}. Numbers outside are 0; namespaces are named by their first member."""
    if level is None:
        level = len(status(root)["NSpid"]) - 1
    pids = sorted(members(root), key=lambda p: int(status(p)["NSpid"][level]))
    names, result = {}, {}
    own = {kind: link(1, kind) for kind in ("pid", "user")}
    for pid in pids:
        p = one(pid, level, set(pids))
        for kind in ("pid", "user", "pid_for_children"):
            ns = link(pid, kind)
            same = own.get(kind.split("_")[0])
            names.setdefault(ns, "outside" if ns == same else "%s of %s" % (kind, p["pid"][0]))
            p["ns/" + kind] = names[ns]
        result[p["pid"][0]] = p
    name_outside(sorted(result.values(), key=lambda p: p["pid"][0]))
    return result


def compare(before, after):
    out = []
    for pid in sorted(set(before) | set(after), key=int):
        a, b = before.get(pid), after.get(pid)
        if a is None or b is None:
            out.append("%s is %s" % (pid, "missing" if b is None else "left over"))
            continue
        out += ["%s: %s was %s, is %s" % (pid, key, a[key], b.get(key)) for key in a
                if a[key] != b.get(key)]
    return out
