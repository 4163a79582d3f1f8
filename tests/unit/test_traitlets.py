"""The trait type of earlier versions."""

from __future__ import annotations

import pytest
from traitlets import HasTraits, TraitError

from kubespawner.traitlets import Callable


class CallMe:
    def __call__(self):
        return 1


class Owner(HasTraits):
    hook = Callable(None, True, help="What to call.", config=True)
    needed = Callable(print)
    fixed = Callable(default_value=len, read_only=True)


@pytest.mark.parametrize("value", [print, lambda: 1, CallMe, CallMe(), "".join])
def test_accepts_what_can_be_called(value):
    owner = Owner(hook=value)
    assert owner.hook is value


@pytest.mark.parametrize("value", ["print", 1, {}, CallMe().__dict__])
def test_refuses_what_cannot(value):
    with pytest.raises(TraitError, match="a callable"):
        Owner(hook=value)


def test_none_only_where_allowed():
    assert Owner(hook=None).hook is None
    with pytest.raises(TraitError):
        Owner(needed=None)


def test_arguments_are_those_of_any_trait():
    owner = Owner()
    assert owner.needed is print
    assert owner.trait_metadata("hook", "config") is True
    assert Owner.hook.help == "What to call."
    with pytest.raises(TraitError, match="read-only"):
        owner.fixed = print
