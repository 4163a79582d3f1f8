"""Settings: names and namespaces."""

from __future__ import annotations

from typing import Any

from traitlets import Bool, Dict, Enum, HasTraits, Unicode, default, validate

from ..hubplace import hub_namespace
from ..slugs import is_valid_label
from ._common import check_labels, check_template, fail


class NamesConfig(HasTraits):
    """How objects are named, and where they live."""

    namespace = Unicode(
        config=True,
        help="""Namespace of pods, claims, secrets and services.

        Default: the namespace that the hub itself runs in, else `default`. A profile may
        override it.
        """,
    )
    enable_user_namespaces = Bool(
        False,
        config=True,
        help="""Give each user a namespace of their own, created when their first server starts.

        The hub then needs a ClusterRole.
        """,
    )
    user_namespace_template = Unicode(
        "{hubnamespace}-{username}",
        config=True,
        help="""Template of the user's namespace with `enable_user_namespaces`. Expanded.

        `{hubnamespace}` is the hub's own namespace; `default` is shown as `user`.
        """,
    )
    user_namespace_labels = Dict(
        config=True, help="Labels of users' namespaces, set when they are created. Expanded."
    )
    user_namespace_annotations = Dict(
        config=True, help="Annotations of users' namespaces, set at creation. Expanded."
    )
    slug_scheme = Enum(
        ["safe", "escape"],
        default_value="safe",
        config=True,
        help="""How `{username}`, `{servername}` and `{user_server}` are rendered.

        `safe` gives readable names that are valid everywhere; `escape` is the rule of versions
        before 7.
        """,
    )
    pod_name_template = Unicode(
        "jupyter-{user_server}",
        config=True,
        help="""Template of the pod's name. Expanded; the result must be unique per server.""",
    )
    dns_name_template = Unicode(
        "{name}.{namespace}.svc.cluster.local",
        config=True,
        help="""Template of the DNS name under which a server's Service is reached.

        Fields: `{name}`, the pod's name, and `{namespace}`.
        """,
    )
    pvc_name_template = Unicode(
        "claim-{user_server}",
        config=True,
        help="""Template of the claim's name. Expanded.

        With `{username}` instead of `{user_server}` all servers of a user share one claim.
        """,
    )
    secret_name_template = Unicode(
        "{pod_name}", config=True, help="Template of the TLS secret's name. Expanded."
    )
    component_label = Unicode(
        "singleuser-server",
        config=True,
        help="""Value of the labels `component` and `app.kubernetes.io/component` of pods.

        The hub finds its pods by it: two hubs in one namespace need different values.
        """,
    )
    handle_legacy_names = Bool(
        True,
        config=True,
        help="Look for a user's claim under its name of versions before 7 while none is known.",
    )

    @default("namespace")
    def _namespace_default(self) -> str:
        return hub_namespace()

    @validate(
        "user_namespace_template", "pod_name_template", "pvc_name_template", "secret_name_template"
    )
    def _check_name_templates(self, proposal: Any) -> Any:
        if not proposal.value:
            raise fail(self, proposal.trait.name, proposal.value, "it must not be empty")
        return check_template(self, proposal.trait.name, proposal.value)

    @validate("dns_name_template")
    def _check_dns_name_template(self, proposal: Any) -> Any:
        return check_template(self, "dns_name_template", proposal.value, {"name", "namespace"})

    @validate("user_namespace_labels", "user_namespace_annotations")
    def _check_namespace_metadata(self, proposal: Any) -> Any:
        name = proposal.trait.name
        check_labels(self, name, proposal.value, values=name.endswith("labels"))
        return check_template(self, name, proposal.value)

    @validate("component_label")
    def _check_component_label(self, proposal: Any) -> Any:
        if not proposal.value or not is_valid_label(proposal.value):
            raise fail(self, "component_label", proposal.value, "it must be a valid label value")
        return proposal.value
