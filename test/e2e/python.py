# SPDX-License-Identifier: Apache-2.0
"""Threads and much memory: each thread keeps changing its own 16 MiB and knows what must be in it."""
import hashlib
import queue
import random
import threading

SIZE, THREADS = 16 << 20, 4
log = open("log", "a", buffering=1)
reports = queue.Queue()


def work(seed):
    rng = random.Random(seed)
    memory = bytearray(rng.randbytes(SIZE))
    while True:
        at = rng.randrange(SIZE - 65536)
        new = rng.randbytes(65536)
        memory[at:at + 65536] = new
        expected = hashlib.blake2b(new).digest()
        reports.put(hashlib.blake2b(memory[at:at + 65536]).digest() == expected)


for i in range(THREADS):
    threading.Thread(target=work, args=(i,), daemon=True).start()
number = 0
while True:
    right = reports.get()
    number += 1
    if number % 50 == 0:
        log.write("%d %s\n" % (number // 50, "right" if right else "wrong"))
    elif not right:
        log.write("%d wrong\n" % number)
