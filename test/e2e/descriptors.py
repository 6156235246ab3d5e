# SPDX-License-Identifier: Apache-2.0
"""Workers that are handed their work as descriptors through sockets: many are in flight at any moment."""
import os
import socket

WORKERS, AHEAD = 3, 20
log = open("log", "a", buffering=1)


def work(channel):
    """Each message has a number and a pipe with that number in it; the answer goes back through another."""
    while True:
        data, fds, _, _ = socket.recv_fds(channel, 100, 2)
        with os.fdopen(fds[0], "rb") as question, os.fdopen(fds[1], "wb") as answer:
            answer.write(data + b" " + question.read())


def ask(channel, number):
    question, put = os.pipe()
    get, answer = os.pipe()
    os.write(put, b"%d" % number)
    os.close(put)
    socket.send_fds(channel, [b"%d" % number], [question, answer])
    os.close(question)
    os.close(answer)
    return get


channels = []
for i in range(WORKERS):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        for other in channels:
            other.close()
        work(theirs)
    theirs.close()
    channels.append(ours)
waiting = [(n, ask(channels[n % WORKERS], n)) for n in range(1, AHEAD)]
number = AHEAD
while True:
    waiting.append((number, ask(channels[number % WORKERS], number)))
    number += 1
    n, get = waiting.pop(0)
    with os.fdopen(get, "rb") as f:
        answer = f.read()
    log.write("%d %s\n" % (n, "right" if answer == b"%d %d" % (n, n) else "wrong: %r" % answer))
