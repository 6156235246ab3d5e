# SPDX-License-Identifier: Apache-2.0
"""An event loop (epoll): a server and 200 connections over a unix socket, each of which checks every answer."""
import asyncio
import os

CONNECTIONS = 200
log = open("log", "a", buffering=1)
exchanged = 0


async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(b"%d\n" % (int(line) + 1))
        await writer.drain()


def report(right):
    global exchanged
    exchanged += 1
    if exchanged % CONNECTIONS == 0 or not right:
        log.write("%d %s\n" % (exchanged // CONNECTIONS, "right" if right else "wrong"))


async def ask(number):
    reader, writer = await asyncio.open_unix_connection("socket")
    while True:
        writer.write(b"%d\n" % number)
        answer = int(await reader.readline())
        report(answer == number + 1)
        number = answer
        await asyncio.sleep(0.001 * (number % 20))


async def main():
    server = await asyncio.start_unix_server(serve, "socket", backlog=CONNECTIONS)
    async with server:
        await asyncio.gather(*(ask(i * 1000000) for i in range(CONNECTIONS)))


if os.path.exists("socket"):
    os.unlink("socket")
asyncio.run(main())
