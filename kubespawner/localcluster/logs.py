"""``GET pods/NAME/log``: what a container wrote, once or as it is written.

See https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#get-read-log-of-the-specified-pod.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from kubespawner.localcluster.resources import PODS
from kubespawner.localcluster.routing import Call
from kubespawner.localcluster.statuses import bad_request, not_found
from kubespawner.localcluster.store import Store

# Called as reader(namespace, pod, container, follow=…, tail_lines=…, previous=…,
# since_seconds=…, since_time=…, timestamps=…, limit_bytes=…); yields pieces of the log.
LogReader = Callable[..., AsyncIterator[bytes] | Awaitable[AsyncIterator[bytes]]]

_TRUE = ("1", "t", "T", "true", "True", "TRUE")


async def log_response(
    request: web.Request, call: Call, store: Store, reader: LogReader | None
) -> web.StreamResponse:
    """Answer a request for a log.

    Raises:
        ApiError: 404, no such pod; 400, no such container, not started yet, or no reader.
    """
    record = store.record(PODS, call.namespace, call.name)
    if record is None:
        raise not_found(PODS, call.name)
    container = _container(record.obj, call.query)
    if reader is None:
        raise bad_request("this cluster has no node that could read logs")
    pieces = reader(call.namespace, call.name, container, **_options(call.query))
    if inspect.isawaitable(pieces):
        pieces = await pieces
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    # What the reader refuses with its first piece can still be a status. Whoever follows a log
    # gets the headers at once, since the first piece may be long in coming.
    following = call.query.get("follow") in _TRUE
    first = None if following else await anext(pieces, None)
    await response.prepare(request)
    try:
        if first:
            await response.write(first)
        async for piece in pieces:
            await response.write(piece)
    finally:
        close = getattr(pieces, "aclose", None)
        if close:
            await close()
    return response


def _container(pod: dict[str, Any], query: Mapping[str, str]) -> str:
    """Return the container asked for, after the checks that the real server makes."""
    name, pod_name = query.get("container", ""), pod["metadata"]["name"]
    spec = pod["spec"]
    names = [each["name"] for each in spec["containers"]]
    init_names = [each["name"] for each in spec.get("initContainers", ())]
    if not name:
        if len(names) > 1:
            listed = " ".join(names)
            text = (
                f"a container name must be specified for pod {pod_name}, choose one of: [{listed}]"
            )
            if init_names:
                text += f" or one of the init containers: [{' '.join(init_names)}]"
            raise bad_request(text)
        name = names[0]
    if name not in [*names, *init_names]:
        raise bad_request(f"container {name} is not valid for pod {pod_name}")
    status = _status(pod, name)
    if query.get("previous") in _TRUE:
        if not status.get("lastState", {}).get("terminated"):
            text = f'previous terminated container "{name}" in pod "{pod_name}" not found'
            raise bad_request(text)
    elif not _started(status):
        waiting = status.get("state", {}).get("waiting", {}).get("reason")
        where = f'container "{name}" in pod "{pod_name}" is '
        raise bad_request(where + (f"waiting to start: {waiting}" if waiting else "not available"))
    return name


def _status(pod: dict[str, Any], name: str) -> dict[str, Any]:
    status = pod.get("status", {})
    statuses = [*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ())]
    return next((each for each in statuses if each["name"] == name), {})


def _started(status: dict[str, Any]) -> bool:
    state = status.get("state", {})
    return bool("running" in state or "terminated" in state or status.get("lastState"))


def _options(query: Mapping[str, str]) -> dict[str, Any]:
    def number(name: str) -> int | None:
        text = query.get(name)
        if text is None:
            return None
        if not text.isdecimal():
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        return int(text)

    return {
        "follow": query.get("follow") in _TRUE,
        "tail_lines": number("tailLines"),
        "previous": query.get("previous") in _TRUE,
        "since_seconds": number("sinceSeconds"),
        "since_time": query.get("sinceTime"),
        "timestamps": query.get("timestamps") in _TRUE,
        "limit_bytes": number("limitBytes"),
    }
