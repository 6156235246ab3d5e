# SPDX-License-Identifier: Apache-2.0
"""The demo's program: threads that count, a child process that receives numbers through a pipe, and
a log file that it appends to. Each number is in the log once, in order, however often the program
is dumped and restored in between."""
import os
import sys
import threading
import time

log = open(sys.argv[1], "a", buffering=1)
ticks = [0, 0]


def count(i):
    while True:
        ticks[i] += 1
        time.sleep(0.001)


def child(read_end):
    with os.fdopen(read_end) as numbers:
        for line in numbers:
            log.write("%s from process %d of parent %d\n" % (line.strip(), os.getpid(), os.getppid()))


read_end, write_end = os.pipe()
if os.fork() == 0:
    os.close(write_end)
    child(read_end)
    os._exit(0)
os.close(read_end)
for i in range(len(ticks)):
    threading.Thread(target=count, args=(i,), daemon=True).start()
number = 0
with os.fdopen(write_end, "w", buffering=1) as pipe:
    while True:
        number += 1
        pipe.write("%d\n" % number)
        time.sleep(0.01)
