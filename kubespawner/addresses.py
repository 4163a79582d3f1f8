"""Where a running server is reached: the URL of its pod.

:class:`Addresses` is a mixin of ``KubeSpawner``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from .asking import ask, resolve
from .errors import ConfigurationError
from .manifests import Manifests

PORT_NAME = "notebook-port"


def bracketed(host: str) -> str:
    """Return ``host`` as it stands in a URL: an IPv6 address in square brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def split_address(url: str) -> tuple[str, str, int]:
    """Return scheme, host (without brackets) and port of ``url``; the port follows the scheme."""
    parts = urlsplit(url)
    return (
        parts.scheme,
        parts.hostname or "",
        parts.port or (443 if parts.scheme == "https" else 80),
    )


class Addresses(Manifests):
    """From a pod to the URL of its server."""

    # How the URL of the server's pod was made at its start ("pod" or "service", and the
    # scheme), so that later changes of the configuration do not apply to a running pod.
    _url_made_by: dict[str, str] | None = None

    def _get_pod_port(self, pod: Mapping[str, Any]) -> int:
        """Return the container port named ``notebook-port`` of ``pod`` (API JSON).

        Raises:
            KeyError: no container has such a port.
        """
        for container in (pod.get("spec") or {}).get("containers") or []:
            for port in container.get("ports") or []:
                if port.get("name") == PORT_NAME:
                    return port["containerPort"]
        name = (pod.get("metadata") or {}).get("name")
        raise KeyError(f"Pod {name!r} has no container port named {PORT_NAME!r}")

    def _url_rule(self) -> dict[str, str]:
        """Return how the URL of a pod made now is put together."""
        if self._internal_tls:
            return {"scheme": "https", "host": "service"}
        return {"scheme": "http", "host": "service" if self.services_enabled else "pod"}

    def _get_pod_url(self, pod: Mapping[str, Any]) -> Any:
        """Return the URL of the server in ``pod``, without a path.

        ``get_pod_url``, if set, decides alone; its result may be awaitable.
        """
        if self.get_pod_url:
            return self.get_pod_url(self, pod)
        rule = self._url_made_by or self._url_rule()
        if self.pod_connect_ip:
            # Each domain label on its own, so that a trailing dash vanishes from every one.
            host = ".".join(
                self._expand_user_properties(label) if "{" in label else label
                for label in self.pod_connect_ip.split(".")
            )
        elif rule["host"] == "service":
            host = self.dns_name
        else:
            host = (pod.get("status") or {}).get("podIP") or ""
        return f"{rule['scheme']}://{bracketed(host)}:{self._get_pod_port(pod)}"

    async def _pod_url(self, pod: Mapping[str, Any]) -> str:
        if self.get_pod_url:
            url = await ask("get_pod_url", self._get_pod_url, pod)
        else:
            url = await resolve(self._get_pod_url(pod))
        if not isinstance(url, str) or not urlsplit(url).hostname:
            raise ConfigurationError(
                f"KubeSpawner.get_pod_url returned {url!r}; "
                "it must return a URL such as 'http://10.0.0.7:8888'."
            )
        return url

    async def _update_address(self, pod: Mapping[str, Any]) -> None:
        """Take over a changed address of the running pod into the hub's database."""
        server = self.server  # type: ignore[attr-defined]
        if not server:
            return
        try:
            url = await resolve(self._get_pod_url(pod))
            new = split_address(url)
            old = split_address(server.url)
        except Exception as e:  # noqa: BLE001 - an operator's hook may raise anything
            self.log.warning(
                "KubeSpawner.get_pod_url failed for %s; keeping its address: %r",
                self._log_name,  # type: ignore[attr-defined]
                e,
            )
            return
        if new == old:
            return
        self.log.warning(
            "Server %s moved from %s to %s",
            self._log_name,  # type: ignore[attr-defined]
            server.url,
            url,
        )
        scheme, host, port = new
        server.proto, server.ip, server.port = scheme, host, port
        self.db.commit()  # type: ignore[attr-defined]
