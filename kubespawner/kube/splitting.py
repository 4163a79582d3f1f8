"""Big lists and watch streams, cut into objects as their bytes arrive.

Decoding one list of 10,000 pods takes a tenth of a second, in which nobody else on the event loop
is served. Here it is cut piece by piece; between two pieces the loop gets its turn.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from .summary import ItemList, list_decoder

# Bytes cut at once: about half a millisecond of decoding.
PIECE = 256 * 1024

_OPENING = b'"items":['
# Bytes of the first item that mark the beginning of the others. The API server writes the fields
# of all items in one order.
_MARK = 11
_raw_items = msgspec.json.Decoder(list[msgspec.Raw])


class ListSplitter:
    """Cuts the JSON of a list into its items.

    A cut is tried in front of what looks like the beginning of another item, and stands if what is
    before it decodes: a proper part of a JSON object never does. A list in another notation than
    the API server's is not cut; its items all come from :meth:`finish`.
    """

    def __init__(self, piece: int = PIECE):
        self._piece = piece
        self._head = b""
        self._mark = b""
        self._buffer = bytearray()
        self._try_at = piece

    def feed(self, data: bytes) -> Iterator[list[msgspec.Raw]]:
        """Take the next bytes; yield the complete items of each piece, which may be none.

        Raises:
            msgspec.DecodeError: never here; what can't be decoded shows in :meth:`finish`.
        """
        view = memoryview(data)
        for start in range(0, len(view), self._piece):
            self._buffer += view[start : start + self._piece]
            if len(self._buffer) >= self._try_at:
                yield self._cut()

    def finish(self) -> ItemList:
        """Return the list's metadata, and the items that were not yielded before.

        Raises:
            msgspec.DecodeError: this is no complete list.
        """
        return list_decoder.decode(self._head + self._buffer)

    def _cut(self) -> list[msgspec.Raw]:
        if not self._mark:
            self._find_first()
        end = len(self._buffer)
        # A pod template within a pod begins alike; a second and third place are tried.
        for _ in range(3):
            end = self._buffer.rfind(self._mark, 0, end) if self._mark else -1
            if end <= 0:
                break
            try:
                items = _raw_items.decode(b"[" + self._buffer[:end] + b"]")
            except msgspec.DecodeError:
                continue
            del self._buffer[: end + 1]
            self._try_at = self._piece
            return items
        # No cut: wait for twice as much, so that trying stays cheap however long it takes.
        self._try_at = 2 * len(self._buffer)
        return []

    def _find_first(self) -> None:
        at = self._buffer.find(_OPENING)
        if at < 0:
            return
        first = at + len(_OPENING)
        beginning = bytes(self._buffer[first : first + _MARK])
        if not beginning.startswith(b'{"'):
            return
        self._mark = b"," + beginning
        self._head = bytes(self._buffer[:first])
        del self._buffer[:first]


class LineSplitter:
    """Cuts a watch stream into lines, one event each."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes; return the lines that are complete, without empty ones."""
        first, newline, rest = data.partition(b"\n")
        self._parts.append(first)
        if not newline:
            return []
        lines = [b"".join(self._parts), *rest.split(b"\n")]
        self._parts = [lines.pop()]
        return [line for line in lines if line.strip()]

    @property
    def unfinished(self) -> bool:
        """Whether there is part of a line."""
        return any(part.strip() for part in self._parts)
