"""Names in the configuration that no class knows: a misspelt setting is an error, not a default."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from traitlets import HasTraits
from traitlets.config import Configurable

from ..errors import ConfigurationError
from ..legacy import RENAMED
from ._checks import nearest


def unknown_names(cls: type[HasTraits], config: Any, known: Iterable[str] = ()) -> list[str]:
    """Return a sentence for each setting in ``config`` that ``cls`` does not have.

    Every section that applies to ``cls`` is looked at. Deprecated names are known, and so are
    those of other classes that share the section: ``c.Spawner.shell_cmd`` is
    LocalProcessSpawner's.

    Args:
        known: further names that are understood.
    """
    names = set(cls.class_trait_names(config=True))
    understood = names | set(RENAMED) | set(known)
    problems = []
    for section_class in _section_classes(cls):
        section = section_class.__name__
        for name in config.get(section, ()):
            # Capitalised names are sections of their own.
            if name in understood or name[:1].isupper():
                continue
            if any(other.class_traits(config=True).get(name) for other in _heirs(section_class)):
                continue
            problems.append(f"{section}.{name} does not exist{nearest(name, understood)}")
    return problems


def check_config_names(cls: type[HasTraits], config: Any) -> None:
    """Refuse settings that do not exist.

    Raises:
        ConfigurationError: names section and setting, and the nearest name that exists, for
            every one of them.
    """
    problems = unknown_names(cls, config)
    if problems:
        raise ConfigurationError("; ".join(problems), reason="UnknownSetting")


def _section_classes(cls: type) -> Iterator[type[Configurable]]:
    for base in cls.__mro__:
        if issubclass(base, Configurable):
            yield base


def _heirs(cls: type[Any]) -> Iterator[type[Any]]:
    for heir in cls.__subclasses__():
        yield heir
        yield from _heirs(heir)
