"""Starts servers with jupyterhub-kubespawner 7.1.0, and tells when and how each start ended.

Run by the interpreter of :mod:`bench.peer`, on its own: it imports nothing of this project. Reads
a JSON object of ``timeout`` (seconds, as JupyterHub's) and ``cases`` (``title``, ``settings``)
from standard input; writes a JSON line per case as it ends.
"""

import asyncio
import json
import sys
import time
from types import SimpleNamespace
from unittest.mock import MagicMock

from traitlets.config import Config

from kubespawner import KubeSpawner


def make(settings):
    user = SimpleNamespace(name="alice", id=1, escaped_name="alice", url="/user/alice/", groups=[])
    user.server_url = lambda name="": f"{user.url}{name}"
    user.settings, user.orm_user = {}, SimpleNamespace(orm_spawners={})
    hub = SimpleNamespace(
        public_host="",
        url="http://127.0.0.1:1/hub/",
        base_url="/hub/",
        api_url="http://127.0.0.1:1/hub/api/",
        server=SimpleNamespace(port=1),
    )
    orm_spawner = MagicMock(server=None, state=None)
    orm_spawner.name = ""
    return KubeSpawner(
        user=user,
        hub=hub,
        orm_spawner=orm_spawner,
        db=MagicMock(),
        config=Config({"KubeSpawner": Config(settings)}),
        api_token="token",
        oauth_client_id="client",
    )


async def run(case, timeout):
    begin = time.monotonic()
    told = {"title": case["title"]}
    try:
        # As JupyterHub does it.
        await asyncio.wait_for(make(case["settings"]).start(), timeout)
        told["ended"] = "it started"
    except asyncio.TimeoutError as e:
        told["ended"] = f"{str(e) or 'no message'} (start timeout)"
    except Exception as e:  # noqa: BLE001 - what it raises is what is asked
        told["ended"] = f"{type(e).__name__}: {getattr(e, 'jupyterhub_message', None) or e}"
    told["seconds"] = time.monotonic() - begin
    print(json.dumps(told), flush=True)


async def main():
    asked = json.load(sys.stdin)
    await asyncio.gather(*(run(case, asked["timeout"]) for case in asked["cases"]))


asyncio.run(main())
