"""The objects of one kind that routes are made of: what is known of them, how they are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from kubernetes_asyncio.client import ApiException

from ..errors import ConfigurationError
from ..kube.backoff import breathe
from ..kube.informer import Health, Informer
from ..kube.requests import Deadline, Requests
from ..kube.store import as_int
from ..ownership import annotations_of, is_terminating, labels_of, uid_of
from .marks import APPLIED, COMPONENT

Item = dict[str, Any]

# Objects decoded before the event loop gets its turn.
_SLICE = 100
# Others may change an object between our look and our write, but not again and again.
_ATTEMPTS = 5


def with_record(manifest: Item) -> Item:
    """Return ``manifest`` with a record, as an annotation, of all that it sets.

    What a later manifest sets no more is taken away by it, and what others have set is not. Of
    labels and annotations the names are enough. https://kubernetes.io/docs/tasks/manage-kubernetes-objects/declarative-config/
    """
    meta = manifest["metadata"]
    record = {key: value for key, value in manifest.items() if key != "metadata"}
    record["metadata"] = {
        kind: dict.fromkeys(meta.get(kind) or {}, True) for kind in ("labels", "annotations")
    }
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    annotations = {**(meta.get("annotations") or {}), APPLIED: text}
    return {**manifest, "metadata": {**meta, "annotations": annotations}}


def change(manifest: Item, present: Item) -> Any:
    """Return the JSON merge patch that makes ``present`` what ``manifest`` says; {} if it is.

    ``manifest`` has its record, and ``present`` the one of the manifest before; an object
    of a version without records loses nothing.
    """
    try:
        record = json.loads(annotations_of(present).get(APPLIED) or "{}")
    except ValueError:
        record = {}
    return difference(manifest, present, record if isinstance(record, dict) else {})


def difference(wanted: Any, present: Any, before: Any = None) -> Any:
    """Return the JSON merge patch that makes ``present`` contain ``wanted``; {} if it does.

    What only ``present`` has belongs to the API server or to somebody else, and stays, unless
    it is in ``before``, which was wanted earlier. Nothing and an empty text are the same.
    https://www.rfc-editor.org/rfc/rfc7386
    """
    earlier = before if isinstance(before, dict) else {}
    patch = {}
    for key, value in wanted.items():
        other, was = present.get(key), earlier.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            if nested := difference(value, other, was):
                patch[key] = nested
        elif not _contains(other, value) or (isinstance(was, list) and was != value):
            patch[key] = value
    for key, was in earlier.items():
        if was and key not in wanted and key in present:
            patch[key] = None
    return patch


def _contains(present: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict) and isinstance(present, dict):
        return all(_contains(present.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(present, list):
        # A list is replaced as a whole, so one more item is a difference.
        return len(wanted) == len(present) and all(map(_contains, present, wanted))
    return wanted == present or (not wanted and not present)


def _version(item: Mapping[str, Any]) -> int:
    return as_int((item.get("metadata") or {}).get("resourceVersion") or "")


class RouteObjects:
    """One kind of a proxy's objects: what is known of them, and how they are written.

    Knows of its own writes at once, even if the watch lags behind them.

    Args:
        kind: as :class:`~kubespawner.kube.requests.Requests` has it.
        fixed: a field that can't be changed; an object that differs there is made anew.
        is_ours: tells our objects from foreign ones of the same name.
        setting: what two hubs of one namespace have to set differently, for messages.
    """

    def __init__(
        self,
        kind: str,
        api: Any,
        informer: Informer,
        requests: Requests,
        namespace: str,
        is_ours: Callable[[Mapping[str, Any]], bool],
        fixed: str = "",
        *,
        setting: str = "component_label",
    ):
        self.kind = kind
        self.informer = informer
        self._api = api
        self._requests = requests
        self._namespace = namespace
        self._is_ours = is_ours
        self._fixed = fixed
        self._setting = setting
        # What we wrote, and what we deleted as it was last, until the watch shows it.
        self._written: dict[str, Item] = {}
        self._deleted: dict[str, Item] = {}
        informer.subscribe_all(self._seen)
        informer.on_load(self._forget_passed)

    # ---- knowing -----------------------------------------------------------------------

    def _seen(self, event: str, key: str, item: Item | None) -> None:
        deleted = self._deleted.get(key)
        # An earlier object of the name may have been deleted before; the watch comes to that first.
        if event == "DELETED" and deleted and _version(deleted) < self._passed:
            del self._deleted[key]
        self._forget_passed()

    @property
    def _passed(self) -> int:
        return as_int(self.informer.resource_version)

    def _forget_passed(self) -> None:
        for key in [k for k, item in self._written.items() if _version(item) <= self._passed]:
            del self._written[key]

    def _key(self, name: str) -> str:
        return f"{self._namespace}/{name}"

    def known(self, key: str) -> Item | None:
        """Return the object ``namespace/name`` as far as known; None: none, or on its way out."""
        item = self._written.get(key) or self.informer.get(key)
        if item is None or is_terminating(item):
            return None
        deleted = self._deleted.get(key)
        if deleted and (uid_of(item) == uid_of(deleted) or _version(item) < _version(deleted)):
            return None
        return item

    async def all(self, selector: str, deadline: Deadline) -> list[Item]:
        """Return all objects, as of now.

        Raises:
            ApiUnavailable: that can't be known until the deadline.
        """
        if self.informer.health is not Health.FRESH:
            # The watch is interrupted, so that what it showed may be outdated.
            items = await self._requests.list(
                self._api, self.kind, self._namespace, label_selector=selector, deadline=deadline
            )
            return [item for item in items if not is_terminating(item)]
        found = []
        for count, key in enumerate({**dict.fromkeys(self.informer.keys()), **self._written}, 1):
            item = self.known(key)
            if item is not None:
                found.append(item)
            if count % _SLICE == 0:
                await breathe()
        return found

    async def present(self, name: str, deadline: Deadline) -> Item | None:
        """Return the object of this name; None if there is none, or it is on its way out.

        A foreign one is only seen where the watch, which selects ours, can't be asked.
        """
        if self.informer.health is Health.FRESH:
            return self.known(self._key(name))
        item = await self._read(name, deadline)
        return None if item is None or is_terminating(item) else item

    async def _read(self, name: str, deadline: Deadline) -> Item | None:
        return await self._requests.read(
            self._api, self.kind, name, self._namespace, deadline=deadline
        )

    # ---- writing -----------------------------------------------------------------------

    async def put(self, manifest: Item, present: Item | None, deadline: Deadline) -> None:
        """Create the object, or change where ``present`` differs from ``manifest``.

        Raises:
            ConfigurationError: an object of this name is not ours.
            ApiException, ApiUnavailable: refused; no answer.
        """
        name = manifest["metadata"]["name"]
        for attempt in range(1, _ATTEMPTS + 1):
            if present is not None:
                present = await self._usable(manifest, present, deadline)
            try:
                await self._write(name, manifest, present, deadline)
                return
            except ApiException as e:
                # Made, changed or deleted in the meantime.
                answers = (409,) if present is None else (404, 409)
                if e.status not in answers or attempt == _ATTEMPTS:
                    raise
            present = await self._read(name, deadline)

    async def _write(
        self, name: str, manifest: Item, present: Item | None, deadline: Deadline
    ) -> None:
        if present is None:
            item = await self._requests.create(
                self._api, self.kind, manifest, self._namespace, deadline=deadline
            )
        else:
            patch = change(manifest, present)
            if not patch:
                return
            item = await self._requests.patch(
                self._api, self.kind, name, patch, self._namespace, deadline=deadline
            )
        self._written[self._key(name)] = item
        self._forget_passed()

    async def _usable(self, manifest: Item, present: Item, deadline: Deadline) -> Item | None:
        """Return ``present`` if it can be changed into ``manifest``; None once it is gone."""
        name = manifest["metadata"]["name"]
        if not self._is_ours(present):
            raise ConfigurationError(
                f"{self.kind} {self._namespace}/{name} exists and is not of this hub (its label "
                f"component is {labels_of(present).get(COMPONENT)!r}). Hubs that share a "
                f"namespace need different values of {self._setting}.",
                reason="RouteOfAnotherOwner",
            )
        if self._fixed and manifest[self._fixed] != present.get(self._fixed):
            await self.delete(present, deadline)
        elif not is_terminating(present):
            return present
        await self._gone(present, deadline)
        return None

    async def _gone(self, present: Item, deadline: Deadline) -> None:
        key = self._key(present["metadata"]["name"])
        try:
            await self.informer.wait_for(
                key, lambda item: item is None or uid_of(item) != uid_of(present), deadline
            )
        except TimeoutError as e:
            finalizers = present["metadata"].get("finalizers") or "unknown finalizers"
            raise TimeoutError(
                f"{self.kind} {key} is being deleted and does not go; it waits for {finalizers}"
            ) from e

    async def delete(self, item: Item | None, deadline: Deadline) -> bool:
        """Delete ``item`` if it is ours; False if there is nothing to delete (any more)."""
        if item is None or not self._is_ours(item):
            return False
        name = item["metadata"]["name"]
        deleted = await self._requests.delete(
            self._api,
            self.kind,
            name,
            self._namespace,
            uid=uid_of(item),
            grace_seconds=0,
            deadline=deadline,
        )
        key = self._key(name)
        self._written.pop(key, None)
        self._deleted[key] = item
        return deleted
