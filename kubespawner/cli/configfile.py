"""What a JupyterHub configuration file says of the spawner, read as JupyterHub reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from traitlets import TraitError
from traitlets.config import Config, PyFileConfigLoader


def load(path: Path) -> tuple[type[Any], Config]:
    """Run a configuration file; return the class of its spawner, and what it sets.

    Raises:
        click.ClickException: the file fails, or its spawner is not a KubeSpawner.
    """
    from jupyterhub.app import JupyterHub

    from ..spawner import KubeSpawner

    try:
        config = PyFileConfigLoader(path.name, path=str(path.parent)).load_config()
    except Exception as e:
        raise click.ClickException(f"{path} fails: {type(e).__name__}: {e}") from e
    try:
        cls = JupyterHub(config=Config({"JupyterHub": _only_class(config)})).spawner_class
    except TraitError as e:
        raise click.ClickException(f"{path}: JupyterHub.spawner_class: {e}") from e
    if not issubclass(cls, KubeSpawner):
        raise click.ClickException(
            f"{path}: JupyterHub.spawner_class is {cls.__module__}.{cls.__name__}, "
            "which is no KubeSpawner"
        )
    return cls, config


def _only_class(config: Config) -> dict[str, Any]:
    hub = config.get("JupyterHub", {})
    return {"spawner_class": hub["spawner_class"]} if "spawner_class" in hub else {}
