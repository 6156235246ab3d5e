# SPDX-License-Identifier: Apache-2.0
"""An independent reader: what /proc says, as text, of every process of a tree.

It shares no code with the collector, so that the collector is not its own judge. snapshot(pid)
gives {path: text}; compare(a, b) lists the differences as readable lines.
"""
import os
import re

# Fields of /proc/PID/stat (proc_pid_stat(5), counted from 1) that must be the same afterwards. Left
# out: CPU times, page faults, start time, memory size, wchan and the like, and the processor.
STAT_FIELDS = {2: "comm", 4: "ppid", 5: "pgrp", 6: "session", 7: "tty_nr", 8: "tpgid",
               18: "priority", 19: "nice", 20: "num_threads", 26: "startcode", 27: "endcode",
               28: "startstack", 38: "exit_signal", 40: "rt_priority", 41: "policy",
               45: "start_data", 46: "end_data", 47: "start_brk", 48: "arg_start", 49: "arg_end",
               50: "env_start", 51: "env_end"}
STATUS_SKIP = {"VmPeak", "VmSize", "VmHWM", "VmRSS", "RssAnon", "RssFile", "RssShmem", "VmPTE",
               "VmSwap", "VmPin", "nonvoluntary_ctxt_switches", "voluntary_ctxt_switches",
               "FDSize", "State", "VmData", "VmStk", "VmExe", "VmLib", "Kthread",
               "Cpus_allowed_list", "Mems_allowed", "Mems_allowed_list", "HugetlbPages",
               "CoreDumping", "SigQ"}
TASK_FILES = ["comm", "personality", "timerslack_ns", "loginuid"]
PROCESS_FILES = ["cmdline", "environ", "auxv", "limits", "oom_score_adj", "coredump_filter",
                 "timers", "cgroup", "autogroup"]
LINKS = ["exe", "cwd", "root"]


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read().decode("utf-8", "backslashreplace")
    except OSError as e:
        return "<%s>" % os.strerror(e.errno)


def link(path):
    try:
        return os.readlink(path)
    except OSError as e:
        return "<%s>" % os.strerror(e.errno)


def stat_fields(text):
    close = text.rindex(")")
    fields = [text[:text.index(" ")], text[text.index("(") + 1:close]] + text[close + 2:].split()
    return {name: fields[i - 1] for i, name in STAT_FIELDS.items()}, fields[2]


def children(pid):
    result = []
    try:
        for tid in os.listdir("/proc/%d/task" % pid):
            result += [int(c) for c in read("/proc/%d/task/%s/children" % (pid, tid)).split()
                       if c.isdigit()]
    except OSError:
        pass
    return sorted(result)


def tree(root):
    todo, seen = [root], []
    while todo:
        pid = todo.pop()
        seen.append(pid)
        todo += children(pid)
    return sorted(seen)


def continues(a, b):
    """Neighbours that differ in nothing may be one VMA or two: that depends on their history."""
    inode = a[4] != "0" and a[4] != "-"
    return (a[0][1] == b[0][0] and a[1] == b[1] and a[3:] == b[3:] and
            (not inode or a[2] + a[0][1] - a[0][0] == b[2]))


PF_IO_WORKER = 0x10


def own_tasks(base):
    """Without io_uring's threads, which come and go with what there is to do."""
    tids = []
    for tid in sorted(os.listdir(base + "/task"), key=int):
        stat = read("%s/task/%s/stat" % (base, tid)).rpartition(")")[2].split()
        if len(stat) > 6 and not int(stat[6]) & PF_IO_WORKER:
            tids.append(tid)
    return tids


def mappings(smaps):
    """One line per VMA: range, protection, offset, device, inode, name, VmFlags, protection key.

    Without the inode numbers of memory objects that are made anew (memfd, deleted ...), and without
    'sd' (soft-dirty), which says nothing of the program."""
    vmas = []
    for line in smaps.splitlines():
        head = re.match(r"^([0-9a-f]+)-([0-9a-f]+) (\S+) (\S+) (\S+) (\S+) *(.*)$", line)
        if head:
            start, end, prot, offset, dev, inode, name = head.groups()
            if name.startswith("anon_inode:"):
                dev = inode = "-"
            if name.endswith("(deleted)"):
                dev = inode = "-"
                if not name.startswith("/memfd"):
                    name = re.sub(r".*/", "", name)
            vmas.append([(int(start, 16), int(end, 16)), prot, int(offset, 16), dev, inode, name])
        elif line.startswith("VmFlags:"):
            vmas[-1].append(" ".join(f for f in line.split()[1:] if f != "sd"))
        elif line.startswith("ProtectionKey:") and line.split()[1] != "0":
            vmas[-1].append("pkey " + line.split()[1])
    joined = []
    for vma in vmas:
        if joined and continues(joined[-1], vma):
            joined[-1][0] = (joined[-1][0][0], vma[0][1])
        else:
            joined.append(vma)
    return "\n".join("%x-%x %s %08x %s" % (*v[0], v[1], v[2], " ".join(v[3:])) for v in joined)


def fd_links(base):
    out = []
    for n in sorted(os.listdir(base + "/fd"), key=int):
        target = re.sub(r"(pipe|socket|user|pid):\[\d+\]", r"\1", link(base + "/fd/" + n))
        target = re.sub(r"/#\d+ \(deleted\)$", "/# (deleted)", target)  # O_TMPFILE: "#INODE"
        target = re.sub(r"/\.coppice-[0-9a-f]{16}-", "/", target)  # its name is another's now
        out.append("%s -> %s" % (n, re.sub(r".*/([^/]* \(deleted\))$", r"\1", target)))
    return "\n".join(out)


def fd_infos(base):
    out = []
    for n in sorted(os.listdir(base + "/fdinfo"), key=int):
        text = read(base + "/fdinfo/" + n)
        # entries of epoll are in the order of kernel addresses
        entries = sorted(re.findall(r"^(tfd:.*) ino:", text, re.M))
        text = re.sub(r"^tfd:.*\n", "", text, flags=re.M) + "\n".join(entries)
        text = re.sub(r"^(inotify wd:\S+) ino:.* mask:(\S+) .*", r"\1 mask=\2", text, flags=re.M)
        text = re.sub(r"^(fanotify) (?:ino:\S+ )?(?:sdev|mnt_id):\S+ (.*?)( fhandle.*)?$", r"\1 \2", text,
                      flags=re.M)
        text = re.sub(r"(mnt_id|ino|map_id):.*\n", "", text)
        # the number of an eventfd is the kernel's; a timerfd goes on
        text = re.sub(r"(eventfd-id|ticks|it_value):.*\n", "", text)
        # "lock: 1: FLOCK ADVISORY WRITE 12 fe:00:1234 0 EOF": a file made anew has another inode
        text = re.sub(r" [0-9a-f]+:[0-9a-f]+:\d+ ", " DEV ", text)
        out.append("%s: %s" % (n, text.replace("\n", " ")))
    return "\n".join(out)


def pipe_pairs(pids):
    """Descriptors that are ends of the same pipe: inode numbers change, the sharing must not."""
    groups = {}
    for pid in pids:
        try:
            names = os.listdir("/proc/%d/fd" % pid)
        except OSError:
            continue
        for n in sorted(names, key=int):
            target = link("/proc/%d/fd/%s" % (pid, n))
            if target.startswith("pipe:"):
                groups.setdefault(target, []).append("%d/%s" % (pid, n))
    return "\n".join(sorted(" ".join(g) for g in groups.values()))


def snapshot(root):
    result = {}
    pids = tree(root)
    result["tree"] = " ".join(map(str, pids))
    for pid in pids:
        base = "/proc/%d" % pid
        fields, state = stat_fields(read(base + "/stat"))
        for name, value in fields.items():
            result["%d/stat/%s" % (pid, name)] = value
        result["%d/state" % pid] = {"Z": "zombie", "T": "stopped"}.get(state, "alive")
        if state == "Z":
            continue
        for name in PROCESS_FILES:
            result["%d/%s" % (pid, name)] = read("%s/%s" % (base, name))
        result["%d/autogroup" % pid] = result["%d/autogroup" % pid].partition(" ")[2]
        result["%d/mappings" % pid] = mappings(read(base + "/smaps"))
        for name in LINKS:
            result["%d/%s" % (pid, name)] = link("%s/%s" % (base, name))
        result["%d/fd" % pid] = fd_links(base)
        result["%d/fdinfo" % pid] = fd_infos(base)
        tids = own_tasks(base)
        result["%d/stat/num_threads" % pid] = len(tids)
        for tid in tids:
            tbase = "%s/task/%s" % (base, tid)
            for name in TASK_FILES:
                result["%d/%s/%s" % (pid, tid, name)] = read("%s/%s" % (tbase, name))
            for line in read(tbase + "/status").splitlines():
                key, _, value = line.partition(":")
                if key == "Threads":
                    value = str(len(tids))
                if key not in STATUS_SKIP:
                    result["%d/%s/status/%s" % (pid, tid, key)] = value.strip()
    result["pipes"] = pipe_pairs(pids)
    return result


def compare(before, after, ignore=()):
    lines = []
    for key in sorted(set(before) | set(after)):
        if any(re.search(pattern, key) for pattern in ignore):
            continue
        a, b = before.get(key, "<absent>"), after.get(key, "<absent>")
        if a == b:
            continue
        if "\n" not in a and "\n" not in b:
            lines.append("%s: %r != %r" % (key, a, b))
            continue
        sa, sb = a.splitlines(), b.splitlines()
        lines += ["%s: - %s" % (key, x) for x in sa if x not in sb]
        lines += ["%s: + %s" % (key, x) for x in sb if x not in sa]
        if not any(line.startswith(key + ":") for line in lines):
            lines.append("%s: the same lines in another order" % key)
    return lines
