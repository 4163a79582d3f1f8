"""Trait types that check their values themselves, and know whether these are templates.

A check is part of the trait, not a ``@validate`` method: traitlets allows one such method per
name, and that one belongs to subclasses.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable as Function
from collections.abc import Collection
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jupyterhub.traitlets
import traitlets
from traitlets import HasTraits, TraitError

from ._checks import Check, Wrong, pull_secrets, templates

# What a subclass overrides to have template fields of its own.
_EXPANSION = ("_expand_user_properties", "_expand_all", "_template_fields")
_REPR_LIMIT = 200
_IMMUTABLE = (str, int, float, bool, type(None))


class _Checked:
    """Mixin of trait types.

    Args:
        check: given the value, returns it or a better one; raises
            :class:`~kubespawner.config._checks.Wrong`.
        expanded: whether every string in the value is a template; or the names of its fields,
            where these are not those of every server, as :func:`~kubespawner.naming.check_template`
            takes them.
    """

    name: str | None

    def __init__(
        self,
        *args: Any,
        check: Check | None = None,
        expanded: bool | Collection[str] = False,
        **kwargs: Any,
    ):
        self.check = check
        self.expanded = expanded
        super().__init__(*args, config=True, **kwargs)  # type: ignore[call-arg]

    def __get__(self, obj: Any, cls: Any = None) -> Any:
        # A start reads all settings, most of which nobody has set: traitlets makes and checks
        # each default for each spawner anew, and what is set costs it a second call.
        if obj is None:
            return self
        try:
            return obj._trait_values[self.name]
        except KeyError:
            return self._first_value(obj)

    def _first_value(self, obj: Any) -> Any:
        """Return the default, which counts as the value of ``obj`` from now on.

        Made and checked once for each class where that gives the same every time. As for
        traitlets' own immutable defaults, no observer is told.
        """
        known = _defaults_of(type(obj))  # type: ignore[arg-type]
        make = known.get(self.name)  # type: ignore[arg-type]
        if make is not None:
            value = obj._trait_values[self.name] = make()
            return value
        value = self.get(obj, type(obj))  # type: ignore[attr-defined]
        if obj._get_trait_default_generator(self.name) == self.default:  # type: ignore[attr-defined]
            if type(value) in _IMMUTABLE:
                known[self.name] = lambda: value  # type: ignore[index]
            elif type(value) in (list, dict) and not value:
                known[self.name] = type(value)  # type: ignore[index]
        return value

    def validate(self, obj: Any, value: Any) -> Any:
        value = super().validate(obj, value)  # type: ignore[misc]
        try:
            if not isinstance(self.expanded, bool):
                templates(value, self.expanded)
            elif self.expanded and not is_overridden(type(obj), *_EXPANSION):  # type: ignore[arg-type]
                templates(value)
            return value if self.check is None else self.check(value)
        except Wrong as e:
            raise _error(obj, self.name, value, e) from e


def _error(obj: HasTraits, name: str | None, value: Any, wrong: Wrong) -> TraitError:
    shown = repr(wrong.part[0] if wrong.part else value)
    if len(shown) > _REPR_LIMIT:
        shown = f"{shown[:_REPR_LIMIT]}..."
    return TraitError(f"{type(obj).__name__}.{name}{wrong.where} is {shown}: {wrong.expected}")


@lru_cache(maxsize=64)
def _defaults_of(cls: type) -> dict[str, Function[[], Any]]:
    """Return what makes the defaults of ``cls`` that are known; filled in as they are asked for."""
    return {}


@lru_cache(maxsize=256)
def is_overridden(cls: type, *names: str) -> bool:
    """Whether one of these methods of ``cls`` is not this package's, but a subclass's."""
    methods = [getattr(cls, name, None) for name in names]
    return any(
        method is not None and not method.__module__.startswith("kubespawner.")
        for method in methods
    )


# Named as the types they are, since traitlets shows the name in its help. Each hands out Any:
# the types that a setting admits are the checks' matter.
if TYPE_CHECKING:

    class _Any(_Checked, traitlets.TraitType[Any, Any]): ...

    Unicode = Integer = Float = Bool = Enum = Dict = List = Union = Callable = _Any
    Command = Memory = PullSecrets = _Any
else:

    class Unicode(_Checked, traitlets.Unicode):
        pass

    class Integer(_Checked, traitlets.Integer):
        pass

    class Float(_Checked, traitlets.Float):
        pass

    class Bool(_Checked, traitlets.Bool):
        pass

    class Enum(_Checked, traitlets.Enum):
        pass

    class Dict(_Checked, traitlets.Dict):
        pass

    class List(_Checked, traitlets.List):
        pass

    class Union(_Checked, traitlets.Union):
        pass

    class Callable(_Checked, jupyterhub.traitlets.Callable):
        pass

    class Command(_Checked, jupyterhub.traitlets.Command):
        pass

    class Memory(_Checked, jupyterhub.traitlets.ByteSpecification):
        """A number of bytes, or a text with one of JupyterHub's suffixes; errors name the trait."""

        info_text = (
            "a number of bytes, or a text with suffix K, M, G or T (powers of 1024), as '1G'"
        )

        def validate(self, obj, value):
            try:
                return super().validate(obj, value)
            except (TraitError, TypeError) as e:
                wrong = Wrong(f"it must be {self.info_text}")
                raise _error(obj, self.name, value, wrong) from e

    class PullSecrets(Union):
        """A list of names and objects; a single name is accepted with a DeprecationWarning."""

        def __init__(self, **kwargs):
            types = [traitlets.List(), traitlets.Unicode()]
            super().__init__(types, default_value=[], check=pull_secrets, **kwargs)

        def validate(self, obj, value):
            if value is None or value == "":
                return []
            if isinstance(value, str):
                warnings.warn(
                    f"{type(obj).__name__}.{self.name} as a string is deprecated since 0.14, "
                    f"use the list [{{'name': {value!r}}}]",
                    DeprecationWarning,
                    stacklevel=2,
                )
                value = [{"name": value}]
            return super().validate(obj, value)


def list_or_dict(help: str, *, check: Check | None = None, expanded: bool = False) -> Any:
    """Return a trait that is a list, or a dict whose values (by sorted key) form the list."""
    return Union(
        [traitlets.List(), traitlets.Dict()],
        check=check,
        expanded=expanded,
        help=f"""{help}

        A list, or a dict whose values form the list, in the order of its sorted keys; the keys
        are not sent to Kubernetes. With a dict, profiles and further configuration files can
        change or remove (`None`) single entries.
        """,
    )
