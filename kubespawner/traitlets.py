"""Trait types of earlier versions that configurations and subclasses still import."""

from __future__ import annotations

from typing import Any

from traitlets import TraitType


class Callable(TraitType):
    """A trait that holds something that can be called: a function, class or instance.

    Args:
        default_value, allow_none, read_only, help, config, kwargs: as for any trait.
    """

    info_text = "a callable"

    def validate(self, obj: Any, value: Any) -> Any:
        if not callable(value):
            self.error(obj, value)
        return value
