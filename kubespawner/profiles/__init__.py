"""What a user may choose: normalised, checked, validated, and turned into overrides.

Pure: plain data in, plain data out; independent of HTML and of JupyterHub. The rooms:
:mod:`.shape` (the list as a program wants it), :mod:`.mistakes` (what the administrator got
wrong), :mod:`.choices` (what the user chose), :mod:`.overrides` (which settings that means).
"""

from __future__ import annotations

from .choices import (
    InvalidChoice,
    Selection,
    chosen,
    matches_whole,
    parsed_form,
    profile_named,
    still_valid,
    unknown_options,
)
from .mistakes import mistakes, unknown_keys
from .overrides import Filled, as_template, overrides_of
from .shape import (
    UNLISTED,
    UNLISTED_SUFFIX,
    InvalidProfiles,
    Profile,
    as_list,
    copied,
    normalised,
    permitted,
)

__all__ = [
    "UNLISTED",
    "UNLISTED_SUFFIX",
    "Filled",
    "InvalidChoice",
    "InvalidProfiles",
    "Profile",
    "Selection",
    "as_list",
    "as_template",
    "chosen",
    "copied",
    "matches_whole",
    "mistakes",
    "normalised",
    "overrides_of",
    "parsed_form",
    "permitted",
    "profile_named",
    "still_valid",
    "unknown_keys",
    "unknown_options",
]
