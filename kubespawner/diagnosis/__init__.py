"""What a pod's status and events mean: for its user, its administrator, and whoever waits.

Pure: plain dicts in (API JSON), plain data out; no request is made and no clock is read.

- :func:`diagnose`: what a starting pod is doing, and what keeps it from running.
- :func:`server_status`: whether a started server still runs; if not, why not.
- :func:`refusal`: why the API server would not create an object.

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

from .failed import why_gone
from .model import DEFAULT_PATIENCE, Diagnosis, ServerStatus
from .pod import diagnose
from .refusals import refusal
from .state import (
    is_ready,
    notebook_container_name,
    notebook_status,
    restarted,
    server_status,
)

__all__ = [
    "DEFAULT_PATIENCE",
    "Diagnosis",
    "ServerStatus",
    "diagnose",
    "is_ready",
    "notebook_container_name",
    "notebook_status",
    "refusal",
    "restarted",
    "server_status",
    "why_gone",
]
