"""``python -m kubespawner.localcluster``: a cluster until Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import click

from . import Images, LocalCluster


@click.command()
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory for kubeconfig and claims; claims stay there. Default: a temporary one.",
)
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="PATTERN",
    help="Images that can be pulled, such as 'quay.io/jupyter/*'; may be repeated. Default: all.",
)
@click.option(
    "--show-kubeconfig",
    is_flag=True,
    help="Print the kubeconfig itself (JSON, which is YAML) instead of its path.",
)
def main(root: Path | None, images: tuple[str, ...], show_kubeconfig: bool) -> None:
    """Run an embedded Kubernetes cluster on loopback until Ctrl-C or SIGTERM.

    Standard output is a line for a shell, so that this works in another terminal:

    \b
      python -m kubespawner.localcluster > env & sleep 2; . ./env; kubectl get nodes
    """
    asyncio.run(_run(root, Images(available=images or None), show_kubeconfig))


async def _run(root: Path | None, images: Images, show_kubeconfig: bool) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    async with LocalCluster(root=root, images=images) as cluster:
        if show_kubeconfig:
            click.echo(json.dumps(cluster.server.kubeconfig(), indent=2))
        else:
            click.echo(f"export KUBECONFIG={cluster.kubeconfig_path}")
        sys.stdout.flush()
        click.echo("# The cluster runs until Ctrl-C.", err=True)
        await stopping.wait()


if __name__ == "__main__":
    main()
