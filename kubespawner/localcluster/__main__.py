"""``python -m kubespawner.localcluster``: a cluster until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from . import LocalCluster


@click.command()
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="Directory for kubeconfig and claims, kept at the end; default: a temporary one.",
)
def main(root: Path | None) -> None:
    """Run an embedded Kubernetes cluster on loopback, and print how to use it."""
    asyncio.run(_run(root))


async def _run(root: Path | None) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    async with LocalCluster(root=root) as cluster:
        click.echo(f"export KUBECONFIG={cluster.kubeconfig_path}")
        click.echo("# The cluster runs until Ctrl-C.", err=True)
        await stopping.wait()


if __name__ == "__main__":
    main()
