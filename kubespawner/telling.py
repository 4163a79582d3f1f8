"""Telling the person who waits what happens, in the administrator's words if they have any.

:class:`Telling` is a mixin of ``KubeSpawner``. What is said is written to the feed once;
``progress_message_hook`` may reword it for each reader.
"""

from __future__ import annotations

import asyncio
import html
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from .asking import resolve
from .errors import SpawnError
from .feed import ProgressEvent, ProgressFeed
from .kube.timing import within
from .watching import Watching

# A page waits for each message; a hook that asks somebody else must not hold it up for long.
_HOOK_SECONDS = 5.0


class Telling(Watching):
    """The progress of one start, and the words of its failure."""

    _log_name: str
    _feed: ProgressFeed
    # Errors of the hook that were logged, which would else come back with every message.
    _hook_errors: frozenset[str] = frozenset()

    async def progress(self) -> AsyncIterator[ProgressEvent]:
        """Yield what happens during the spawn; ends with it. Any number of readers."""
        reached = 0
        async for event in self._feed.follow(lambda: self._start_future):
            told = await self._in_their_words(event)
            if told is not None:
                told["progress"] = reached = max(reached, told["progress"])
                yield told

    async def _in_their_words(self, event: ProgressEvent) -> ProgressEvent | None:
        """Return ``event`` as ``progress_message_hook`` words it; None if it hides it.

        If the hook fails, that is logged and ``event`` comes back as it is.
        """
        hook = self.progress_message_hook
        if hook is None:
            return event
        try:
            told = await within(resolve(hook, self, event.copy()), _HOOK_SECONDS)
            return None if told is None else _merged(event, told)
        except (TimeoutError, asyncio.TimeoutError):
            problem = f"it did not answer within {_HOOK_SECONDS:g} s"
        except Exception as e:  # noqa: BLE001 - an operator's hook may raise anything
            problem = f"{type(e).__name__}: {e}"
        if problem not in self._hook_errors:
            self._hook_errors |= {problem}
            self.log.error(
                "KubeSpawner.progress_message_hook failed for %s, whose user reads the default "
                "message: %s",
                self._log_name,
                problem,
            )
        return event

    async def _reword(self, error: SpawnError) -> None:
        """Let ``progress_message_hook`` word the failure that the hub's pages will show."""
        told = await self._in_their_words(
            {
                "kind": "failure",
                "reason": error.reason,
                "waiting_helps": error.waiting_helps,
                "progress": self._feed.progress,
                "message": error.message,
                "html_message": error.jupyterhub_html_message,
            }
        )
        if told is not None:
            error.reword(told["message"], told.get("html_message"))


def _merged(event: ProgressEvent, told: Any) -> ProgressEvent:
    """Return ``event`` with what a hook said instead.

    Raises:
        TypeError: the hook returned something else than a progress event.
    """
    if not isinstance(told, Mapping):
        raise TypeError(f"it returned {type(told).__name__}, not a dict or None")
    for key, kind in (("message", str), ("html_message", str), ("progress", int)):
        if key in told and not isinstance(told[key], kind):
            raise TypeError(f"its {key!r} is {type(told[key]).__name__}, not {kind.__name__}")
    merged: dict[str, Any] = {**event, **told}
    if "message" in told and told["message"] != event["message"]:
        # Else pages would go on showing the default words, which come as HTML.
        given = told.get("html_message", event.get("html_message"))
        if given == event.get("html_message"):
            merged["html_message"] = html.escape(told["message"])
    merged["progress"] = min(max(merged["progress"], 0), 99)
    return cast(ProgressEvent, merged)
