"""Probes and lifecycle hooks of containers.

https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from ..kube.timing import within
from .volumes import Mounts

# Until a server first answers its port there is nothing to subscribe to but the port itself.
PORT_SECONDS = 0.05


class HookError(Exception):
    """A probe or hook failed; says how."""


@dataclass
class Place:
    """Where the probes and hooks of one run of a container act."""

    manifest: Mapping[str, Any]
    ip: str
    env: Mapping[str, str]
    cwd: Path
    mounts: Mounts

    def port(self, value: Any) -> int:
        """Return the port that a number or a port's name means.

        Raises:
            HookError: no port has that name.
        """
        for port in self.manifest.get("ports") or ():
            if port.get("name") == value:
                return port["containerPort"]
        try:
            return int(value)
        except ValueError:
            raise HookError(f"couldn't find port: {value}") from None

    async def act(self, action: Mapping[str, Any], seconds: float | None) -> None:
        """Do what a probe or hook says.

        Args:
            seconds: may it take; None: as long as it likes.

        Raises:
            HookError: it failed.
        """
        if "exec" in action:
            await self._exec(action["exec"]["command"], seconds)
        elif "httpGet" in action:
            await self._get(action["httpGet"], seconds)
        elif "tcpSocket" in action:
            where = action["tcpSocket"]
            await self._connect(where.get("host") or self.ip, self.port(where["port"]), seconds)
        elif "sleep" in action:
            await asyncio.sleep(action["sleep"]["seconds"])
        else:
            raise HookError(f"the embedded cluster has no handler for {', '.join(action)}")

    async def _connect(self, host: str, port: int, seconds: float | None) -> None:
        try:
            _, writer = await within(asyncio.open_connection(host, port), seconds)
        except (OSError, asyncio.TimeoutError) as e:
            raise HookError(f"dial tcp {host}:{port}: {e or 'i/o timeout'}") from e
        writer.close()

    async def _get(self, action: Mapping[str, Any], seconds: float | None) -> None:
        scheme = action.get("scheme", "HTTP").lower()
        host, port = action.get("host") or self.ip, self.port(action["port"])
        url = f"{scheme}://{host}:{port}{action.get('path') or '/'}"
        headers = {h["name"]: h["value"] for h in action.get("httpHeaders") or ()}
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds)) as session,
                session.get(url, ssl=False, allow_redirects=False, headers=headers) as response,
            ):
                status = response.status
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as e:
            raise HookError(f'Get "{url}": {e or "timeout"}') from e
        if not 200 <= status < 400:
            raise HookError(f"HTTP probe failed with statuscode: {status}")

    async def _exec(self, command: list[str], seconds: float | None) -> None:
        argv = [self.mounts.argument(word) for word in command]
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                env=dict(self.env),
                cwd=self.cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as e:
            raise HookError(f"command {command} can't be run: {e}") from e
        try:
            code = await within(process.wait(), seconds)
        except asyncio.TimeoutError as e:
            raise HookError(f"command {command} timed out after {seconds}s") from e
        finally:
            # Also when the waiting itself was cancelled.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        if code:
            raise HookError(f"command {command} exited with {code}")


def default_readiness(manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the probe of a container that has none: its first TCP port answers.

    Stricter than a kubelet, which takes such a container for ready at once; so that who waits for
    a ready server gets one. None without ports.
    """
    for port in manifest.get("ports") or ():
        if port.get("protocol", "TCP") == "TCP":
            return {"tcpSocket": {"port": port["containerPort"]}}
    return None


async def watch(
    probe: Mapping[str, Any],
    place: Place,
    ended: asyncio.Future[int],
    tell: Callable[[bool, str], Awaitable[bool]],
    *,
    failed: Callable[[str], Awaitable[None]] | None = None,
    initial: bool = False,
    seconds: float | None = None,
) -> None:
    """Probe a container until it has ended.

    Args:
        tell: called with the first verdict that differs from ``initial``, and with each change
            after that, and why; returns whether to go on.
        failed: called with the reason at each failure.
        seconds: between probes while the verdict is negative; default: the probe's period.
    """
    verdict, streak = initial, 0
    if probe.get("initialDelaySeconds"):
        await asyncio.wait([ended], timeout=probe["initialDelaySeconds"])
    while not ended.done():
        why = ""
        try:
            await place.act(probe, probe.get("timeoutSeconds") or 1)
        except HookError as e:
            why = str(e)
        good = not why
        if why and failed and not ended.done():
            await failed(why)
        streak = streak + 1 if good != verdict else 0
        needed = probe.get("successThreshold" if good else "failureThreshold") or (1 if good else 3)
        if streak >= needed and not ended.done():
            verdict, streak = good, 0
            if not await tell(verdict, why):
                return
        pause = probe.get("periodSeconds") or 10
        if seconds is not None and not verdict:
            pause = seconds
        await asyncio.wait([ended], timeout=pause)
