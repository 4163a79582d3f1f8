"""An image registry that serves one tiny image, slowly or only to those it knows.

https://distribution.github.io/distribution/spec/api/ as far as a pull needs it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import platform
import tarfile
from typing import Any

from aiohttp import web

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _layer(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class Registry:
    """An async context manager; ``image()`` is a name to pull while it is open.

    Args:
        files: what is in the image, by path.
        command: its entry point.
        login: user and password without which nothing is served.

    Attributes:
        served: digests of the blobs that were asked for.
        gate: blobs are held back while it is cleared.
    """

    def __init__(
        self, files: dict[str, bytes], command: list[str], login: tuple[str, str] | None = None
    ):
        layer = _layer(files)
        config = json.dumps(
            {
                "architecture": _ARCHITECTURES[platform.machine()],
                "os": "linux",
                "config": {"Entrypoint": command},
                "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            }
        ).encode()
        self._blobs = {_digest(data): data for data in (layer, config)}
        self._manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": _described("application/vnd.docker.container.image.v1+json", config),
                "layers": [_described("application/vnd.docker.image.rootfs.diff.tar", layer)],
            }
        ).encode()
        self._login = base64.b64encode(":".join(login).encode()).decode() if login else None
        self.served: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __aenter__(self) -> Registry:
        app = web.Application()
        app.router.add_get("/v2/", self._root)
        app.router.add_get("/v2/{name:.+}/manifests/{reference}", self._get_manifest)
        app.router.add_get("/v2/{name:.+}/blobs/{digest}", self._get_blob)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.gate.set()
        await self._runner.cleanup()

    def image(self, tag: str = "1") -> str:
        """Return a reference; the registry knows the tag ``1`` only."""
        return f"127.0.0.1:{self.port}/tests/small:{tag}"

    def _refusal(self, request: web.Request) -> web.Response | None:
        if self._login is None or request.headers.get("Authorization") == f"Basic {self._login}":
            return None
        body = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}
        challenge = {"WWW-Authenticate": 'Basic realm="tests"'}
        return web.json_response(body, status=401, headers=challenge)

    async def _root(self, request: web.Request) -> web.Response:
        return self._refusal(request) or web.json_response({})

    async def _get_manifest(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request)
        if refusal:
            return refusal
        digest = _digest(self._manifest)
        if request.match_info["reference"] not in ("1", digest):
            body = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
            return web.json_response(body, status=404)
        return web.Response(
            body=self._manifest,
            content_type=_MANIFEST,
            headers={"Docker-Content-Digest": digest},
        )

    async def _get_blob(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request)
        if refusal:
            return refusal
        await self.gate.wait()
        digest = request.match_info["digest"]
        self.served.append(digest)
        return web.Response(body=self._blobs[digest], content_type="application/octet-stream")


def _described(kind: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "size": len(data), "digest": _digest(data)}
