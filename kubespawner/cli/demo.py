"""``demo``: JupyterHub with KubeSpawner, on an embedded cluster or on yours."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import click

from ..localcluster import LocalCluster
from .demo_place import NAMESPACE, find_place, make_namespace, remove_namespace

CONFIG = Path(__file__).with_name("demo_config.py")


def _free_port(preferred: int) -> int:
    for port in (preferred, 0):
        with socket.socket() as probe:
            # As the server itself does, so that a port in TIME_WAIT counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise click.ClickException("No free TCP port on 127.0.0.1.")


@click.command()
@click.option(
    "--cluster",
    type=click.Choice(["embedded", "current"]),
    default="embedded",
    show_default=True,
    help="'current': the cluster of the current kubeconfig (KUBECONFIG). DEMO_HUB_ADDRESS, "
    "DEMO_IMAGE and DEMO_NAMESPACE set what is otherwise found out.",
)
@click.option("--port", default=8000, show_default=True, help="Preferred port of the hub's page.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    default=Path(".demo"),
    show_default=True,
    help="Where database, logs and users' files go.",
)
def demo(cluster: str, port: int, directory: Path) -> None:
    """Start a JupyterHub to try KubeSpawner out, afresh each time; Ctrl-C ends it."""
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    _start_afresh(directory)
    sys.exit(asyncio.run(_run(cluster, _free_port(port), directory)))


def _start_afresh(directory: Path) -> None:
    """Remove what an earlier demo left: its servers are gone, so its users must not know them."""
    shutil.rmtree(directory / "cluster", ignore_errors=True)
    for name in ("jupyterhub.sqlite", "cookie_secret", "proxy.pid"):
        (directory / name).unlink(missing_ok=True)


async def _run(cluster: str, port: int, directory: Path) -> int:
    if cluster == "current":
        return await _run_on_current(port, directory)
    async with LocalCluster(root=directory / "cluster") as local:
        env = {"DEMO_CLUSTER": "embedded", "KUBECONFIG": str(local.kubeconfig_path)}
        return await _run_hub("the embedded cluster", port, directory, env)


async def _run_on_current(port: int, directory: Path) -> int:
    place = await find_place()
    for note in place.notes:
        click.echo(f"Note: {note}", err=True)
    click.echo(
        f"Cluster: {place.cluster}\n"
        f"Namespace: {NAMESPACE}, removed at the end (DEMO_NAMESPACE sets another)\n"
        f"Image: {place.image} (DEMO_IMAGE sets another)\n"
        f"Pods reach the hub at {place.hub_address} (DEMO_HUB_ADDRESS sets another)"
    )
    await make_namespace()
    try:
        env = {"DEMO_CLUSTER": "current", **place.environment()}
        return await _run_hub(place.cluster, port, directory, env)
    finally:
        click.echo(f"Removing the namespace {NAMESPACE} …")
        await remove_namespace()


async def _run_hub(where: str, port: int, directory: Path, settings: dict[str, str]) -> int:
    proxy = shutil.which("configurable-http-proxy", path=_bin_path())
    if proxy is None:
        raise click.ClickException(
            "configurable-http-proxy is missing: pip install 'jupyterhub-kubespawner[demo]'"
        )
    env = {
        **os.environ,
        "PATH": _bin_path(),
        "DEMO_PORT": str(port),
        "DEMO_PROXY_PORT": str(_free_port(0)),
        "DEMO_HUB_PORT": str(_free_port(0)),
        "DEMO_DIRECTORY": str(directory),
        "CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(32),
        **settings,
    }
    log = directory / "hub.log"
    with log.open("w") as output:
        hub = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "jupyterhub",
            "--config",
            str(CONFIG),
            cwd=directory,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stopping.set)
    ended = asyncio.ensure_future(hub.wait())
    stop = asyncio.ensure_future(stopping.wait())
    try:
        if await _answers(port, ended, stop):
            _explain(where, port, log)
        await asyncio.wait([ended, stop], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.cancel()
        if not ended.done():
            click.echo("\nStopping the hub and its servers …")
            hub.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(ended, 60)
            except (TimeoutError, asyncio.TimeoutError):
                os.killpg(hub.pid, signal.SIGKILL)
                await hub.wait()
    if not stopping.is_set():
        click.echo(f"The hub ended by itself; the last lines of {log}:", err=True)
        click.echo("\n".join(log.read_text().splitlines()[-20:]), err=True)
        return 1
    return 0


async def _answers(port: int, ended: asyncio.Future[Any], stop: asyncio.Future[Any]) -> bool:
    """Wait until the hub's page answers; False if the hub ends or the user stops it first."""
    import aiohttp

    url = f"http://127.0.0.1:{port}/hub/login"
    async with aiohttp.ClientSession() as session:
        while not ended.done() and not stop.done():
            try:
                async with session.get(url) as response:
                    if response.status == 200:
                        return True
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.wait([ended, stop], timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
    return False


def _bin_path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def _explain(where: str, port: int, log: Path) -> None:
    click.echo(
        f"""
JupyterHub runs on {where}:

    http://127.0.0.1:{port}

Try this:
  1. Log in with any user name; the password is "demo".
  2. Pick a profile and press Start; the page shows what the cluster does.
  3. In JupyterLab, write a file. Then File > Hub Control Panel > Stop My Server.
  4. Start it again: the file is still there.
  5. On the hub's home page, add a named server: it has files of its own.

The hub's log is {log}.
Press Ctrl-C to stop everything.
"""
    )


if __name__ == "__main__":
    demo()
