"""Settings: processor, memory and other resources."""

from __future__ import annotations

from traitlets import HasTraits

from . import _checks as checks
from ._types import Dict, Float, Memory

_MEMORY = """A number of bytes, or a text with one of JupyterHub's suffixes K, M, G, T (powers of
        1024): `"512M"`, `"1.5G"`. `None` (the default) or 0:"""


class ResourcesConfig(HasTraits):
    """What a server gets at least, and what it may use at most.

    https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
    """

    cpu_limit = Float(
        None,
        allow_none=True,
        check=checks.not_negative,
        help="""Processors that a server may use at most; it is slowed down there.

        0.5 is half a processor. `None` (the default) or 0: no limit, but for one that the
        namespace sets. The server finds it in its environment as `CPU_LIMIT`.
        """,
    )
    cpu_guarantee = Float(
        None,
        allow_none=True,
        check=checks.not_negative,
        help="""Processors that are reserved for a server on its node.

        `None` (the default) or 0: none (or `cpu_limit`, by Kubernetes' rule, if that is set). The
        server finds it in its environment as `CPU_GUARANTEE`.
        """,
    )
    mem_limit = Memory(
        None,
        allow_none=True,
        check=checks.not_negative,
        help=f"""Memory that a server may use at most; a process that wants more is killed.

        {_MEMORY} no limit, but for one that the namespace sets. The server finds the bytes in
        its environment as `MEM_LIMIT`.
        """,
    )
    mem_guarantee = Memory(
        None,
        allow_none=True,
        check=checks.not_negative,
        help=f"""Memory that is reserved for a server on its node.

        {_MEMORY} none (or `mem_limit`, by Kubernetes' rule, if that is set). The server finds the
        bytes in its environment as `MEM_GUARANTEE`.
        """,
    )
    extra_resource_limits = Dict(
        check=checks.quantities,
        help="""Limits of further resources, such as GPUs: name to quantity. Not expanded.

        They win over `cpu_limit` and `mem_limit` (as `cpu` and `memory`). Example::

            c.KubeSpawner.extra_resource_limits = {"nvidia.com/gpu": "1"}

        https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/
        """,
    )
    extra_resource_guarantees = Dict(
        check=checks.quantities,
        help="""Guarantees (requests) of further resources: name to quantity. Not expanded.

        They win over `cpu_guarantee` and `mem_guarantee` (as `cpu` and `memory`). Example::

            c.KubeSpawner.extra_resource_guarantees = {"ephemeral-storage": "2Gi"}
        """,
    )
