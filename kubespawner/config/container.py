"""Settings: image, command and environment of the notebook container."""

from __future__ import annotations

import warnings
from typing import Any

from jupyterhub.traitlets import Command
from kubernetes_asyncio.client.models import V1Container, V1Lifecycle, V1PodSpec
from traitlets import Dict, HasTraits, Integer, List, Unicode, Union, validate

from ._common import check_keys, check_objects, check_template, fail, list_or_dict


class ContainerConfig(HasTraits):
    """What runs in the pod."""

    image = Unicode(
        "quay.io/jupyterhub/singleuser:latest",
        config=True,
        help="""Image of the notebook container. Not expanded.

        It needs JupyterHub of a version near the hub's. The server finds the name in its
        environment as `JUPYTER_IMAGE` and `JUPYTER_IMAGE_SPEC`.
        """,
    )
    image_pull_policy = Unicode(
        None,
        allow_none=True,
        config=True,
        help="""`Always`, `IfNotPresent` or `Never`.

        `None` leaves it to the cluster: `Always` for the tag `latest`, else `IfNotPresent`.
        https://kubernetes.io/docs/concepts/containers/images/#image-pull-policy
        """,
    )
    image_pull_secrets = Union(
        [List(), Unicode()],
        default_value=[],
        allow_none=True,
        config=True,
        help="""Secrets to pull images with: names, or objects `{"name": …}`.

        https://kubernetes.io/docs/concepts/containers/images/#specifying-imagepullsecrets-on-a-pod
        """,
    )
    cmd = Command(
        None,
        allow_none=True,
        minlen=0,
        config=True,
        help="""Command of the notebook server: the container's *args*; its entrypoint stays.

        `None` starts what the image starts by itself. A text is one word, not split.
        """,
    )
    working_dir = Unicode(
        None,
        allow_none=True,
        config=True,
        help="Working directory of the notebook container. Expanded.",
    )
    ip = Unicode("0.0.0.0", config=True, help="Address that the server binds to in its pod.")
    env_keep = List(
        Unicode(),
        config=True,
        help="""Variables of the hub's own environment to hand to servers; none by default.""",
    )
    init_containers = list_or_dict(
        """Containers that run to their end before the notebook container starts. Expanded.

        https://kubernetes.io/docs/concepts/workloads/pods/init-containers/
        """
    )
    extra_containers = list_or_dict("Containers that run beside the notebook container. Expanded.")
    lifecycle_hooks = Dict(
        config=True,
        help="""Handlers `postStart` and `preStop` of the notebook container. Not expanded.

        https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/
        """,
    )
    extra_container_config = Dict(
        config=True,
        help="""Fields of the notebook container to set or replace as a whole, such as `envFrom`.

        Keys in camelCase or snake_case at the top level, camelCase below. Not expanded.
        """,
    )
    extra_pod_config = Dict(
        config=True,
        help="""Fields of the pod's spec to set or replace as a whole, such as `dnsPolicy`.

        Keys in camelCase or snake_case at the top level, camelCase below. Expanded.
        """,
    )

    @validate("image")
    def _check_image(self, proposal: Any) -> Any:
        if not proposal.value or any(c.isspace() for c in proposal.value):
            raise fail(self, "image", proposal.value, "it must be an image name without spaces")
        return proposal.value

    @validate("image_pull_policy")
    def _check_pull_policy(self, proposal: Any) -> Any:
        if proposal.value not in (None, "", "Always", "IfNotPresent", "Never"):
            raise fail(
                self,
                "image_pull_policy",
                proposal.value,
                "it must be 'Always', 'IfNotPresent', 'Never' or None",
            )
        return proposal.value or None

    @validate("image_pull_secrets")
    def _check_pull_secrets(self, proposal: Any) -> Any:
        secrets = proposal.value
        if not secrets:
            return []
        if isinstance(secrets, str):
            warnings.warn(
                "KubeSpawner.image_pull_secrets as a text is deprecated since 0.14; "
                f"use [{{'name': {secrets!r}}}]",
                DeprecationWarning,
                stacklevel=2,
            )
            return [{"name": secrets}]
        for secret in secrets:
            if not isinstance(secret, str) and not (isinstance(secret, dict) and "name" in secret):
                raise fail(self, "image_pull_secrets", secret, "it must be a name or {'name': …}")
        return secrets

    @validate("working_dir")
    def _check_working_dir(self, proposal: Any) -> Any:
        return check_template(self, "working_dir", proposal.value)

    @validate("port")
    def _check_port(self, proposal: Any) -> Any:
        if not 0 <= proposal.value <= 65535:
            raise fail(self, "port", proposal.value, "it must be from 1 to 65535 (0: 8888)")
        return proposal.value

    port = Integer(0, config=True, help="Port of the server in its pod; 0 stands for 8888.")

    @validate("init_containers", "extra_containers")
    def _check_containers(self, proposal: Any) -> Any:
        name = proposal.trait.name
        check_objects(self, name, proposal.value, V1Container)
        return check_template(self, name, proposal.value)

    @validate("lifecycle_hooks", "extra_container_config", "extra_pod_config")
    def _check_extra_keys(self, proposal: Any) -> Any:
        name = proposal.trait.name
        models = {
            "lifecycle_hooks": V1Lifecycle,
            "extra_container_config": V1Container,
            "extra_pod_config": V1PodSpec,
        }
        check_keys(self, name, proposal.value, models[name])
        if name == "extra_pod_config":
            check_template(self, name, proposal.value)
        return proposal.value
