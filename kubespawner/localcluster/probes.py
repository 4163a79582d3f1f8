"""Probes and lifecycle hooks of containers.

https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp


async def _answers(host: str, port: int, seconds: float) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), seconds)
    except (OSError, asyncio.TimeoutError):
        return False
    writer.close()
    return True


def _port(value: Any, container: Mapping[str, Any]) -> int:
    for port in container.get("ports") or ():
        if port.get("name") == value:
            return port["containerPort"]
    return int(value)


async def is_ready(container: Mapping[str, Any], ip: str, env: Mapping[str, str]) -> bool:
    """Whether a running container is ready.

    By its readiness probe; without one, by whether its first declared port answers, which is
    stricter than a kubelet; at once without ports.
    """
    probe = container.get("readinessProbe") or {}
    seconds = probe.get("timeoutSeconds", 1)
    if "httpGet" in probe:
        return await _get(probe["httpGet"], container, ip, seconds)
    if "tcpSocket" in probe:
        return await _answers(ip, _port(probe["tcpSocket"]["port"], container), seconds)
    if "exec" in probe:
        return await _exec(probe["exec"]["command"], env, None, seconds) == 0
    ports = [p for p in container.get("ports") or () if p.get("protocol", "TCP") == "TCP"]
    return not ports or await _answers(ip, ports[0]["containerPort"], 1)


async def _get(
    action: Mapping[str, Any], container: Mapping[str, Any], ip: str, seconds: float
) -> bool:
    scheme = action.get("scheme", "HTTP").lower()
    port = _port(action["port"], container)
    url = f"{scheme}://{action.get('host') or ip}:{port}{action.get('path', '/')}"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds)) as session,
            session.get(url, ssl=False, allow_redirects=False) as response,
        ):
            return 200 <= response.status < 400
    except (aiohttp.ClientError, OSError, asyncio.TimeoutError):
        return False


async def _exec(
    command: list[str], env: Mapping[str, str], cwd: Path | None, seconds: float | None
) -> int | None:
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(env),
            cwd=cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return None
    try:
        return await asyncio.wait_for(process.wait(), seconds)
    except asyncio.TimeoutError:
        process.kill()
        await process.wait()
        return None


async def run_hook(
    hook: Mapping[str, Any],
    ip: str,
    env: Mapping[str, str],
    cwd: Path,
    real: Callable[[str], str],
) -> None:
    """Run a ``postStart`` or ``preStop`` handler to its end."""
    if "exec" in hook:
        await _exec([real(word) for word in hook["exec"]["command"]], env, cwd, None)
    elif "httpGet" in hook:
        await _get(hook["httpGet"], {}, ip, 10)
