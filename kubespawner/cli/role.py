"""``python -m kubespawner.cli role``: what the hub must be allowed to do in the cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import yaml
from traitlets import HasTraits
from traitlets.config import Config
from traitlets.log import get_logger

from ..legacy import migrate_config, resolve_name
from ..permissions import SETTINGS, roles, table
from . import configfile


@click.command()
@click.argument(
    "config_file",
    required=False,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option(
    "--namespace", default="jupyterhub", show_default=True, help="Namespace that the hub runs in."
)
@click.option(
    "--service-account", default="hub", show_default=True, help="The hub's service account."
)
@click.option(
    "--owner-references-enforced",
    is_flag=True,
    help="The cluster has the admission plugin OwnerReferencesPermissionEnforcement, as OpenShift.",
)
@click.option("--table", "as_table", is_flag=True, help="Print all permissions as a table instead.")
def role(
    config_file: Path | None,
    namespace: str,
    service_account: str,
    owner_references_enforced: bool,
    as_table: bool,
) -> None:
    """Print the minimal Role of CONFIG_FILE and its binding, as YAML for `kubectl apply`.

    The file is run, as JupyterHub would run it; no cluster is asked. What a profile turns on
    counts as on, and each namespace that servers may be in gets a Role. Hooks and callables of
    yours may need more.
    """
    if as_table:
        click.echo(table(), nl=False)
        return
    if config_file is None:
        raise click.UsageError("Name a configuration file, or give --table.")
    cls, config = configfile.load(config_file)
    settings = settings_of(cls, config)
    made = roles(
        {**settings, "owner_references_enforced": owner_references_enforced},
        namespace=namespace,
        servers_in=namespaces_of(cls, config, namespace),
        service_account=service_account,
    )
    click.echo(yaml.dump_all(made, Dumper=_Dumper, sort_keys=False), nl=False)


class _Dumper(yaml.SafeDumper):
    """Without anchors, which nobody reads."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def settings_of(cls: type[Any], config: Config) -> dict[str, bool]:
    """Return which settings that a permission depends on are on.

    Args:
        cls: the spawner's class.
        config: the hub's whole configuration.
    """
    values = _values(cls, config)
    traits = cls.class_traits(config=True)
    profiles = list(_overrides(values.get("profile_list")))
    found = {
        name: bool(values.get(name, traits[name].default()))
        or any(override.get(name) for override in profiles)
        for name in SETTINGS
        if name in traits
    }
    deleted = values.get("leftovers_delete") or ()
    found |= {f"leftovers_delete_{kind}": kind in deleted for kind in _DELETED_BY_NAME}
    found["internal_ssl"] = bool(config.get("JupyterHub", {}).get("internal_ssl"))
    return {**found, **_proxy_settings(config)}


_DELETED_BY_NAME = ("secrets", "services", "claims")


def namespaces_of(cls: type[Any], config: Config, hub_namespace: str) -> list[str]:
    """Return the namespaces that servers may be in, as far as the configuration spells them out.

    Args:
        cls: the spawner's class.
        hub_namespace: where servers are if the configuration names no namespace.
    """
    values = _values(cls, config)
    overrides = _overrides(values.get("profile_list"))
    chosen = [values.get("namespace"), *(override.get("namespace") for override in overrides)]
    named = [place for place in chosen if isinstance(place, str) and place]
    return list(dict.fromkeys(named if chosen[0] else [hub_namespace, *named]))


def _values(cls: type[Any], config: Config) -> Config:
    """Return what ``config`` sets of ``cls``, by today's names."""
    probe: Any = HasTraits.__new__(cls)
    return probe._find_my_config(migrate_config(cls, config, get_logger()))


def _overrides(profiles: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every ``kubespawner_override`` at any depth, by today's names."""
    if isinstance(profiles, Mapping):
        own = profiles.get("kubespawner_override")
        if isinstance(own, Mapping):
            yield {resolve_name(name): value for name, value in own.items()}
        profiles = list(profiles.values())
    if isinstance(profiles, (list, tuple)):
        for item in profiles:
            yield from _overrides(item)


def _proxy_settings(config: Config) -> dict[str, bool]:
    from jupyterhub.app import JupyterHub

    from ..proxy import KubeGatewayProxy, KubeIngressProxy

    hub = config.get("JupyterHub", {})
    own = {"proxy_class": hub["proxy_class"]} if "proxy_class" in hub else {}
    cls = JupyterHub(config=Config({"JupyterHub": own})).proxy_class
    sections = [config[c.__name__] for c in cls.__mro__ if c.__name__ in config]
    return {
        "ingress_proxy": issubclass(cls, KubeIngressProxy),
        "gateway_proxy": issubclass(cls, KubeGatewayProxy),
        "ingress_class_name": any(section.get("ingress_class_name") for section in sections),
    }
