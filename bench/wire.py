"""A wire between hub and API server that counts bytes, and can be cut.

``python -m bench.wire PORT`` listens on a free port of loopback and forwards to PORT, TLS and all.
Commands: ``open`` (where it listens), ``count`` (bytes each way so far), ``cut`` (break every
connection), ``refuse`` (let nobody connect, or again).
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any

from .hub import serve

_CHUNK = 1 << 18


class Wire:
    """Forwards connections to one port of loopback."""

    def __init__(self, target: int):
        self._target = target
        self._tasks: set[asyncio.Task[Any]] = set()
        self._refusing = False
        self.to_server = 0
        self.to_hub = 0
        self.port = 0

    async def start(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=_CHUNK)
        self.port = server.sockets[0].getsockname()[1]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if not self._refusing:
                await self._forward(reader, writer)
        except asyncio.CancelledError:
            return  # cut
        finally:
            self._tasks.discard(task)
            # At once, as when a machine on the way is lost.
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target, limit=_CHUNK)
        except OSError:
            return  # the API server is down: the hub's connection is closed
        ways = [
            asyncio.ensure_future(self._copy(reader, back, to_server=True)),
            asyncio.ensure_future(self._copy(there, writer, to_server=False)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            back.transport.abort()

    async def _copy(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, to_server: bool
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(_CHUNK):
                if to_server:
                    self.to_server += len(data)
                else:
                    self.to_hub += len(data)
                sink.write(data)
                await sink.drain()

    # ---- commands ----------------------------------------------------------------------

    async def open(self) -> dict[str, Any]:
        return {"port": self.port}

    async def count(self) -> dict[str, Any]:
        return {"to_server": self.to_server, "to_hub": self.to_hub}

    async def cut(self) -> dict[str, Any]:
        count = len(self._tasks)
        for task in list(self._tasks):
            task.cancel()
        return {"connections": count}

    async def refuse(self, on: bool) -> dict[str, Any]:
        self._refusing = on
        return {}


async def _main(target: int) -> None:
    wire = Wire(target)
    await wire.start()
    await serve(wire.open, wire.count, wire.cut, wire.refuse)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
