"""``python -m kubespawner.cli check``: is this configuration right?"""

from __future__ import annotations

from pathlib import Path

import click

from ..startcheck import configuration_mistakes, told
from . import configfile


@click.command()
@click.argument("config_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check(config_file: Path) -> None:
    """List everything that is wrong with KubeSpawner's settings in CONFIG_FILE.

    The file is run, as JupyterHub would run it; no cluster is asked. Exit code 1 if there are
    mistakes.
    """
    cls, config = configfile.load(config_file)
    problems = configuration_mistakes(cls, config)
    if problems:
        click.echo(told(problems), err=True)
        raise SystemExit(1)
    click.echo(f"{config_file}: {cls.__name__}: no mistakes found")
