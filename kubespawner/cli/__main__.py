"""``python -m kubespawner.cli``: what an operator types."""

from __future__ import annotations

import click

from .._version import __version__
from .check import check
from .demo import demo
from .leftovers import leftovers
from .render import render
from .role import role


@click.group()
@click.version_option(__version__)
def main() -> None:
    """Tools around KubeSpawner."""


main.add_command(check)
main.add_command(demo)
main.add_command(leftovers)
main.add_command(render)
main.add_command(role)

if __name__ == "__main__":
    main()
