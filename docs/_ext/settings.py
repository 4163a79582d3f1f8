"""``{setting}``: a setting as something to describe and to refer to.

```{setting} KubeSpawner.image
What it does.
```

See {setting}`KubeSpawner.image`.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.std import GenericObject
from sphinx.transforms import SphinxTransform


class Setting(GenericObject):
    """Describes one setting; its argument is ``Section.name``."""

    indextemplate = "pair: %s; setting"

    @staticmethod
    def parse_node(env: Any, sig: str, signode: addnodes.desc_signature) -> str:
        section, _, name = sig.rpartition(".")
        signode += addnodes.desc_addname("", f"{section}.")
        signode += addnodes.desc_name("", name)
        return sig

    def _object_hierarchy_parts(self, sig_node: addnodes.desc_signature) -> tuple[str, ...]:
        return tuple(sig_node.astext().split("."))

    def _toc_entry_name(self, sig_node: addnodes.desc_signature) -> str:
        return sig_node.astext().rpartition(".")[2]


class LinkSettings(SphinxTransform):
    """Links ``KubeSpawner.image`` in code, wherever it is written, to its description."""

    default_priority = 400

    def apply(self, **_: Any) -> None:
        known = self.app.config.settings_names
        for literal in list(self.document.findall(nodes.literal)):
            text = literal.astext()
            if text not in known or isinstance(
                literal.parent, (addnodes.pending_xref, nodes.reference)
            ):
                continue
            link = addnodes.pending_xref(
                "",
                refdomain="std",
                reftype="setting",
                reftarget=text,
                refexplicit=True,
                refwarn=True,
                refdoc=self.env.docname,
            )
            literal.replace_self(link)
            link += literal


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_object_type("setting", "setting", "pair: %s; setting", Setting.parse_node)
    # `add_object_type` makes a directive of its own; this one has a place in the page's contents.
    app.add_directive_to_domain("std", "setting", Setting, override=True)
    app.add_config_value("settings_names", frozenset(), "env", types=[frozenset])
    app.add_transform(LinkSettings)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
