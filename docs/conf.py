"""Sphinx configuration. ``make docs`` builds the site without network access."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from kubespawner import __version__

project = "KubeSpawner"
author = "The kubespawner maintainers"
project_copyright = f"2026, {author}"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "settings",
    "from_code",
]
exclude_patterns = ["_build", "_generated", "examples", "images"]

# Every cross-reference must exist; of other projects' types nothing is known without a network.
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
default_role = "code"

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

copybutton_exclude = ".linenos, .gp, .go"
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = f"KubeSpawner {version}"
html_static_path = ["_static"]
html_css_files = ["kubespawner.css"]
html_show_sourcelink = False
# Pages without others beside them need no list of those.
html_sidebars = {
    page: [] for page in ("index", "getting-started", "installing", "upgrading", "changelog")
}
html_theme_options = {
    "logo": {"text": "KubeSpawner"},
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_nav_level": 2,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
