"""The one place that states the version; pyproject and ``kubespawner.__version__`` read it."""

__version__ = "8.0.0.dev0"

version_info = tuple(int(part) if part.isdigit() else part for part in __version__.split("."))
