"""What a hub has left in the cluster: pods, secrets, services and claims that no server knows.

They come of what no hub can prevent: a database restored from a backup, a hub that was killed
between a request and its answer, objects made by hand from a copy. This module finds them and,
where it is allowed to, deletes them; a look that can't be completed finds nothing.

An object counts as this hub's by what is written on it (:data:`~kubespawner.manifests.HUB`,
component label, user name), and as left over only if

- it is older than a spawn can last (the grace age), and not being deleted,
- no server in the hub's database knows it, and the database was read *after* the cluster, so that
  what was created in between is known and what was removed in between is gone,
- for a secret or Service: the pod that owns it is gone as well.

What carries no mark of the hub (made before version 8) is told but never deleted, since it may be
another hub's. A claim is deleted only if its user does not exist any more.

The hub itself looks every ``KubeSpawner.leftovers_interval`` seconds (:mod:`kubespawner.sweeper`),
in its own process: that needs neither a token that can list all users nor a second service to
keep running, and the figures are in the hub's ``/metrics``. ``python -m kubespawner.cli
leftovers`` does the same once, from anywhere, and asks the hub's REST API.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import aiohttp
import msgspec
from kubernetes_asyncio.client import ApiException

from .diagnosis import is_ready
from .failures import explained
from .hubservers import Servers
from .kube.backoff import breathe
from .kube.collection import Collection, Gone
from .kube.requests import ApiUnavailable, Requests, told
from .manifests import HUB, SERVERNAME, USERNAME
from .ownership import annotations_of, is_terminating, labels_of, uid_of
from .proxy.marks import PROXY_ROUTE

#: Name of a kind in settings and on the command line -> how the API client calls one.
KINDS = {
    "pods": "pod",
    "secrets": "secret",
    "services": "service",
    "claims": "persistent_volume_claim",
}
_PLURALS = {"claims": "persistentvolumeclaims"}
_LIST_TIMEOUT = 60.0
# Objects looked at before the event loop gets its turn.
_SLICE = 500
_NO_ANSWER = (
    aiohttp.ClientError,
    OSError,
    asyncio.TimeoutError,
    msgspec.DecodeError,
    ApiUnavailable,
    Gone,
)


class LookFailed(Exception):
    """The cluster could not be asked; what is left over is unknown."""


@dataclass(frozen=True)
class HubMark:
    """How the objects of one hub are marked.

    Args:
        namespace: the hub's own.
        component: ``KubeSpawner.component_label``.
    """

    namespace: str
    component: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.component}"


@dataclass(frozen=True)
class Leftover:
    """An object of this hub that no server knows.

    Attributes:
        kind: one of :data:`KINDS`.
        created: of the object, in UTC.
        why: what is wrong with it, in words.
        kept: why it is not deleted even where its kind may be; '' if it may.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    username: str
    servername: str
    created: datetime
    why: str
    kept: str = ""

    def __str__(self) -> str:
        server = f", server {self.servername!r}" if self.servername else ""
        return (
            f"{KINDS[self.kind].replace('persistent_volume_', '')} {self.namespace}/{self.name} "
            f"(uid {self.uid}, user {self.username!r}{server}): {self.why}"
        )


@dataclass(frozen=True)
class Report:
    """The result of one look.

    Attributes:
        unseen: kinds (``pods in x``) that could not be listed, and why.
    """

    leftovers: tuple[Leftover, ...] = ()
    unseen: Mapping[str, str] = field(default_factory=dict)

    def of(self, kind: str) -> list[Leftover]:
        return [leftover for leftover in self.leftovers if leftover.kind == kind]


# ---- deciding ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rules:
    """By what is decided.

    Args:
        grace: seconds; younger objects are never left over.
        keeps_ended: whether pods of ended servers are kept on purpose
            (``delete_stopped_pods`` is off).
    """

    hub: HubMark
    grace: float
    keeps_ended: bool = False


def find(
    seen: Mapping[str, list[dict[str, Any]]], servers: Servers, rules: Rules, now: datetime
) -> list[Leftover]:
    """Return what in ``seen`` no server knows. Pure.

    Args:
        seen: kind (of :data:`KINDS`) to its objects as API JSON; read before ``servers``.
    """
    return [left for left in _each(seen, servers, rules, now) if left is not None]


def _each(
    seen: Mapping[str, list[dict[str, Any]]], servers: Servers, rules: Rules, now: datetime
) -> Iterator[Leftover | None]:
    """Yield for each object what is to be said of it, or None."""
    pods = seen.get("pods", [])
    uids = {uid_of(pod) for pod in pods}
    mounted = {claim for pod in pods if not is_terminating(pod) for claim in _mounted(pod)}
    for kind, items in seen.items():
        for item in items:
            mark = annotations_of(item).get(HUB)
            if not _is_of(rules.hub, kind, item, mark) or is_terminating(item):
                yield None
                continue
            if kind == "pods":
                why = _pod_unknown(item, servers, rules)
            elif kind == "claims":
                why = "" if _key(item) in mounted else _claim_unknown(item, servers)
            else:
                why = _companion_unknown(item, servers, uids)
            created = _created(item)
            young = (now - created).total_seconds() < rules.grace
            left = why and not young
            yield _leftover(kind, item, created, why, mark, servers) if left else None


def _leftover(
    kind: str,
    item: Mapping[str, Any],
    created: datetime,
    why: str,
    mark: str | None,
    servers: Servers,
) -> Leftover:
    username, servername = _server_of(item)
    kept = ""
    if mark is None:
        kept = f"it has no annotation {HUB} that says of which hub it is"
    elif kind == "claims" and username in servers.users:
        kept = "its user still exists, and another server may come to use it"
    return Leftover(kind, *_key(item), uid_of(item), username, servername, created, why, kept=kept)


def _key(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


def _created(item: Mapping[str, Any]) -> datetime:
    text = item["metadata"]["creationTimestamp"]
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)


def _server_of(item: Mapping[str, Any]) -> tuple[str, str]:
    annotations = annotations_of(item)
    return annotations[USERNAME], annotations.get(SERVERNAME, "")


def _is_of(hub: HubMark, kind: str, item: Mapping[str, Any], mark: str | None) -> bool:
    labels = labels_of(item)
    if USERNAME not in annotations_of(item) or PROXY_ROUTE in labels:
        return False
    if mark is not None:
        return mark == str(hub)
    if kind == "pods":
        return labels.get("component") == hub.component
    # What a secret or Service of an earlier version says is not enough to tell hubs apart.
    return kind == "claims" and (
        labels.get("component") == "singleuser-storage"
        and labels.get("app.kubernetes.io/component") == hub.component
    )


def _mounted(pod: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if name:
            yield pod["metadata"].get("namespace", ""), name


def _pod_unknown(pod: Mapping[str, Any], servers: Servers, rules: Rules) -> str:
    server = servers.get(*_server_of(pod))
    if server is None:
        return _no_server(pod, servers)
    if not server.active:
        ended = (pod.get("status") or {}).get("phase") != "Running" or not is_ready(
            pod, all_containers=False
        )
        return "" if rules.keeps_ended and ended else "the hub does not count its server as running"
    uid, name = server.state.get("pod_uid"), server.state.get("pod_name")
    place = (server.state.get("namespace"), name)
    if not uid or not name or uid == uid_of(pod) or place == _key(pod):
        return ""
    return f"its server has another pod, {place[0]}/{name}"


def _companion_unknown(item: Mapping[str, Any], servers: Servers, pods: set[str]) -> str:
    owners = [
        reference["uid"]
        for reference in item["metadata"].get("ownerReferences") or ()
        if reference.get("kind") == "Pod"
    ]
    if owners:
        return "" if pods & set(owners) else "the pod that it belonged to is gone"
    server = servers.get(*_server_of(item))
    if server is None:
        return _no_server(item, servers)
    return "" if server.active else "the hub does not count its server as running"


def _claim_unknown(claim: Mapping[str, Any], servers: Servers) -> str:
    username, servername = _server_of(claim)
    if servers.remembers_claim(*_key(claim)):
        return ""
    # A default server has a row only once it was started.
    if username in servers.users and (not servername or servers.get(username, servername)):
        return ""
    return _no_server(claim, servers)


def _no_server(item: Mapping[str, Any], servers: Servers) -> str:
    username, servername = _server_of(item)
    if username not in servers.users:
        return "its user does not exist in the hub"
    what = f"server {servername!r}" if servername else "default server"
    return f"its user has no {what} in the hub"


# ---- looking and deleting ------------------------------------------------------------------


class Lookout:
    """Looks for what one hub has left, and deletes what it is told to.

    Args:
        api: a ``CoreV1Api``.
        namespaces: to look in, beside those that servers remember; None: all.
        known: returns the hub's servers, read anew.
        clock: returns the time, in UTC.
    """

    def __init__(
        self,
        *,
        api: Any,
        requests: Requests,
        rules: Rules,
        namespaces: Iterable[str] | None,
        known: Callable[[], Awaitable[Servers]],
        log: Any,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ):
        self._api = api
        self._requests = requests
        self._rules = rules
        self._namespaces = None if namespaces is None else frozenset(namespaces)
        self._known = known
        self._log = log
        self._clock = clock
        self._seen: dict[str, list[dict[str, Any]]] = {}

    async def look(self) -> Report:
        """Return what is left over now.

        Raises:
            LookFailed: the cluster gave no complete answer.
            HubUnavailable: the hub did not.
        """
        before = await self._known() if self._namespaces is not None else None
        unseen: dict[str, str] = {}
        seen: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        # Pods last: what owns a companion that was listed is there, or gone.
        for kind in ("claims", "secrets", "services", "pods"):
            for namespace in self._places(before):
                try:
                    seen[kind] += await self._list(kind, namespace)
                except ApiException as e:
                    if e.status != 403:
                        raise LookFailed(f"list {kind}: {told(e)}") from e
                    unseen[f"{kind} in {namespace or 'all namespaces'}"] = explained(e)
                except _NO_ANSWER as e:
                    raise LookFailed(f"list {kind}: {told(e)}") from e
        if any(what.startswith("pods ") for what in unseen):
            # Without the pods nothing can be said of what they own and mount.
            seen = {}
        self._seen = seen
        return Report(tuple(await self._find()), unseen)

    def _places(self, servers: Servers | None) -> list[str | None]:
        if self._namespaces is None or servers is None:
            return [None]
        return [*sorted(self._namespaces | servers.namespaces())]

    async def _find(self) -> list[Leftover]:
        servers, found = await self._known(), []
        each = _each(self._seen, servers, self._rules, self._clock())
        for number, left in enumerate(each):
            if left is not None:
                found.append(left)
            if number % _SLICE == 0:
                await breathe()
        return found

    async def _list(self, kind: str, namespace: str | None) -> list[dict[str, Any]]:
        plural = _PLURALS.get(kind, kind)
        path = f"/api/v1/namespaces/{namespace}/{plural}" if namespace else f"/api/v1/{plural}"
        items: list[dict[str, Any]] = []
        collection = Collection(
            lambda: self._api.api_client,
            path,
            [("labelSelector", self._selector(kind))],
            _LIST_TIMEOUT,
        )
        await collection.list(lambda raw: items.append(_light(raw)), from_cache=False)
        return items

    def _selector(self, kind: str) -> str:
        component = self._rules.hub.component
        if kind == "pods":
            return f"component={component}"
        if kind == "claims":
            return f"component=singleuser-storage,app.kubernetes.io/component={component}"
        return f"{USERNAME},!{PROXY_ROUTE}"

    async def delete(self, leftovers: Iterable[Leftover], kinds: Iterable[str]) -> list[Leftover]:
        """Delete those of the last look whose kind is among ``kinds``; return what was deleted.

        The hub is asked once more, and only the very object that was seen is deleted. What can't
        be deleted is logged.

        Raises:
            HubUnavailable: the hub can't be asked; nothing was deleted.
        """
        kinds = set(kinds)
        wanted = {leftover.uid for leftover in leftovers}
        deleted = []
        for leftover in await self._find():
            if leftover.uid not in wanted or leftover.kind not in kinds or leftover.kept:
                continue
            try:
                gone = await self._requests.delete(
                    self._api,
                    KINDS[leftover.kind],
                    leftover.name,
                    leftover.namespace,
                    uid=leftover.uid,
                )
            except (ApiException, ApiUnavailable) as e:
                self._log.error("Could not delete the leftover %s: %s", leftover, explained(e))
                continue
            if gone:
                self._log.warning("Deleted the leftover %s", leftover)
                deleted.append(leftover)
        return deleted


def _light(raw: msgspec.Raw) -> dict[str, Any]:
    """Return what is decided by; nothing of a secret's content is kept."""
    item = msgspec.json.decode(raw)
    return {key: item[key] for key in ("metadata", "spec", "status") if key in item}
