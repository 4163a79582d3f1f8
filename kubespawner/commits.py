"""Commits to the hub's database, one for all servers that want one in the same moment.

JupyterHub has one session for everything, and a commit holds its event loop until the disk has
it. Five hundred servers that start at once would hold it five hundred times.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

# Seconds between two commits. One that comes alone does not wait.
_PAUSE = 0.1


@dataclass
class _Next:
    """The commit that follows a pause, if anybody waits for it."""

    done: asyncio.Future[None]
    wanted: bool = False


class Commits:
    """Commits of sessions, not more often than every ``pause`` seconds each."""

    def __init__(self, pause: float = _PAUSE):
        self._pause = pause
        self._next: dict[int, _Next] = {}

    async def commit(self, db: Any) -> None:
        """Commit what was changed in session ``db`` until now; return when that is done.

        A caller that is cancelled does not keep the commit from being made.

        Raises:
            Exception: what the session's ``commit()`` raises, to all that waited for it.
        """
        following = self._following(db)
        if following is None:
            self._rest(db)
            db.commit()
            return
        following.wanted = True
        await asyncio.shield(following.done)

    async def settled(self, db: Any) -> None:
        """Return when no commit of ``db`` is waited for; raises what that one raises."""
        following = self._following(db)
        if following is not None and following.wanted:
            await asyncio.shield(following.done)

    def _following(self, db: Any) -> _Next | None:
        following = self._next.get(id(db))
        # Nothing of an event loop that has ended is used again.
        if following is None or following.done.get_loop() is not asyncio.get_running_loop():
            return None
        return following

    def _rest(self, db: Any) -> None:
        loop = asyncio.get_running_loop()
        following = self._next[id(db)] = _Next(loop.create_future())
        loop.call_later(self._pause, self._go_on, db, following)

    def _go_on(self, db: Any, following: _Next) -> None:
        if not following.wanted:
            del self._next[id(db)]
            return
        self._rest(db)
        try:
            db.commit()
        except Exception as error:  # noqa: BLE001 - raised to those who wait
            following.done.set_exception(error)
        else:
            following.done.set_result(None)
