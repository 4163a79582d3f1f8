"""Where this process runs."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@lru_cache(maxsize=1)
def hub_namespace() -> str:
    """Return the namespace this process runs in: the service account's, else ``default``.

    Read once per process.
    https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
    """
    try:
        return _NAMESPACE_FILE.read_text(encoding="utf-8").strip() or "default"
    except FileNotFoundError:
        return "default"
