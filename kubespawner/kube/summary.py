"""Small typed views of API JSON, decoded without building the whole object."""

from __future__ import annotations

from typing import Any

import msgspec


class Metadata(msgspec.Struct, rename="camel", gc=False):
    """What identifies an object and orders its versions."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    deletion_timestamp: str | None = None


class Header(msgspec.Struct, gc=False):
    """An object of any kind, as far as the cache needs to know it."""

    metadata: Metadata

    @property
    def key(self) -> str:
        return f"{self.metadata.namespace}/{self.metadata.name}"


class ListHead(msgspec.Struct, rename="camel", gc=False):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class ItemList(msgspec.Struct):
    """A list response; its items stay raw."""

    metadata: ListHead
    items: list[msgspec.Raw] | None = None


class WatchEvent(msgspec.Struct):
    """One line of a watch response; its object stays raw."""

    type: str
    object: msgspec.Raw


class StatusObject(msgspec.Struct):
    """A ``Status``, as an ERROR event carries it."""

    code: int = 0
    reason: str = ""
    message: str = ""


list_decoder = msgspec.json.Decoder(ItemList)
event_decoder = msgspec.json.Decoder(WatchEvent)
header_decoder = msgspec.json.Decoder(Header)
status_decoder = msgspec.json.Decoder(StatusObject)


def without_managed_fields(raw: bytes | msgspec.Raw) -> bytes:
    """Return the JSON of an object without ``metadata.managedFields``, which nobody here reads."""
    data = bytes(raw)
    if b'"managedFields"' not in data:
        return data
    item: dict[str, Any] = msgspec.json.decode(data)
    item.get("metadata", {}).pop("managedFields", None)
    return msgspec.json.encode(item)
