"""The cluster's DNS: names of services and pods from the API, everything else from outside.

``python -m realcluster.dns CACHE`` serves UDP and TCP on the bridge's address.
The names: https://github.com/kubernetes/dns/blob/master/docs/specification.md
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from . import settings as s
from .api import Api, Object
from .settings import Layout

A, CNAME, PTR, SRV, ANY = 1, 5, 12, 33, 255
_NO_ERROR, _SERVER_FAILURE, _NO_NAME = 0, 2, 3
#: Short, for services come and go within a test.
_TTL = 1
_UDP_LIMIT = 512

log = logging.getLogger(__name__)


@dataclass
class Zone:
    """Records by (lower-case name, type), and every name that exists."""

    records: dict[tuple[str, int], list[bytes]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def add(self, name: str, kind: int, data: bytes) -> None:
        self.records.setdefault((name, kind), []).append(data)
        # A name's parents exist too, without records of their own.
        while name:
            self.names.add(name)
            name = name.partition(".")[2]


def encode_name(name: str) -> bytes:
    labels = [label.encode("idna" if not label.isascii() else "ascii") for label in name.split(".")]
    return b"".join(bytes([len(label)]) + label for label in labels if label) + b"\0"


def _reverse(address: str) -> str:
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"


def _add_ports(zone: Zone, host: str, target: str, ports: list[Object]) -> None:
    for port in ports:
        if port.get("name"):
            name = f"_{port['name']}._{port.get('protocol', 'TCP').lower()}.{host}"
            weights = struct.pack("!HHH", 0, 100, port["port"])
            zone.add(name, SRV, weights + encode_name(target))


def zone_of(services: Mapping[str, Object], endpoints: Mapping[str, Object]) -> Zone:
    """The records of all services; headless ones answer with their pods' addresses."""
    zone = Zone()
    for key, service in services.items():
        namespace, name = key.split("/")
        host = f"{name}.{namespace}.svc.{s.DOMAIN}"
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            zone.add(host, CNAME, encode_name(spec["externalName"]))
        elif spec.get("clusterIP") not in (None, "", "None"):
            zone.add(host, A, socket.inet_aton(spec["clusterIP"]))
            zone.add(_reverse(spec["clusterIP"]), PTR, encode_name(host))
            _add_ports(zone, host, host, spec.get("ports", []))
        else:
            for subset in endpoints.get(key, {}).get("subsets") or ():
                for address in subset.get("addresses") or ():
                    ip = address["ip"]
                    target = f"{address.get('hostname') or ip.replace('.', '-')}.{host}"
                    for label in (host, target):
                        zone.add(label, A, socket.inet_aton(ip))
                    zone.add(_reverse(ip), PTR, encode_name(target))
                    _add_ports(zone, host, target, subset.get("ports") or [])
    return zone


def _pod_address(name: str) -> bytes | None:
    """The address in a pod's own name, ``10-244-0-7.NAMESPACE.pod.cluster.local``."""
    labels = name.removesuffix(f".pod.{s.DOMAIN}").split(".")
    if not name.endswith(f".pod.{s.DOMAIN}") or len(labels) != 2:
        return None
    try:
        return socket.inet_aton(labels[0].replace("-", ".")) if labels[0].count("-") == 3 else None
    except OSError:
        return None


def parse_question(query: bytes) -> tuple[str, int, int]:
    """Name (lower case), type and end offset of a query's one question. ValueError when broken."""
    labels, offset = [], 12
    try:
        while length := query[offset]:
            if length > 63:
                raise ValueError("a compressed name in a question")
            labels.append(query[offset + 1 : offset + 1 + length].decode("ascii", "replace"))
            offset += 1 + length
        kind = struct.unpack_from("!H", query, offset + 1)[0]
    except (IndexError, struct.error) as error:
        raise ValueError("a question cut short") from error
    return ".".join(labels).lower(), kind, offset + 5


def is_ours(name: str, zone: Zone) -> bool:
    """Whether this server answers for the name itself rather than asking outside."""
    return name == s.DOMAIN or name.endswith(f".{s.DOMAIN}") or (name, PTR) in zone.records


def answer(query: bytes, zone: Zone) -> bytes:
    """The response to a query for a name of ours."""
    name, kind, end = parse_question(query)
    pod = _pod_address(name)
    exists = name in zone.names or pod is not None or name == s.DOMAIN
    found = [(kind, data) for data in zone.records.get((name, kind), ())]
    if pod is not None and kind == A:
        found = [(A, pod)]
    if not found:
        found = [(CNAME, data) for data in zone.records.get((name, CNAME), ())]
    # Authoritative, recursion available; the query's own "recursion desired" bit.
    wanted = struct.unpack_from("!H", query, 2)[0] & 0x0100
    flags = 0x8480 | wanted | (_NO_ERROR if exists else _NO_NAME)
    head = query[:2] + struct.pack("!HHHHH", flags, 1, len(found), 0, 0)
    body = b"".join(
        struct.pack("!HHHIH", 0xC00C, record, 1, _TTL, len(data)) + data for record, data in found
    )
    return head + query[12:end] + body


def _failure(query: bytes) -> bytes:
    return query[:2] + struct.pack("!HHHHH", 0x8180 | _SERVER_FAILURE, 0, 0, 0, 0)


def upstreams(resolv_conf: str) -> list[str]:
    """The name servers of the machine."""
    lines = (line.split() for line in resolv_conf.splitlines())
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


class _Reply(asyncio.DatagramProtocol):
    def __init__(self, query: bytes):
        self.query = query
        self.result: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.DatagramTransport, transport).sendto(self.query)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self.result.done():
            self.result.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.result.done():
            self.result.set_exception(exc)


class Server(asyncio.DatagramProtocol):
    """Answers from the zone; other names go to the machine's name servers in turn."""

    def __init__(self, servers: list[str]):
        self.zone = Zone()
        self.servers = servers
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple) -> None:
        task = asyncio.ensure_future(self._serve_datagram(data, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_datagram(self, data: bytes, addr: tuple) -> None:
        response = await self.respond(data)
        if len(response) > _UDP_LIMIT:
            # Truncated: the resolver asks again over TCP.
            flags = struct.unpack_from("!H", response, 2)[0] | 0x0200
            end = parse_question(response)[2]
            response = response[:2] + struct.pack("!HHHHH", flags, 1, 0, 0, 0) + response[12:end]
        self.transport.sendto(response, addr)

    async def serve_stream(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while True:
                length = struct.unpack("!H", await reader.readexactly(2))[0]
                response = await self.respond(await reader.readexactly(length))
                writer.write(struct.pack("!H", len(response)) + response)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is done
        finally:
            writer.close()

    async def listen(self, host: str, port: int) -> None:
        """Serve UDP and TCP on an address."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=(host, port))
        await asyncio.start_server(self.serve_stream, host, port)

    async def respond(self, query: bytes) -> bytes:
        """The response to any query; a failure code where it can't be had."""
        try:
            name, _, _ = parse_question(query)
        except ValueError:
            return _failure(query[:12].ljust(12, b"\0"))
        return answer(query, self.zone) if is_ours(name, self.zone) else await self._forward(query)

    async def _forward(self, query: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        for server in self.servers:
            try:
                transport, protocol = await loop.create_datagram_endpoint(
                    lambda: _Reply(query), remote_addr=(server, 53)
                )
            except OSError as error:
                log.warning("name server %s: %s", server, error)
                continue
            try:
                return await asyncio.wait_for(protocol.result, 3)
            except (asyncio.TimeoutError, OSError) as error:
                log.warning("name server %s: %s", server, error or "no answer in 3 s")
            finally:
                transport.close()
        return _failure(query)


async def serve(layout: Layout, servers: list[str]) -> None:
    """Serve for ever; ``servers`` are the machine's own name servers."""
    server = Server(servers)
    await server.listen(s.GATEWAY, s.DNS_PORT)
    seen: dict[str, dict[str, Object]] = {"services": {}, "endpoints": {}}

    async with Api(layout.admin) as api:

        async def keep(kind: str) -> None:
            async def changed(items: dict[str, Object]) -> None:
                seen[kind] = items
                server.zone = zone_of(seen["services"], seen["endpoints"])

            await api.follow(f"/api/v1/{kind}", changed)

        await asyncio.gather(keep("services"), keep("endpoints"))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    resolv_conf = Path("/etc/resolv.conf")
    outside = upstreams(resolv_conf.read_text() if resolv_conf.exists() else "")
    asyncio.run(serve(Layout(Path(sys.argv[1])), outside))
