"""``python -m realcluster up | down | status | kubeconfig | stop``."""

from __future__ import annotations

import sys

import click

from . import existing
from . import settings as s
from .cluster import Cluster
from .settings import Layout
from .steps import Progress, Refused, StepFailed


@click.group(help=__doc__)
@click.pass_context
def main(context: click.Context) -> None:
    context.obj = Cluster(Layout.default(), Progress())


def _report(cluster: Cluster, error: StepFailed) -> None:
    step = f" in the step “{cluster.progress.current}”" if cluster.progress.current else ""
    click.echo(f"Failed{step}: {error}", err=True)
    if error.tail:
        click.echo("\n".join(f"  | {line}" for line in error.tail.splitlines()), err=True)
    if error.log:
        click.echo(f"The whole log: {error.log}", err=True)
    sys.exit(1)


@main.command()
@click.option("--without-singleuser", is_flag=True, help="Leave the JupyterLab image out.")
@click.option("--own", is_flag=True, help="Build one even where kind, k3s or minikube is found.")
@click.pass_obj
def up(cluster: Cluster, without_singleuser: bool, own: bool) -> None:
    """Start the cluster, or complete and check the one that runs."""
    layout, progress = cluster.layout, cluster.progress
    try:
        found = None if own else existing.find()
        if found:
            existing.up(found, layout, progress, singleuser=not without_singleuser)
        else:
            cluster.up(singleuser=not without_singleuser)
    except Refused as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except StepFailed as error:
        _report(cluster, error)
    names = [s.BUSYBOX_IMAGE, *(() if without_singleuser else (s.SINGLEUSER_IMAGE,))]
    click.echo(f"\nThe cluster is up. Images: {', '.join(names)}.")
    if not found:
        click.echo(f"Pods reach this machine at {s.GATEWAY}; logs are in {layout.logs}.")
    click.echo(f"export KUBECONFIG={layout.kubeconfig}")


@main.command()
@click.pass_obj
def down(cluster: Cluster) -> None:
    """Stop the cluster and leave nothing behind but the cache."""
    try:
        existing.down(cluster.layout, cluster.progress)
        cluster.down()
    except Refused as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except StepFailed as error:
        _report(cluster, error)


@main.command()
@click.argument("parts", nargs=-1, required=True)
@click.option("--kill", is_flag=True, help="End them as a crash would (SIGKILL).")
@click.pass_obj
def stop(cluster: Cluster, parts: tuple[str, ...], kill: bool) -> None:
    """Stop single parts, such as kube-apiserver; `up` starts them again."""
    try:
        cluster.stop(list(parts), grace=0 if kill else 10)
    except StepFailed as error:
        _report(cluster, error)


@main.command()
@click.pass_obj
def kubeconfig(cluster: Cluster) -> None:
    """Print the path of the kubeconfig; exits with 1 while there is none."""
    path = cluster.layout.kubeconfig
    if not path.exists():
        click.echo("No cluster is up: run `python -m realcluster up`.", err=True)
        sys.exit(1)
    click.echo(path)


@main.command()
@click.pass_obj
def status(cluster: Cluster) -> None:
    """Show every part; exits with 1 unless all are healthy."""
    parts = cluster.status()
    for part in parts:
        state = "healthy" if part.healthy else "not ready" if part.pid else "not running"
        click.echo(f"{part.name:24} {state:12} {part.pid or '':>8}  {part.log}")
    if not all(part.healthy for part in parts):
        sys.exit(1)
    click.echo(f"export KUBECONFIG={cluster.layout.kubeconfig}")


if __name__ == "__main__":
    main(prog_name="python -m realcluster")
