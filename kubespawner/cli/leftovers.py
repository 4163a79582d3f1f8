"""``python -m kubespawner.cli leftovers``: what no server of this hub knows."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click
from kubernetes_asyncio.config import ConfigException
from traitlets import TraitError

from ..errors import ConfigurationError
from ..hubservers import HubUnavailable, from_rest_api
from ..leftovers import KINDS, Leftover, LookFailed, Lookout, Report
from ..sweeper import rules_of
from . import configfile


class _NoAnswer(click.ClickException):
    exit_code = 2


# No hub, no cluster, no connection to one, or a configuration that can't be used.
_UNKNOWN = (
    LookFailed,
    HubUnavailable,
    ConfigException,
    ConfigurationError,
    TraitError,
    click.ClickException,
)


@click.command()
@click.argument("config_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--hub-api",
    envvar="JUPYTERHUB_API_URL",
    required=True,
    show_envvar=True,
    help="URL of the hub's REST API, such as http://hub:8081/hub/api.",
)
@click.option(
    "--token",
    envvar="JUPYTERHUB_API_TOKEN",
    required=True,
    show_envvar=True,
    help="Token with the scopes list:users, read:servers and admin:server_state. Better in the "
    "environment than here, where other processes can read it.",
)
@click.option(
    "--hub-namespace",
    help="Namespace of the hub itself, where this runs elsewhere. Default: this pod's.",
)
@click.option(
    "--delete",
    "kinds",
    multiple=True,
    type=click.Choice(list(KINDS)),
    help="Delete what is found of this kind; may be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def leftovers(
    config_file: Path,
    hub_api: str,
    token: str,
    hub_namespace: str | None,
    kinds: tuple[str, ...],
    as_json: bool,
) -> None:
    """List pods, secrets, services and claims of this hub that no server of it knows.

    CONFIG_FILE is the hub's configuration; of it come names, namespaces and how to reach the
    cluster. Nothing is deleted unless `--delete` names its kind, and only what carries this hub's
    mark; claims only of users that no longer exist.

    Exit code 0: nothing is left over (any more); 1: something is; 2: the hub or the cluster could
    not be asked, or not for all of it, so it is unknown.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        cls, config = configfile.load(config_file)
        for section in {cls.__name__, "KubeSpawner"}:
            config[section].leftovers_interval = 0
        report, deleted = asyncio.run(_run(cls, config, hub_api, token, hub_namespace, kinds))
    except _UNKNOWN as e:
        raise _NoAnswer(f"What is left over is unknown: {e}") from e
    gone = {leftover.uid for leftover in deleted}
    if as_json:
        click.echo(json.dumps(_as_json(report, gone), indent=2))
    else:
        _print(report, gone)
    if {left.uid for left in report.leftovers} - gone:
        raise SystemExit(1)
    raise SystemExit(_NoAnswer.exit_code if report.unseen else 0)


async def _run(
    cls: type[Any],
    config: Any,
    hub_api: str,
    token: str,
    hub_namespace: str | None,
    kinds: Iterable[str],
) -> tuple[Report, list[Leftover]]:
    spawner = cls(config=config, _mock=True)
    lookout = Lookout(
        api=spawner.api,
        requests=spawner._requests,
        rules=rules_of(spawner, hub_namespace),
        namespaces=None if spawner.enable_user_namespaces else [spawner.namespace],
        known=lambda: from_rest_api(hub_api, token),
        log=logging.getLogger(__name__),
    )
    report = await lookout.look()
    return report, await lookout.delete(report.leftovers, kinds) if kinds else []


def _as_json(report: Report, gone: set[str]) -> dict[str, Any]:
    return {
        "leftovers": [
            {
                "kind": left.kind,
                "namespace": left.namespace,
                "name": left.name,
                "uid": left.uid,
                "user": left.username,
                "server": left.servername,
                "created": left.created.isoformat(),
                "why": left.why,
                "kept": left.kept,
                "deleted": left.uid in gone,
            }
            for left in report.leftovers
        ],
        "unseen": dict(report.unseen),
    }


def _print(report: Report, gone: set[str]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    # Piped into a file or another program, lines are not broken.
    console = Console(width=None if sys.stdout.isatty() else 250)
    if report.leftovers:
        table = Table("object", "server of", "age", "why", "what is done")
        now = datetime.now(timezone.utc)
        for left in report.leftovers:
            days = (now - left.created).total_seconds() / 86400
            done = "deleted" if left.uid in gone else f"kept: {left.kept}" if left.kept else "kept"
            of = f"{left.username}/{left.servername}".rstrip("/")
            place = f"{left.kind} {left.namespace}/{left.name}"
            table.add_row(*map(escape, (place, of, f"{days:.1f} d", left.why, done)))
        console.print(table)
    for what, why in report.unseen.items():
        console.print(f"Not looked at: {what}: {why}", markup=False)
    if not report.leftovers and not report.unseen:
        console.print("Nothing is left over.")
