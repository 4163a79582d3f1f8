"""Settings: users, groups, privileges and the service account of the pod."""

from __future__ import annotations

import traitlets
from jupyterhub.traitlets import Callable
from traitlets import HasTraits

from . import _checks as checks
from ._types import Bool, Enum, Unicode, Union

_CALLABLE = "Or a callable, possibly async, that gets the spawner and returns it."


class SecurityConfig(HasTraits):
    """As whom the server runs, and what it may do.

    https://kubernetes.io/docs/tasks/configure-pod-container/security-context/
    """

    pod_security = Enum(
        ["", "baseline", "restricted"],
        default_value="",
        help="""Which level of the Pod Security Standards every pod is to meet.

        - `""` (the default): none in particular; the cluster may still ask for one.
        - `baseline`: nothing that gives rights on the node.
        - `restricted`: beyond that, processes that are not root (`runAsNonRoot`), the runtime's
          seccomp profile, all capabilities dropped and no way to more privileges. This is set
          for the notebook, init and extra containers wherever they say nothing themselves. An
          image that runs as root must be told another user: by `uid`, and for the other
          containers by `runAsUser` in their `securityContext`.

        A pod that does not meet the level is not created: the start fails with a message that
        names the setting (or `modify_pod_hook`, `extra_pod_config`) at fault. With either level
        the namespace can have the label `pod-security.kubernetes.io/enforce`.
        https://kubernetes.io/docs/concepts/security/pod-security-standards/
        """,
    )
    uid = Union(
        [traitlets.Integer(), Callable()],
        default_value=None,
        allow_none=True,
        check=checks.unix_id,
        help=f"""User ID of the notebook container's processes (`runAsUser`).

        `None` (the default): the image's. 0 is root. {_CALLABLE}
        """,
    )
    gid = Union(
        [traitlets.Integer(), Callable()],
        default_value=None,
        allow_none=True,
        check=checks.unix_id,
        help=f"""Primary group ID of the notebook container's processes (`runAsGroup`).

        `None` (the default): the image's. {_CALLABLE}
        """,
    )
    fs_gid = Union(
        [traitlets.Integer(), Callable()],
        default_value=None,
        allow_none=True,
        check=checks.unix_id,
        help=f"""Group ID that owns the files of mounted volumes (`fsGroup`).

        `None` (the default): as the volume has it. {_CALLABLE} Where `uid` may not write to a
        fresh volume, this is the setting that helps.
        """,
    )
    supplemental_gids = Union(
        [traitlets.List(), Callable()],
        check=checks.unix_ids,
        help=f"""Further group IDs of all processes in the pod (`supplementalGroups`): a list.

        {_CALLABLE}
        """,
    )
    privileged = Bool(
        False,
        help="""Run the notebook container privileged: with all rights of root on the node.

        https://kubernetes.io/docs/concepts/security/pod-security-standards/
        """,
    )
    allow_privilege_escalation = Bool(
        False,
        allow_none=True,
        help="""Whether processes may gain more rights than their parent, as `sudo` does.

        `None` leaves it to the cluster, which allows it. With `privileged`, it is left out
        unless it is set.
        """,
    )
    container_security_context = Union(
        [traitlets.Dict(), Callable()],
        default_value={},
        check=checks.security_context,
        help=f"""Security context of the notebook container: a dict with camelCase keys.

        It wins over `uid`, `gid`, `privileged` and `allow_privilege_escalation` key by key.
        {_CALLABLE} Not expanded. Example::

            c.KubeSpawner.container_security_context = {{"capabilities": {{"drop": ["ALL"]}}}}

        https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#security-context-1
        """,
    )
    pod_security_context = Union(
        [traitlets.Dict(), Callable()],
        default_value={},
        check=checks.security_context,
        help=f"""Security context of the pod: a dict with camelCase keys.

        It wins over `fs_gid` and `supplemental_gids` key by key. {_CALLABLE} Not expanded.
        Example::

            c.KubeSpawner.pod_security_context = {{"fsGroupChangePolicy": "OnRootMismatch"}}

        https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#security-context
        """,
    )
    block_cloud_metadata = Bool(
        False,
        help="""Keep pods away from the cloud's metadata service, by a NetworkPolicy.

        Before a start the hub makes sure that the server's namespace has a policy for pods with
        its `component_label`: everything may be reached but the addresses at which clouds hand
        out the credentials of a machine. Nothing privileged is needed in the pod; the network
        plugin of the cluster must enforce policies of egress.

        Policies add up: leave this off where another one already says what pods may reach, since
        this one would allow them more. An existing policy of the name is not changed. The start
        fails if the policy can't be made.
        https://kubernetes.io/docs/concepts/services-networking/network-policies/
        """,
    )
    service_account = Unicode(
        None,
        allow_none=True,
        expanded=True,
        help="""Service account of the pod. Expanded.

        `None` (the default): the namespace's default account, whose token is not mounted. Users
        can do in the cluster whatever the account of their pod may.
        https://kubernetes.io/docs/concepts/security/service-accounts/
        """,
    )
    automount_service_account_token = Bool(
        None,
        allow_none=True,
        help="""Whether the service account's token is mounted into the pod.

        `None` (the default): not without `service_account`; with one, as the account says.
        """,
    )
