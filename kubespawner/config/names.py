"""Settings: names and namespaces."""

from __future__ import annotations

from traitlets import HasTraits, default

from ..hubplace import hub_namespace
from . import _checks as checks
from ._types import Bool, Dict, Enum, Unicode


class NamesConfig(HasTraits):
    """How objects are named, and where they live.

    https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
    """

    namespace = Unicode(
        check=lambda value: value or hub_namespace(),
        help="""Namespace of pods, claims, secrets and services.

        Default: the namespace that the hub itself runs in, or, outside of a cluster, `default`.
        A profile may override it; the hub needs its Role there as well. Ignored with
        `enable_user_namespaces`. Not expanded.
        """,
    )
    enable_user_namespaces = Bool(
        False,
        help="""Give each user a namespace of their own, created when their first server starts.

        It is named by `user_namespace_template` and never deleted by the hub. The hub then
        watches all namespaces, which needs a ClusterRole instead of a Role.
        https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/
        """,
    )
    user_namespace_template = Unicode(
        "{hubnamespace}-{username}",
        check=checks.not_empty,
        expanded=True,
        help="""Name of a user's namespace, with `enable_user_namespaces`. Expanded.

        `{hubnamespace}` is the hub's own namespace, with `default` shown as `user`.
        """,
    )
    user_namespace_labels = Dict(
        check=checks.label_templates,
        expanded=True,
        help="""Labels of users' namespaces, with `enable_user_namespaces`. Values are expanded.

        Set when a namespace is created; existing ones are not changed. Example::

            c.KubeSpawner.user_namespace_labels = {
                "pod-security.kubernetes.io/enforce": "baseline"
            }
        """,
    )
    user_namespace_annotations = Dict(
        check=checks.annotation_texts,
        expanded=True,
        help="""Annotations of users' namespaces, with `enable_user_namespaces`. Values are expanded.

        Set when a namespace is created; existing ones are not changed.
        """,
    )
    slug_scheme = Enum(
        ["safe", "escape"],
        default_value="safe",
        help="""How the fields `{username}`, `{servername}` and `{user_server}` are rendered.

        - `safe` (the default): names that are valid as they are stay; others are simplified and
          get a hash, so that no two users get one name.
        - `escape`: the rule of versions before 7; `-` becomes `-2d`, `@` becomes `-40`. Names can
          be too long or invalid.

        Changing it changes the names of new pods and claims; claims that servers already have
        are kept (`remember_pvc_name`).
        """,
    )
    pod_name_template = Unicode(
        "jupyter-{user_server}",
        check=checks.not_empty,
        expanded=True,
        help="""Name of a server's pod, and of its Service. Expanded.

        It must differ for each server of each user: use `{user_server}`, or `{username}` and
        `{servername}` with text between them. All fields: `{username}`, `{servername}`,
        `{user_server}`, each also with `safe_` or `escaped_` before it; `{unescaped_username}`,
        `{unescaped_servername}`, `{userid}`, `{hubnamespace}`. Further templates also know
        `{pod_name}`, `{pvc_name}` and `{namespace}`. Dashes that the empty name of a default
        server leaves at the end are dropped. A brace that is meant literally is written twice.
        """,
    )
    dns_name_template = Unicode(
        "{name}.{namespace}.svc.cluster.local",
        check=checks.not_empty,
        expanded=("name", "namespace"),
        help="""Name under which a server's Service is reached, with `services_enabled` or TLS.

        Its own two fields: `{name}`, the pod's name, and `{namespace}`. Change it where the
        cluster's domain is not `cluster.local`.
        https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
        """,
    )
    pvc_name_template = Unicode(
        "claim-{user_server}",
        check=checks.not_empty,
        expanded=True,
        help="""Name of a server's claim (PersistentVolumeClaim). Expanded.

        With `claim-{username}` all servers of a user share one. In `volumes`, `{pvc_name}` stands
        for the name. A claim that a server already has is kept (`remember_pvc_name`).
        """,
    )
    secret_name_template = Unicode(
        "{pod_name}",
        check=checks.not_empty,
        expanded=True,
        help="""Name of the secret with a server's certificates, with JupyterHub's `internal_ssl`.

        Expanded.
        """,
    )
    component_label = Unicode(
        "singleuser-server",
        check=checks.label_value,
        help="""Value of the labels `component` and `app.kubernetes.io/component` of pods.

        The hub finds its pods by it: two hubs that use one namespace need different values.
        A change hides the running servers from the hub. Not expanded.
        """,
    )
    handle_legacy_names = Bool(
        True,
        help="""Look for a server's claim under its name of versions before 7, too.

        Only while the server has no claim yet that the hub knows of. Switch it off once no
        server has run before the upgrade.
        """,
    )

    @default("namespace")
    def _namespace_default(self) -> str:
        return hub_namespace()
