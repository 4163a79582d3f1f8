"""The field of the fault tests, on a loop that jumps over every wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kubespawner import spawner as spawner_module

from ..support.field import CLAIMS, PODS, STORAGE, Field, Impatient, with_certificates
from ..support.waiting import eventually
from ..support.warp import WarpLoop

__all__ = ["CLAIMS", "PODS", "STORAGE", "Field", "Impatient", "until", "with_certificates"]


def pytest_asyncio_loop_factories(config: Any, item: Any) -> dict[str, Any]:
    return {"warp": WarpLoop}


@pytest.fixture
async def field(tmp_path, monkeypatch):
    field = Field(tmp_path / "kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setattr(spawner_module, "_CLEANUP_SECONDS", 0.6)
    await field.start()
    yield field
    await field.stop()


async def until(condition: Callable[[], Any], seconds: float = 5) -> Any:
    """``eventually``, with the patience that fits an API server without a node."""
    return await eventually(condition, seconds)
