"""JupyterHub Spawner for Kubernetes: every user's notebook server is a pod."""

from ._version import __version__

__all__ = ["__version__"]
