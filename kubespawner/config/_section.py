"""Settings of mixins as those of the class that is made of them."""

from __future__ import annotations

from typing import Any

from traitlets import HasTraits, TraitType
from traitlets.config import Configurable


def traits_of_section(cls: type[HasTraits], **metadata: Any) -> dict[str, TraitType[Any, Any]]:
    """Return the traits that ``cls`` adds to the next ``Configurable`` it is made of.

    To be its ``class_own_traits``: where traitlets asks what a class adds to its base, for help
    and generated configuration, the mixins between the two count as the class itself.
    """
    base: type = next((c for c in cls.__mro__[1:] if issubclass(c, Configurable)), HasTraits)
    return {
        name: trait
        for name, trait in cls.class_traits(**metadata).items()
        if getattr(base, name, None) is not trait
    }
