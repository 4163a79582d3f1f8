"""One collection of the API, listed and watched over HTTP; what came is passed on as bytes.

https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

import aiohttp
import msgspec
from kubernetes_asyncio.client import ApiException

from .backoff import breathe
from .requests import status_of
from .splitting import PIECE, LineSplitter, ListSplitter
from .timing import within

PAGE_SIZE = 500
# Objects of a list, and changes, handled before the event loop gets its turn. Each change may
# wake a start, which costs a few times as much as the change itself.
SLICE = 100
_CHANGES = 20
# The API server answers a watch with its headers at once, or after three seconds of waiting for
# its own cache.
_HEADERS_TIMEOUT = 30.0
# A watch that ends sooner, without an event, was not wanted by somebody on the way.
_SHORTEST_WATCH = 1.0

Query = list[tuple[str, str]]


class Gone(Exception):
    """The API server does not have that resource version: too old (HTTP 410), or refused."""


class Interrupted(Exception):
    """A watch that was under way broke off; ``__cause__`` says how, if that is known."""


class Collection:
    """A collection, such as the pods of one namespace.

    Args:
        client: returns the ``kubernetes_asyncio`` client to ask with.
        path: such as ``/api/v1/namespaces/x/pods``.
        selectors: label and field selector as query parameters.
        list_timeout: seconds for one response to a list.
    """

    def __init__(self, client: Callable[[], Any], path: str, selectors: Query, list_timeout: float):
        self._client = client
        self._path = path
        self._selectors = selectors
        self._list_timeout = list_timeout

    async def list(
        self, take: Callable[[msgspec.Raw], None], *, from_cache: bool, limit: int = PAGE_SIZE
    ) -> str:
        """Call ``take`` with every object; return the list's resource version.

        Args:
            from_cache: ask the API server's own cache, cheap and perhaps a little old; else, and
                if it refuses, the latest state page by page.

        Raises:
            Gone: the pages expired on the way. What was taken is void.
            ApiException: refused.
        """
        if from_cache:
            try:
                version, _ = await self._page([("resourceVersion", "0")], take)
                return version
            except Gone:
                pass
            except ApiException as e:
                if e.status not in (400, 422):
                    raise
        query = first = [("limit", str(limit))]
        while True:
            version, token = await self._page(query, take)
            if not token:
                return version
            query = [*first, ("continue", token)]

    async def version(self) -> str:
        """Return the collection's resource version, without its objects."""
        version, _ = await self._page([("limit", "1")], lambda raw: None)
        return version

    async def _page(self, query: Query, take: Callable[[msgspec.Raw], None]) -> tuple[str, str]:
        response = await self._request(query, aiohttp.ClientTimeout(total=self._list_timeout))
        splitter = ListSplitter(PIECE)
        try:
            async for chunk in response.content.iter_any():
                for items in splitter.feed(chunk):
                    await _each(items, take)
        finally:
            # After the last byte this gives the connection back; before, it closes it.
            response.release()
        page = splitter.finish()
        await _each(page.items or [], take)
        return page.metadata.resource_version, page.metadata.continue_

    async def watch(self, version: str, seconds: int, silence: float) -> Watch:
        """Return the changes after ``version``.

        Args:
            seconds: after which the API server ends the watch.
            silence: seconds without a byte after which the connection is taken for dead.

        Raises:
            Gone: the API server does not have ``version``.
            ApiException: refused.
        """
        query = [
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version),
            ("timeoutSeconds", str(seconds)),
        ]
        timeout = aiohttp.ClientTimeout(sock_connect=10, sock_read=silence)
        try:
            response = await within(self._request(query, timeout), _HEADERS_TIMEOUT)
        except ApiException as e:
            if e.status in (400, 422):
                raise Gone(status_of(e)["message"]) from e
            raise
        return Watch(response)

    async def _request(self, query: Query, timeout: aiohttp.ClientTimeout) -> Any:
        response = await self._client().call_api(
            self._path,
            "GET",
            query_params=[*self._selectors, *query],
            # Compressed, a list of 10,000 pods costs both sides a second more than it saves.
            header_params={"Accept": "application/json", "Accept-Encoding": "identity"},
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=timeout,
        )
        if response.status == 200:
            return response
        try:
            body = (await within(response.read(), 10)).decode(errors="replace")
        finally:
            response.release()
        error = ApiException(status=response.status, reason=response.reason)
        error.body, error.headers = body, response.headers
        status = status_of(error)
        if response.status == 410 or _is_too_large(status):
            raise Gone(status["message"]) from error
        raise error


class Watch:
    """A watch under way; :meth:`close` it."""

    def __init__(self, response: Any):
        self._response = response
        # Whether anything came.
        self.received = False

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """Yield each event's JSON until the API server ends the watch, which is no failure.

        Raises:
            Interrupted: the watch broke off, fell silent, or ended at once.
        """
        splitter = LineSplitter()
        started = time.monotonic()
        count = 0
        chunks = self._response.content.iter_any()
        while True:
            try:
                chunk = await anext(chunks, b"")
            except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as e:
                raise Interrupted("the watch broke off") from e
            if not chunk:
                break
            for line in splitter.feed(chunk):
                self.received = True
                yield line
                count += 1
                if count % _CHANGES == 0:
                    await breathe()
        if splitter.unfinished:
            raise Interrupted("the watch ended in the middle of an event")
        if not self.received and time.monotonic() - started < _SHORTEST_WATCH:
            raise Interrupted("the watch ended as soon as it began")

    def close(self) -> None:
        self._response.close()


async def _each(items: list[msgspec.Raw], take: Callable[[msgspec.Raw], None]) -> None:
    for start in range(0, len(items), SLICE):
        for raw in items[start : start + SLICE]:
            take(raw)
        await breathe()


def _is_too_large(status: dict[str, Any]) -> bool:
    """Whether the API server says that it has not come to that version (yet).

    After a restore from a backup it won't for long: asking again with it would never end.
    """
    causes = (status.get("details") or {}).get("causes") or ()
    return any(cause.get("reason") == "ResourceVersionTooLarge" for cause in causes) or str(
        status.get("message")
    ).startswith("Too large resource version")
