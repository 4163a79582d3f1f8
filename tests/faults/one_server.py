"""One server's life, told what to do line by line on a Unix socket; answers are JSON lines.

Run by the interpreter of an environment with any KubeSpawner in it: this file imports nothing of
this repository. Commands: ``start``, ``poll``, ``stop``, ``state``, ``clock SECONDS``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

from traitlets.config import Config

from kubespawner import KubeSpawner

_LIMIT = 40


def make(order: dict[str, Any]) -> Any:
    """Return the spawner that ``order`` describes: user, settings, state."""
    name = order["user"]
    user = SimpleNamespace(
        name=name,
        id=name,
        escaped_name=name,
        url=f"/user/{name}/",
        groups=[],
        settings={},
        orm_user=SimpleNamespace(orm_spawners={}),
        server_url=lambda server="": f"/user/{name}/{server}",
    )
    hub = SimpleNamespace(
        public_host="",
        url="http://127.0.0.1:1/hub/",
        base_url="/hub/",
        api_url="http://127.0.0.1:1/hub/api/",
        server=SimpleNamespace(port=1),
    )
    orm_spawner = MagicMock(server=None)
    orm_spawner.name = ""
    spawner = KubeSpawner(
        user=user,
        hub=hub,
        orm_spawner=orm_spawner,
        db=MagicMock(),
        config=Config({"KubeSpawner": order["settings"]}),
        api_token="token",
        oauth_client_id="client",
    )
    spawner.server = None
    spawner.load_state(order["state"])
    return spawner


async def obey(spawner: Any, command: str) -> Any:
    """Do as told; return the result, or the error as ``{"error": …}``."""
    try:
        if command == "state":
            return spawner.get_state()
        if command.startswith("clock "):
            offset, real = float(command.split()[1]), time.time
            time.time = lambda: real() + offset
            return None
        result = await asyncio.wait_for(getattr(spawner, command)(), _LIMIT)
    except Exception as e:  # noqa: BLE001 - told to who commands
        return {"error": f"{type(e).__name__}: {e}"[:300]}
    return result if command == "poll" else str(result)


async def live(connection: socket.socket) -> None:
    """Be one hub's process: an order first, then commands; answer each with a line."""
    reader, writer = await asyncio.open_unix_connection(sock=connection)
    spawner = make(json.loads(await reader.readline()))
    while line := await reader.readline():
        writer.write(json.dumps(await obey(spawner, line.decode().strip())).encode() + b"\n")
        await writer.drain()


def main() -> None:
    """Give each who connects a process of its own, which dies with the connection."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen()
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            asyncio.run(live(connection))
            # As a hub that is killed.
            os._exit(0)
        connection.close()


if __name__ == "__main__":
    main()
