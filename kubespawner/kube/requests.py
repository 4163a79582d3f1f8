"""Requests to the API server: deadlines, retries, and answers told apart from failures.

An answer ("no such pod", "exists already", "forbidden") is returned or raised at once. A failure
to get one (connection, timeout, overload) is tried again until the deadline, then it is
:class:`ApiUnavailable`: the caller does not know, and must not guess.
https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgspec
from kubernetes_asyncio.client import ApiException
from kubernetes_asyncio.client.models import V1DeleteOptions, V1Preconditions

from . import connection, tally
from .backoff import Backoff
from .timing import within
from .turns import Turns

# Enough for 500 spawns at once to move on, few enough for the API server's fairness limits:
# https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
CONCURRENCY = 50

# Less time than this is no time to ask.
_SHORTEST = 0.05

RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})
CLUSTER_SCOPED = frozenset({"namespace", "node", "persistent_volume"})

_NO_ANSWER = (aiohttp.ClientError, OSError, asyncio.TimeoutError, TimeoutError, msgspec.DecodeError)


# A number of seconds, or what returns it at the time of the request.
Setting = float | Callable[[], float]


class ApiUnavailable(Exception):
    """The API server could not be asked until the deadline; ``__cause__`` is the last error."""


class Deadline:
    """A point in time on the event loop's clock, by which something has to be done."""

    __slots__ = ("_at",)

    def __init__(self, at: float | None):
        self._at = at

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """Return the deadline ``seconds`` from now; None: never."""
        if seconds is None:
            return cls(None)
        return cls(asyncio.get_running_loop().time() + seconds)

    def remaining(self) -> float:
        """Return the seconds left, not below 0; infinity without a limit."""
        if self._at is None:
            return float("inf")
        return max(0.0, self._at - asyncio.get_running_loop().time())

    @property
    def expired(self) -> bool:
        return self.remaining() <= 0

    def sooner(self, seconds: float) -> Deadline:
        """Return the earlier one of this deadline and ``seconds`` from now."""
        return Deadline.after(min(seconds, self.remaining()))


def status_of(error: ApiException) -> dict[str, Any]:
    """Return the ``Status`` object in the body of ``error``, or one made of its HTTP status."""
    body: Any = error.body
    if isinstance(body, (str, bytes)) and body:
        try:
            status = msgspec.json.decode(body)
        except msgspec.DecodeError:
            status = None
        if isinstance(status, dict) and status.get("kind") == "Status":
            return status
    return {
        "kind": "Status",
        "status": "Failure",
        "code": error.status,
        "reason": "",
        "message": f"{error.reason or ''} {body or ''}".strip(),
    }


def retry_after(headers: Any, now: Callable[[], float] = time.time) -> float:
    """Return the seconds that a ``Retry-After`` header asks for; 0 without one."""
    value = headers.get("Retry-After") if headers else None
    if not value:
        return 0.0
    if value.strip().isdigit():
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, date.timestamp() - now())


class Requests:
    """The verbs that the spawner needs, each safe to repeat.

    Args:
        request_timeout: seconds that one attempt may take; or a callable that returns them.
        retry_timeout: seconds for all attempts, where the caller gives no deadline; or a callable.
        concurrency: requests under way at once.
        log: logger of the attempts that failed.

    Raises (every verb):
        ApiUnavailable: no answer until the deadline.
        ApiException: the API server's refusal, with its ``status`` and ``body``. 401 comes only
            after the credentials were read anew, and names their source.
    """

    def __init__(
        self,
        *,
        request_timeout: Setting = 3.0,
        retry_timeout: Setting = 30.0,
        concurrency: int = CONCURRENCY,
        log: Any = None,
    ):
        self._request_timeout_setting = request_timeout
        self._retry_timeout_setting = retry_timeout
        self._slots = asyncio.Semaphore(concurrency)
        # How many wait for a slot, and from how many on nobody should make a further request.
        self._queue, self._longest_queue = 0, concurrency
        #: Turns of those who make what they send: held while many others wait to be sent.
        self.makers = Turns()
        self._log = log

    @property
    def _request_timeout(self) -> float:
        setting = self._request_timeout_setting
        return setting() if callable(setting) else setting

    @property
    def _retry_timeout(self) -> float:
        setting = self._retry_timeout_setting
        return setting() if callable(setting) else setting

    async def read(
        self,
        api: Any,
        kind: str,
        name: str,
        namespace: str | None,
        *,
        deadline: Deadline | None = None,
    ) -> dict[str, Any] | None:
        """Return the object as API JSON; None if there is none."""
        try:
            return await self._ask(api, "read", kind, namespace, deadline, name=name)
        except ApiException as e:
            if e.status == 404:
                return None
            raise

    async def create(
        self,
        api: Any,
        kind: str,
        manifest: Any,
        namespace: str | None,
        *,
        deadline: Deadline | None = None,
    ) -> dict[str, Any]:
        """Create the object and return it as API JSON.

        Raises:
            ApiException: refused. 409 (it exists) may be the echo of an own, unanswered attempt.
        """
        return await self._ask(api, "create", kind, namespace, deadline, body=manifest)

    async def replace(
        self,
        api: Any,
        kind: str,
        name: str,
        manifest: Any,
        namespace: str | None,
        *,
        deadline: Deadline | None = None,
    ) -> dict[str, Any]:
        """Replace the object and return it; with a resource version in it, only that version."""
        return await self._ask(api, "replace", kind, namespace, deadline, name=name, body=manifest)

    async def patch(
        self,
        api: Any,
        kind: str,
        name: str,
        body: dict[str, Any],
        namespace: str | None,
        *,
        deadline: Deadline | None = None,
    ) -> dict[str, Any]:
        """Merge ``body`` into the object (JSON merge patch) and return it."""
        return await self._ask(
            api,
            "patch",
            kind,
            namespace,
            deadline,
            name=name,
            body=body,
            _content_type="application/merge-patch+json",
        )

    async def delete(
        self,
        api: Any,
        kind: str,
        name: str,
        namespace: str | None,
        *,
        uid: str | None = None,
        grace_seconds: int | None = None,
        deadline: Deadline | None = None,
    ) -> bool:
        """Ask for the object's deletion; True if it was accepted.

        Args:
            uid: delete only the object with this UID.
            grace_seconds: grace period; None: the object's own.

        Returns:
            False if there is no such object (any more), or the name is another object's.
        """
        options = V1DeleteOptions(
            grace_period_seconds=grace_seconds,
            preconditions=V1Preconditions(uid=uid) if uid else None,
        )
        extra = {} if grace_seconds is None else {"grace_period_seconds": grace_seconds}
        try:
            await self._ask(
                api, "delete", kind, namespace, deadline, name=name, body=options, **extra
            )
        except ApiException as e:
            if e.status == 404 or (e.status == 409 and uid):
                return False
            raise
        return True

    async def list(
        self,
        api: Any,
        kind: str,
        namespace: str | None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        deadline: Deadline | None = None,
    ) -> list[dict[str, Any]]:
        """Return the matching objects of ``namespace`` as API JSON."""
        selectors = {"label_selector": label_selector, "field_selector": field_selector}
        extra = {key: selector for key, selector in selectors.items() if selector}
        found = await self._ask(api, "list", kind, namespace, deadline, **extra)
        return found["items"]

    async def _ask(
        self,
        api: Any,
        verb: str,
        kind: str,
        namespace: str | None,
        deadline: Deadline | None,
        **arguments: Any,
    ) -> dict[str, Any]:
        if kind in CLUSTER_SCOPED:
            method = getattr(api, f"{verb}_{kind}")
        else:
            method = getattr(api, f"{verb}_namespaced_{kind}")
            arguments["namespace"] = namespace
        what = f"{verb} {kind} {arguments.get('name', '')}".strip()
        return await self._until(
            deadline or Deadline.after(self._retry_timeout),
            lambda: method(
                **arguments, _preload_content=False, _request_timeout=self._request_timeout
            ),
            what,
            api,
            (verb, kind),
        )

    async def _until(
        self,
        deadline: Deadline,
        attempt: Callable[[], Awaitable[Any]],
        what: str,
        api: Any,
        counted_as: tuple[str, str],
    ) -> dict[str, Any]:
        """Attempt until there is an answer, or the deadline."""
        backoff = Backoff(first=0.1, cap=5.0)
        last: Exception | None = None
        credentials_reloaded = False
        while True:
            try:
                return await within(self._once(attempt, counted_as), deadline.remaining())
            except ApiException as e:
                if e.status == 401:
                    if credentials_reloaded or not await self._reload(api):
                        raise _unauthorized(e, what, api) from e
                    credentials_reloaded = True
                    continue
                if e.status not in RETRIED_STATUSES:
                    raise
                last, wait = e, retry_after(e.headers)
            except _NO_ANSWER as e:
                tally.note(*counted_as, "none")
                # Cut off by the deadline, an attempt says less than the one before it.
                last = last if last is not None and deadline.expired else e
                wait = 0.0
                if isinstance(e, aiohttp.ClientSSLError) and await self._trust_anew(api):
                    continue
            remaining = deadline.remaining()
            if remaining <= max(wait, _SHORTEST):
                raise ApiUnavailable(
                    f"{what}: no answer from {connection.describe(api)}: {told(last)}"
                ) from last
            # Not past the deadline: half of what is left leaves time to try once more.
            pause = min(backoff.next_pause(at_least=wait), max(wait, remaining / 2))
            if self._log:
                self._log.debug("%s: %s; trying again in %.1f s", what, told(last), pause)
            await backoff.sleep(pause)
            tally.retries[counted_as] += 1

    async def _reload(self, api: Any) -> bool:
        try:
            return await connection.reload(api.api_client.configuration)
        except Exception as e:  # noqa: BLE001 - the 401 is what the caller has to know
            if self._log:
                self._log.warning("The credentials can't be read anew: %s", told(e))
            return False

    async def _trust_anew(self, api: Any) -> bool:
        try:
            return await connection.trust_anew(api.api_client)
        except Exception as e:  # noqa: BLE001 - what the caller has to know is the failed connection
            if self._log:
                self._log.warning("The API server's authority can't be read anew: %s", told(e))
            return False

    async def _slot(self) -> None:
        self._queue += 1
        if self._queue >= self._longest_queue:
            self.makers.hold()
        try:
            await self._slots.acquire()
        finally:
            self._queue -= 1
            if self.makers.held and self._queue <= self._longest_queue // 2:
                self.makers.release()

    async def _once(
        self, attempt: Callable[[], Awaitable[Any]], counted_as: tuple[str, str]
    ) -> dict[str, Any]:
        await self._slot()
        try:
            response = await attempt()
            try:
                data = await within(response.read(), self._request_timeout)
            finally:
                response.release()
        finally:
            self._slots.release()
        tally.note(*counted_as, str(response.status))
        if 200 <= response.status < 300:
            return msgspec.json.decode(data)
        error = ApiException(status=response.status, reason=response.reason)
        error.body = data.decode(errors="replace")
        error.headers = response.headers
        raise error


def told(error: BaseException) -> str:
    """Return ``error`` for a message: what the API server said, or what kept it from answering."""
    if isinstance(error, ApiException):
        return f"HTTP {error.status} {status_of(error).get('message') or error.reason}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _unauthorized(error: ApiException, what: str, api: Any) -> ApiException:
    """Return the 401 ``error`` with a message that names the credentials."""
    said = told(error)
    explained = ApiException(status=error.status, reason=error.reason)
    explained.headers = error.headers
    status = msgspec.json.encode(
        {
            **status_of(error),
            "message": f"{what}: the credentials are not accepted by "
            f"{connection.describe(api)}: {said}",
        }
    )
    explained.body = status.decode()  # type: ignore[assignment]
    return explained
