# SPDX-License-Identifier: Apache-2.0
"""A message bus (dbus-daemon) and two programs on it: one calls the other through the bus, with a descriptor
that has the question in it, and checks every answer."""
import os
import socket
import struct
import subprocess
import tempfile

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=%s/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>"""
CALL, REPLY = 1, 2


def padded(data, to):
    return data + b"\0" * (-len(data) % to)


def string(text):
    return struct.pack("<I", len(text)) + text.encode() + b"\0"


class Bus:
    """A connection; messages have a string as their body, or nothing."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        while self.socket.connect_ex(path) != 0:
            pass
        self.socket.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
        assert self.line().startswith(b"OK")
        self.socket.sendall(b"NEGOTIATE_UNIX_FD\r\n")
        assert self.line() == b"AGREE_UNIX_FD"
        self.socket.sendall(b"BEGIN\r\n")
        self.serial, self.buffer, self.fds = 0, b"", []

    def line(self):
        data = b""
        while not data.endswith(b"\r\n"):
            data += self.socket.recv(1)
        return data[:-2]

    def send(self, kind, body=None, fds=(), **fields):
        """Field codes: path 1, interface 2, member 3, reply 5, destination 6, signature 8, descriptors 9."""
        self.serial += 1
        codes = {"path": (1, "o"), "interface": (2, "s"), "member": (3, "s"), "reply": (5, "u"),
                 "destination": (6, "s")}
        entries = [(codes[name], value) for name, value in fields.items()]
        if body is not None:
            entries.append(((8, "g"), "s"))
        if fds:
            entries.append(((9, "u"), len(fds)))
        header = b""
        for (code, kind_of), value in entries:
            header = padded(header, 8) + bytes([code, 1]) + kind_of.encode() + b"\0"
            if kind_of == "u":
                header += struct.pack("<I", value)
            elif kind_of == "g":
                header += bytes([len(value)]) + value.encode() + b"\0"
            else:
                header += string(value)
        content = string(body) if body is not None else b""
        data = padded(struct.pack("<cBBBIII", b"l", kind, 0, 1, len(content), self.serial, len(header)) + header, 8)
        socket.send_fds(self.socket, [data + content], list(fds))
        return self.serial

    def need(self, n):
        while len(self.buffer) < n:
            data, fds, _, _ = socket.recv_fds(self.socket, 65536, 16)
            if not data:
                os._exit(3)
            self.buffer += data
            self.fds += fds

    def receive(self):
        """(kind, serial, {field code: value}, body)"""
        self.need(16)
        kind = self.buffer[1]
        length, serial, fields_length = struct.unpack("<III", self.buffer[4:16])
        start = 16 + fields_length + (-fields_length % 8)
        self.need(start + length)
        fields, at = {}, 16
        while at < 16 + fields_length:
            code, signature = self.buffer[at], self.buffer[at + 2:at + 3]
            at += 4
            if signature == b"g":
                size = self.buffer[at]
                fields[code] = self.buffer[at + 1:at + 1 + size].decode()
                at += size + 2
            else:
                value = struct.unpack("<I", self.buffer[at:at + 4])[0]
                at += 4
                if signature != b"u":
                    fields[code] = self.buffer[at:at + value].decode()
                    at += value + 1
                else:
                    fields[code] = value
            at += -at % 8
        body = self.buffer[start + 4:start + length - 1].decode() if fields.get(8) == "s" else None
        self.buffer = self.buffer[start + length:]
        return kind, serial, fields, body

    def call(self, body=None, fds=(), **fields):
        serial = self.send(CALL, body, fds, **fields)
        while True:
            kind, _, found, answer = self.receive()
            if kind in (REPLY, 3) and found.get(5) == serial:
                return answer

    def hello(self):
        return self.call(path="/org/freedesktop/DBus", interface="org.freedesktop.DBus", member="Hello",
                         destination="org.freedesktop.DBus")


def serve(bus, tell):
    """Answers with what is in the descriptor, and what was asked."""
    os.write(tell, bus.hello().encode())
    os.close(tell)
    while True:
        kind, serial, fields, body = bus.receive()
        if kind != CALL:
            continue
        fd = bus.fds.pop(0)
        answer = os.pread(fd, 100, 0).decode() + " " + body
        os.close(fd)
        bus.send(REPLY, answer, reply=serial, destination=fields[7])


# As a session bus is used: by somebody who is not root.
os.chown(".", 65534, 65534)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
with open("bus.conf", "w") as f:
    f.write(CONFIG % os.getcwd())
daemon = subprocess.Popen(["/usr/bin/dbus-daemon", "--config-file=bus.conf", "--nofork", "--nopidfile"])
read_end, write_end = os.pipe()
if os.fork() == 0:
    os.close(read_end)
    serve(Bus("bus"), write_end)
os.close(write_end)
server = os.read(read_end, 100).decode()
os.close(read_end)
bus = Bus("bus")
bus.hello()
log = open("log", "a", buffering=1)
number = 0
while True:
    number += 1
    with tempfile.TemporaryFile() as question:
        question.write(b"question %d" % number)
        question.flush()
        answer = bus.call(str(number), [question.fileno()], path="/x", interface="x.y", member="Ask", destination=server)
    log.write("%d %s\n" % (number, "right" if answer == "question %d %d" % (number, number) else "wrong: %s" % answer))
