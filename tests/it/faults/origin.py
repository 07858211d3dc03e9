#!/usr/bin/env python3
"""An origin in a process of its own: it can be killed and stopped, misbehaves as told, and says what it has done.

    origin.py ADDRESS PORT NAME     PORT 0: a free one

A request is /r/ID/USER, or /healthz, which is always well. What was executed is written to standard output before it is
answered, one line each, so that no end of the process loses it:

    did ID METHOD ACT DEPLOYMENT    DEPLOYMENT is what the gateway said that this attempt was for

Commands come on standard input, a line each; each is answered with `done` and the port:

    be well|500|503|cut|reset|slow|spoil-USER
    refuse      take no connections, and keep none
    accept      take them again
    end         end when all that was ever sent here has been read
"""

import asyncio
import contextlib
import os
import socket
import struct
import sys

SLOW = 1.0  # seconds
BODY = b"x" * 200


def tell(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


class Origin:
    def __init__(self, address, port, name):
        self.address, self.port, self.name = address, port, name
        self.act = "well"
        self.server = None
        self.refusing = False
        self.connections = {}  # the task of each, and its writer while it rests

    async def open(self):
        self.server = await asyncio.start_server(self.take, self.address, self.port, backlog=512)
        self.port = self.server.sockets[0].getsockname()[1]

    async def run(self):
        await self.open()
        tell("done", self.port)
        commands = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(commands)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
        while line := (await commands.readline()).decode().split():
            match line:
                case ["be", act]:
                    self.act = act
                case ["refuse"]:
                    self.refuse()
                case ["accept"]:
                    self.refusing = False
                    await self.open()
                case ["end"]:
                    await self.drain()
                    return
            tell("done", self.port)

    def refuse(self):
        self.refusing = True
        self.server.close()
        for writer in self.connections.values():
            if writer:
                writer.close()

    async def drain(self):
        """Connections are accepted in the order in which they came: when this last one is, all have been."""
        before = set(self.connections)
        _, writer = await asyncio.open_connection(self.address, self.port)
        ours = writer.get_extra_info("sockname")
        while not any(w and w.get_extra_info("peername") == ours for w in self.connections.values()):
            await asyncio.sleep(0.005)
        writer.close()
        while tasks := before | set(self.connections):
            before = set()
            await asyncio.wait(tasks)

    async def take(self, reader, writer):
        task = asyncio.current_task()
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while not self.refusing:
                    self.connections[task] = writer
                    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                    lines = (line.lower().partition(":") for line in head[1:])
                    fields = {name: value.strip() for name, _, value in lines}
                    await reader.readexactly(int(fields.get("content-length", 0)))
                    self.connections[task] = None
                    method, target, _ = head[0].split(" ")
                    if not await self.answer(method, target, fields, writer):
                        break
        finally:
            self.connections.pop(task, None)
            writer.close()

    async def answer(self, method, target, fields, writer):
        """Whether the connection is still good."""
        if target == "/healthz":
            return await self.say(writer, 200)
        _, _, request, user = target.split("/")
        act = self.act
        if act.startswith("spoil-"):
            act = "500" if act == f"spoil-{user}" else "well"
        tell("did", request, method, act, fields.get("x-serin-deployment", "-"))
        match act:
            case "500" | "503":
                return await self.say(writer, int(act))
            case "cut":
                await self.say(writer, 200, len(BODY) * 2)
                return False
            case "reset":
                at_once = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
                writer.transport.abort()
                return False
            case "slow":
                await asyncio.sleep(SLOW)
        return await self.say(writer, 200)

    async def say(self, writer, status, length=len(BODY)):
        close = "Connection: close\r\n" if self.refusing else ""
        head = f"HTTP/1.1 {status} As told\r\nX-Origin: {self.name}\r\n{close}Content-Length: {length}\r\n\r\n"
        writer.write(head.encode() + BODY)
        await writer.drain()
        return True


if __name__ == "__main__":
    asyncio.run(Origin(sys.argv[1], int(sys.argv[2]), sys.argv[3]).run())
