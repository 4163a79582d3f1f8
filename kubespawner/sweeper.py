"""The hub's own look-out for leftovers: a look every ``leftovers_interval`` seconds.

One per process, cluster, namespace and component label, begun by the first spawner that is made.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any, ClassVar

from tornado.ioloop import PeriodicCallback

from .hubplace import hub_namespace
from .hubservers import HubUnavailable, Servers, from_database
from .leftovers import KINDS, HubMark, LookFailed, Lookout, Report, Rules

# A spawn is over, and what it made known or gone, this long after its timeout.
_AFTER_START = 60


class Sweeper:
    """Looks again and again; what it found last is the content of the metrics.

    Args:
        lookout: looks once.
        delete: kinds to delete.

    Attributes:
        report: of the last look that succeeded, with what two looks in a row have found.
        last_success: when that was (Unix time); 0: never.
        failures: looks that failed.
        deleted: kind to how many were deleted.
    """

    running: ClassVar[dict[tuple[Any, ...], Sweeper]] = {}

    def __init__(self, lookout: Lookout, delete: list[str], log: Any):
        self._lookout = lookout
        self._delete = delete
        self._log = log
        self._candidates: set[str] = set()
        self._told: set[str] = set()
        self.report = Report()
        self.last_success = 0.0
        self.failures = 0
        self.deleted: Counter[str] = Counter()
        self._timer: PeriodicCallback | None = None

    @classmethod
    def begin(cls, spawner: Any) -> None:
        """Look out for the hub that ``spawner`` belongs to, if it is configured and none does."""
        if not spawner.leftovers_interval:
            return
        loop = asyncio.get_running_loop()
        everywhere = spawner.enable_user_namespaces
        place = None if everywhere else spawner._configured_namespace
        host = spawner.api.api_client.configuration.host
        key = (loop, host, place, spawner.component_label)
        if key in cls.running:
            return
        for stale in [key for key in cls.running if key[0].is_closed()]:
            del cls.running[stale]
        sweeper = cls.running[key] = cls(
            lookout_of(spawner), list(spawner.leftovers_delete), spawner.log
        )
        sweeper.start(spawner.leftovers_interval)

    def start(self, seconds: float) -> None:
        self._timer = PeriodicCallback(self.round, seconds * 1000, jitter=0.1)
        self._timer.start()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.stop()

    async def round(self) -> None:
        """Look, tell what is new, and delete what may be; a failure is told and changes nothing."""
        try:
            found = await self._lookout.look()
            # Whatever was on its way out at the first look is gone at the second.
            confirmed = tuple(left for left in found.leftovers if left.uid in self._candidates)
            self._candidates = {left.uid for left in found.leftovers}
            self.report = Report(confirmed, found.unseen)
            self.last_success = time.time()
            self._tell(self.report)
            if self._delete and confirmed:
                gone = await self._lookout.delete(confirmed, self._delete)
                self.deleted.update(left.kind for left in gone)
        except (LookFailed, HubUnavailable) as e:
            self.failures += 1
            self._log.warning("What is left over is unknown: %s", e)

    def _tell(self, report: Report) -> None:
        for what, why in report.unseen.items():
            if what not in self._told:
                self._log.warning("No leftovers are looked for among %s: %s", what, why)
        new = [left for left in report.leftovers if left.uid not in self._told]
        for left in new:
            kept = left.kept or ("" if left.kind in self._delete else "not in leftovers_delete")
            self._log.warning("Leftover %s%s", left, f"; it is kept: {kept}" if kept else "")
        self._told = {*report.unseen, *(left.uid for left in report.leftovers)}

    def counts(self) -> dict[str, int]:
        """Return how many of each kind the last look found."""
        return {kind: len(self.report.of(kind)) for kind in KINDS}


def lookout_of(spawner: Any) -> Lookout:
    """Return what looks for leftovers of the hub that ``spawner`` belongs to, in its database."""
    everywhere = spawner.enable_user_namespaces
    db = spawner.db

    async def known() -> Servers:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return await from_database(db)
        except SQLAlchemyError as e:
            raise HubUnavailable(f"the hub's database can't be read: {e}") from e

    return Lookout(
        api=spawner.api,
        requests=spawner._requests,
        rules=rules_of(spawner),
        namespaces=None if everywhere else [spawner._configured_namespace],
        known=known,
        log=spawner.log,
    )


def rules_of(spawner: Any, namespace: str | None = None) -> Rules:
    """Return by what is decided for a hub that is configured as ``spawner`` is.

    Args:
        namespace: the hub's own; default: this process's.
    """
    return Rules(
        HubMark(namespace or hub_namespace(), spawner.component_label),
        grace=max(spawner.leftovers_grace, spawner.start_timeout + _AFTER_START),
        keeps_ended=not spawner.delete_stopped_pods,
    )
