"""Settings: what users may choose."""

from __future__ import annotations

import traitlets
from jupyterhub.traitlets import Callable
from traitlets import HasTraits

from . import _checks as checks
from ._types import Float, Integer, List, Unicode, Union


class ProfilesConfig(HasTraits):
    """What users may choose before their server starts."""

    profile_list = Union(
        [traitlets.List(traitlets.Dict()), Callable(), traitlets.Dict()],
        default_value=[],
        help="""Profiles for users to choose from; empty (the default): no choice.

        A list of dicts; a dict of them, in the order of its sorted keys; or a callable, possibly
        async, that gets the spawner and returns either, for each page and each spawn. Keys of a
        profile:

        - `display_name`: heading (HTML)
        - `description`: paragraph below it (HTML)
        - `slug`: identifier in form and API; made from `display_name` if missing
        - `default`: whether it is preselected, and used where nothing is chosen; else the first
        - `kubespawner_override`: settings of KubeSpawner and their values. Dicts are merged with
          the configured ones (`None` removes a key), other values replace them. A callable,
          possibly async, gets the spawner and returns the value
        - `profile_options`: further choices: key of the option to a dict with `display_name` and
          `choices` (key of the choice to `display_name`, `default`, `kubespawner_override`)
          and/or `unlisted_choice` for free text (`enabled`, `display_name`,
          `display_name_in_choices`, `validation_regex`, `validation_message`,
          `kubespawner_override`, in which `{value}` stands for the text, and `default`)

        Beyond the keys of versions before 8:

        - `allowed_groups` of a profile, option, choice or free text: names of groups, of which a
          user must be in one; `allowed`: a bool, or a callable that gets the spawner
        - `show_if` of an option: `{other_option: value}` or `{other_option: [values]}`, for an
          option that counts only if another one has such a value
        - `number` of an option, instead of choices: `{"max": …, "min": 0, "step": …,
          "default": …, "unit": "GB", "kubespawner_override": {…}}`, checked by the hub; a bare
          `"{value}"` becomes the number itself

        Example::

            c.KubeSpawner.profile_list = [
                {"display_name": "Small", "slug": "small", "default": True},
                {
                    "display_name": "Large",
                    "slug": "large",
                    "description": "8 GB of memory",
                    "kubespawner_override": {"mem_guarantee": "8G", "mem_limit": "8G"},
                    "profile_options": {
                        "image": {
                            "display_name": "Image",
                            "choices": {
                                "minimal": {
                                    "display_name": "Minimal",
                                    "kubespawner_override": {
                                        "image": "quay.io/jupyter/minimal-notebook:2024-10-07"
                                    },
                                },
                            },
                            "unlisted_choice": {
                                "enabled": True,
                                "validation_regex": "^quay.io/jupyter/.+:.+$",
                                "validation_message": "An image of quay.io/jupyter with a tag",
                                "kubespawner_override": {"image": "{value}"},
                            },
                        }
                    },
                },
            ]
        """,
    )
    profile_form_template = Unicode(
        "",
        check=checks.jinja_template,
        help="""Jinja2 template of the form, as text; wins over templates in files.

        It gets `profile_list` (complete: with `slug`, `default` and `unlisted_choice`
        everywhere) and `user_options` (those of the last spawn).
        """,
    )
    additional_profile_form_template_paths = List(
        traitlets.Unicode(),
        help="""Directories to search for `form.html` and `style.css` before the packaged ones.""",
    )
    profile_text_limit = Integer(
        1000,
        check=checks.positive,
        help="""Characters that a free text (`unlisted_choice`) may have at most.""",
    )
    profile_list_timeout = Float(
        30.0,
        check=checks.positive,
        help="""Seconds that a callable `profile_list` may take; then page or spawn fails.""",
    )
