"""Settings: users, groups, privileges and the service account of the pod."""

from __future__ import annotations

from typing import Any

from jupyterhub.traitlets import Callable
from traitlets import Bool, Dict, HasTraits, Integer, List, Unicode, Union, validate

from ._common import check_context, check_template, fail

_CALLABLE = "A callable gets the spawner and returns the value, possibly awaitable."


class SecurityConfig(HasTraits):
    """As whom the server runs, and what it may do.

    https://kubernetes.io/docs/tasks/configure-pod-container/security-context/
    """

    uid = Union(
        [Integer(), Callable()],
        default_value=None,
        allow_none=True,
        config=True,
        help=f"""User ID of the notebook container's processes; `None`: the image's. {_CALLABLE}""",
    )
    gid = Union(
        [Integer(), Callable()],
        default_value=None,
        allow_none=True,
        config=True,
        help=f"""Primary group ID of the notebook container; `None`: the image's. {_CALLABLE}""",
    )
    fs_gid = Union(
        [Integer(), Callable()],
        default_value=None,
        allow_none=True,
        config=True,
        help=f"""Group that owns the files of mounted volumes (`fsGroup`). {_CALLABLE}""",
    )
    supplemental_gids = Union(
        [List(), Callable()],
        config=True,
        help=f"""Further groups of all processes in the pod. {_CALLABLE}""",
    )
    privileged = Bool(
        False,
        config=True,
        help="""Run the notebook container privileged: with all rights of the machine's root.""",
    )
    allow_privilege_escalation = Bool(
        False,
        allow_none=True,
        config=True,
        help="""Whether processes may gain more rights than their parent, as with `sudo`.

        `None` leaves it to the cluster.
        """,
    )
    container_security_context = Union(
        [Dict(), Callable()],
        default_value={},
        config=True,
        help=f"""Security context of the notebook container, camelCase; wins over `uid`, `gid`,
        `privileged` and `allow_privilege_escalation` key by key. {_CALLABLE}""",
    )
    pod_security_context = Union(
        [Dict(), Callable()],
        default_value={},
        config=True,
        help=f"""Security context of the pod, camelCase; wins over `fs_gid` and
        `supplemental_gids` key by key. {_CALLABLE}""",
    )
    service_account = Unicode(
        None,
        allow_none=True,
        config=True,
        help="""Service account of the pod. Expanded.

        `None`: the namespace's default account, whose token is not mounted. Mind that users can
        do in the cluster whatever the account may.
        """,
    )
    automount_service_account_token = Bool(
        None,
        allow_none=True,
        config=True,
        help="""Whether the service account's token is mounted into the pod.

        `None`: not without `service_account`; with one, what the cluster says.
        """,
    )

    @validate("container_security_context", "pod_security_context")
    def _check_contexts(self, proposal: Any) -> Any:
        return check_context(self, proposal.trait.name, proposal.value)

    @validate("service_account")
    def _check_service_account(self, proposal: Any) -> Any:
        return check_template(self, "service_account", proposal.value)

    @validate("uid", "gid", "fs_gid")
    def _check_ids(self, proposal: Any) -> Any:
        if isinstance(proposal.value, int) and not 0 <= proposal.value < 2**31:
            raise fail(self, proposal.trait.name, proposal.value, "it must be from 0 to 2147483647")
        return proposal.value
