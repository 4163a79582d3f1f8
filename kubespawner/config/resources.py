"""Settings: processor, memory and other resources."""

from __future__ import annotations

from typing import Any

from traitlets import Dict, HasTraits, validate

from ._common import check_quantities


class ResourcesConfig(HasTraits):
    """Resources beside JupyterHub's own `cpu_*` and `mem_*`."""

    extra_resource_limits = Dict(
        config=True,
        help="""Further limits, such as `{"nvidia.com/gpu": "1"}`. Not expanded.

        They win over `cpu_limit` and `mem_limit`.
        https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
        """,
    )
    extra_resource_guarantees = Dict(
        config=True,
        help="Further requests; they win over `cpu_guarantee` and `mem_guarantee`. Not expanded.",
    )

    @validate("extra_resource_limits", "extra_resource_guarantees")
    def _check_extra_resources(self, proposal: Any) -> Any:
        return check_quantities(self, proposal.trait.name, proposal.value)
