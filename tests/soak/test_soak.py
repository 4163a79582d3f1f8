"""A short soak; ``python -m tests.soak`` runs the long one."""

from __future__ import annotations

from .soak import Soak

CYCLES = 100


async def test_nothing_is_left_and_nothing_grows(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    figures = await Soak(tmp_path).run(CYCLES)
    assert figures.cycles == CYCLES
    assert figures.faults > 0
    assert figures.left == []
    for name in ("files", "tasks"):
        first, last = figures.tenths(name)
        assert last <= first + 10
