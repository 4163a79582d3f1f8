"""The field of the fault tests, for what the model found."""

from ..faults.conftest import field, pytest_asyncio_loop_factories

__all__ = ["field", "pytest_asyncio_loop_factories"]
