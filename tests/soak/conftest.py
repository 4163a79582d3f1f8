"""The soak runs on a loop that jumps over every wait."""

from ..faults.conftest import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]
