"""Settings: what users may choose."""

from __future__ import annotations

from typing import Any

from jupyterhub.traitlets import Callable
from traitlets import Dict, Float, HasTraits, Integer, List, Unicode, Union, validate

from ._common import check_not_negative, fail


class ProfilesConfig(HasTraits):
    """What users may choose before their server starts."""

    profile_list = Union(
        [List(Dict()), Dict(), Callable()],
        default_value=[],
        config=True,
        help="""Profiles for users to choose from; empty: no choice.

        A list of dicts, a dict of them (in the order of its sorted keys), or a callable that gets
        the spawner and returns either, possibly awaitable. Keys of a profile:

        - `display_name`: heading (HTML allowed); `description`: below it (HTML allowed)
        - `slug`: identifier; default: made from `display_name`
        - `default`: whether it is preselected; else the first one is
        - `kubespawner_override`: settings of KubeSpawner to override; dicts are merged, and a
          callable gets the spawner and returns the value
        - `profile_options`: further choices: option key to `display_name` and `choices` (choice
          key to `display_name`, `default`, `kubespawner_override`) and/or `unlisted_choice`
          (`enabled`, `display_name`, `display_name_in_choices`, `validation_regex`,
          `validation_message`, `kubespawner_override` with `{value}` for the text typed)
        """,
    )
    profile_form_template = Unicode(
        "",
        config=True,
        help="Jinja2 template of the form, as text; gets `profile_list` and `user_options`.",
    )
    additional_profile_form_template_paths = List(
        Unicode(),
        config=True,
        help="Directories to search for `form.html` and `style.css` before the packaged ones.",
    )
    profile_text_limit = Integer(
        1000, config=True, help="Characters that a user may type into a free text of a profile."
    )
    profile_list_timeout = Float(
        30.0, config=True, help="Seconds that a callable `profile_list` may take."
    )

    @validate("profile_text_limit", "profile_list_timeout")
    def _check_profile_limits(self, proposal: Any) -> Any:
        return check_not_negative(self, proposal.trait.name, proposal.value)

    @validate("profile_form_template")
    def _check_form_template(self, proposal: Any) -> Any:
        from jinja2 import Environment, TemplateSyntaxError

        try:
            Environment().parse(proposal.value)
        except TemplateSyntaxError as e:
            raise fail(self, "profile_form_template", "…", f"line {e.lineno}: {e.message}") from e
        return proposal.value
