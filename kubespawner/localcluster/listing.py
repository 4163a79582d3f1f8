"""Lists: consistent pages, and lists at a given resource version.

See https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from kubespawner.localcluster.resources import Resource
from kubespawner.localcluster.selectors import predicate
from kubespawner.localcluster.statuses import (
    ApiError,
    bad_request,
    expired,
    forbidden_field,
    invalid,
    invalid_value,
    too_large_version,
)
from kubespawner.localcluster.store import Key, Record, Store


@dataclass(frozen=True)
class Page:
    """Part of a list: ``remaining`` is None where it is not known."""

    records: list[Record]
    revision: int
    continue_token: str = ""
    remaining: int | None = None


class _Position(msgspec.Struct):
    rv: int
    namespace: str
    name: str


def list_page(store: Store, resource: Resource, namespace: str, query: Mapping[str, str]) -> Page:
    """Return the list that the query parameters of a request ask for.

    Raises:
        ApiError: 400, 410, 422 or 504.
    """
    limit = _number(query, "limit")
    token = query.get("continue", "")
    asked = query.get("resourceVersion", "")
    match = query.get("resourceVersionMatch", "")
    _check_match(match, asked, token)
    after: Key | None = None
    if token:
        if asked not in {"", "0"}:
            raise bad_request("specifying resource version is not allowed when using continue")
        position = _read_token(token)
        revision, after = position.rv, (position.namespace, position.name)
    else:
        version = parse_version(asked)
        if version > store.revision:
            raise too_large_version(version, store.revision)
        revision = version if match == "Exact" else store.revision
    try:
        records = store.records(resource, namespace, at=revision)
    except ApiError as e:
        if token:
            raise expired(
                "The provided continue parameter is too old to display a consistent list result. "
                "You can start a new list without the continue parameter."
            ) from e
        raise
    selected = predicate(resource, query.get("labelSelector", ""), query.get("fieldSelector", ""))
    if after:
        records = [record for record in records if record.key > after]
    if selected:
        records = [record for record in records if selected(record.obj)]
    # From the real server's cache (version 0) a list comes whole, whatever the limit.
    if not limit or len(records) <= limit or (asked == "0" and not match):
        return Page(records, revision)
    last = records[limit - 1].key
    remaining = None if selected else len(records) - limit
    return Page(records[:limit], revision, _token(revision, last), remaining)


def _check_match(match: str, asked: str, token: str) -> None:
    field, problem = "resourceVersionMatch", ""
    if not match:
        return
    if token:
        problem = "resourceVersionMatch is forbidden when continue is provided"
    elif not asked:
        problem = "resourceVersionMatch is forbidden unless resourceVersion is provided"
    elif match == "Exact" and asked == "0":
        problem = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
    elif match not in {"Exact", "NotOlderThan"}:
        problem = f"unsupported value {match}"
    if problem:
        raise invalid("ListOptions", "meta.k8s.io", "", [forbidden_field(field, problem)])


def parse_version(text: str) -> int:
    """Return a resource version as a number, 0 for "". Raises ApiError 422."""
    if text and not text.isdecimal():
        problem = f'strconv.ParseUint: parsing "{text}": invalid syntax'
        cause = invalid_value("resourceVersion", text, problem)
        raise invalid("ListOptions", "meta.k8s.io", "", [cause])
    return int(text or 0)


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "") or "0"
    if not text.isdecimal():
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def _token(revision: int, key: Key) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(_Position(revision, *key))).decode()


def _read_token(token: str) -> _Position:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(token), type=_Position)
    except (binascii.Error, ValueError) as e:
        raise bad_request(f"continue key is not valid: {e}") from e


def list_body(resource: Resource, page: Page) -> bytes:
    """Return the JSON of a list; the items are copied as bytes, not encoded again."""
    meta: dict[str, object] = {"resourceVersion": str(page.revision)}
    if page.continue_token:
        meta["continue"] = page.continue_token
    if page.remaining is not None:
        meta["remainingItemCount"] = page.remaining
    head = msgspec.json.encode(
        {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": meta}
    )
    return head[:-1] + b',"items":[' + b",".join(r.raw for r in page.records) + b"]}"
