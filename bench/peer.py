"""The peer, ``jupyterhub-kubespawner`` 7.1.0 from PyPI, in an environment of its own.

The peer is run, never imported here and never read: its distribution installs the same package
name as ours. Its environment lies in the user's cache directory, keyed by what is installed in
it, and is made on first use::

    from bench.peer import python

    subprocess.run([python(), "scenario.py"], check=True)
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = "7.1.0"

#: Libraries that both sides use, in the versions of the environment that asks, so that only the
#: spawner differs.
SHARED = ("jupyterhub", "kubernetes-asyncio", "aiohttp", "traitlets", "tornado")


def requirements() -> list[str]:
    """What is installed beside pip, as pip's requirement specifiers."""
    shared = [f"{name}=={importlib.metadata.version(name)}" for name in SHARED]
    # The scenario runner measures its own process.
    return [f"jupyterhub-kubespawner=={VERSION}", *shared, "psutil"]


def directory() -> Path:
    """Where the environment lies, whether or not it is there yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    inputs = "\n".join([sys.version, *requirements()])
    return cache / "kubespawner" / f"peer-{hashlib.sha256(inputs.encode()).hexdigest()[:12]}"


def python() -> str:
    """The path of the peer environment's interpreter; makes the environment if it is missing.

    Safe to call from several processes at once: the first makes it, the others wait.

    Raises:
        subprocess.CalledProcessError: if venv or pip fails; pip has said why on stderr.
    """
    place = directory()
    interpreter = place / "bin" / "python"
    complete = place / ".complete"
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place.parent / "peer.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            shutil.rmtree(place, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
            pip = [str(interpreter), "-m", "pip", "install", "--quiet"]
            subprocess.run(
                [*pip, "--disable-pip-version-check", *requirements()],
                check=True,
                stdout=sys.stderr,
            )
            complete.touch()
    return str(interpreter)
