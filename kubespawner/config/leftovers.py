"""Settings: what is done about objects that no server knows."""

from __future__ import annotations

from traitlets import HasTraits

from . import _checks as checks
from ._types import Integer, List


class LeftoversConfig(HasTraits):
    """Leftovers: pods, secrets, services and claims of this hub that no server of it knows."""

    leftovers_interval = Integer(
        0,
        check=checks.not_negative,
        help="""Seconds between two looks for leftovers; 0 (the default): the hub never looks.

        Leftovers are pods, secrets, services and claims that this hub made and that no server in
        its database knows, as after the database was restored from a backup. What two looks in a
        row find is reported in the log and as `kubespawner_leftovers` in the hub's metrics, and
        deleted if `leftovers_delete` says so. Needs the permission to list claims, secrets and
        services; kinds that may not be listed are left out, pods must be.

        Two hubs in one namespace, and hubs outside of the cluster, need a `component_label`
        each. `python -m kubespawner.cli leftovers` looks once.
        """,
    )
    leftovers_delete = List(
        check=checks.leftover_kinds,
        help="""Which leftovers are deleted: a list of `pods`, `secrets`, `services`, `claims`.

        None by default. Claims hold the users' work: name them only if what users leave behind
        may go; those of users that still exist are never deleted. Nor is anything that carries no
        mark of its hub, as what versions before 8 made.
        """,
    )
    leftovers_grace = Integer(
        600,
        check=checks.not_negative,
        help="""Age in seconds below which nothing counts as left over.

        Raised to `start_timeout` and a minute where that is more, so that the pod of a start
        under way never does.
        """,
    )
