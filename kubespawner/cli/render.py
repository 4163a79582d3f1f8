"""``python -m kubespawner.cli render``: what would be created for this user?"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import yaml
from jupyterhub.objects import Hub
from kubernetes_asyncio.client import ApiClient
from tornado import web
from traitlets import TraitError
from traitlets.config import Config

from ..naming import TemplateError
from . import configfile

_PLACE = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "none",
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "none", "user": {}}],
}
# Stands in the manifests where the hub would put a secret of its own.
_SECRET = "(made by the hub)"


@click.command()
@click.argument("config_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--user", default="alice", show_default=True, help="Name of the user.")
@click.option("--server", default="", help="Name of the server; default: the default server.")
@click.option("--group", "groups", multiple=True, help="A group of the user; can be repeated.")
@click.option("--profile", default="", help="Slug of the profile; default: the default one.")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=CHOICE",
    help="A choice in the profile; can be repeated.",
)
def render(
    config_file: Path,
    user: str,
    server: str,
    groups: tuple[str, ...],
    profile: str,
    options: tuple[str, ...],
) -> None:
    """Print the claim and the pod that a user would get from CONFIG_FILE, as YAML.

    The file is run, with its `modify_pod_hook` and callables; no cluster is asked, and what the
    hub does before a start (authenticator, `pre_spawn_hook`) is left out.
    """
    cls, config = configfile.load(config_file)
    chosen = {"profile": profile} if profile else {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals:
            raise click.BadParameter(f"{option!r} is not KEY=CHOICE", param_hint="--option")
        chosen[key] = value
    with _no_cluster():
        try:
            manifests = asyncio.run(_manifests(cls, config, user, server, groups, chosen))
        except (web.HTTPError, TraitError, TemplateError) as e:
            raise click.ClickException(str(e)) from e
        except Exception as e:
            # Of a callable or hook in the file; where in it helps its author.
            where = traceback.extract_tb(e.__traceback__)[-1]
            raise click.ClickException(
                f"{type(e).__name__}: {e} ({where.filename}, line {where.lineno})"
            ) from e
    click.echo(yaml.safe_dump_all(manifests, sort_keys=False), nl=False)


@contextlib.contextmanager
def _no_cluster() -> Iterator[None]:
    """Let spawners know of a cluster, which they want to, that is never asked."""
    before = os.environ.get("KUBECONFIG")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "kubeconfig"
        place.write_text(json.dumps(_PLACE))
        os.environ["KUBECONFIG"] = str(place)
        try:
            yield
        finally:
            os.environ.pop("KUBECONFIG")
            if before is not None:
                os.environ["KUBECONFIG"] = before


async def _manifests(
    cls: type[Any],
    config: Config,
    username: str,
    servername: str,
    groups: Iterable[str],
    chosen: dict[str, str],
) -> list[Any]:
    spawner = cls(
        user=_user(username, groups),
        hub=Hub(ip="127.0.0.1", port=8081, base_url="/hub/"),
        orm_spawner=SimpleNamespace(name=servername, server=None, state=None),
        config=config,
        api_token=_SECRET,
        oauth_client_id=f"jupyterhub-user-{username}",
        user_options=chosen,
    )
    try:
        await spawner.load_user_options()
        claims = []
        if spawner.storage_pvc_ensure:
            spawner._check_claim_settings()
            claims.append(spawner.get_pvc_manifest())
        pod = await spawner.get_pod_manifest()
        pod = await spawner._modified_manifest(pod, SimpleNamespace(id=_SECRET))
        spawner._check_manifest(pod)
        api_client: ApiClient = spawner.api.api_client
        return [api_client.sanitize_for_serialization(item) for item in (*claims, pod)]
    finally:
        await spawner.api.api_client.close()


def _user(name: str, groups: Iterable[str]) -> Any:
    user = SimpleNamespace(name=name, id=1, escaped_name=name, url=f"/user/{name}/", settings={})
    user.groups = [SimpleNamespace(name=group) for group in groups]
    user.orm_user = SimpleNamespace(orm_spawners={})
    user.server_url = lambda server="": f"{user.url}{server}"
    return user
