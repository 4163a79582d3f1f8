"""Settings: image, command, environment and further containers."""

from __future__ import annotations

import traitlets
from kubernetes_asyncio.client.models import V1Container, V1PodSpec
from traitlets import HasTraits

from . import _checks as checks
from ._types import Command, Dict, Integer, List, PullSecrets, Unicode, list_or_dict


class ContainerConfig(HasTraits):
    """What runs in the pod.

    https://kubernetes.io/docs/concepts/workloads/pods/
    """

    image = Unicode(
        "quay.io/jupyterhub/singleuser:latest",
        check=checks.image,
        help="""Image of the notebook container. Not expanded.

        It must have JupyterHub installed, of the hub's version or near it. A fixed tag instead
        of `latest` makes spawns quick and repeatable. The server finds the name in its
        environment as `JUPYTER_IMAGE` and `JUPYTER_IMAGE_SPEC`.
        https://kubernetes.io/docs/concepts/containers/images/
        """,
    )
    image_pull_policy = Unicode(
        None,
        allow_none=True,
        check=checks.one_of("Always", "IfNotPresent", "Never"),
        help="""When a node pulls the image: `Always`, `IfNotPresent` or `Never`.

        `None` (the default) leaves it to the cluster: `Always` for the tag `latest`, else
        `IfNotPresent`.
        https://kubernetes.io/docs/concepts/containers/images/#image-pull-policy
        """,
    )
    image_pull_secrets = PullSecrets(
        help="""Secrets to pull images with: names, or objects `{"name": "my-secret"}`.

        They must exist in the pod's namespace. Not expanded. DEPRECATED since 0.14: a single
        name as a string.
        https://kubernetes.io/docs/concepts/containers/images/#specifying-imagepullsecrets-on-a-pod
        """,
    )
    cmd = Command(
        None,
        allow_none=True,
        minlen=0,
        help="""Command of the notebook server, such as `["jupyterhub-singleuser"]`. Not expanded.

        It becomes the container's *args*, so that the image's entrypoint runs first; `args`
        is appended. A string is one word, it is not split. `None` (the default) starts what
        the image starts by itself; `args` is ignored then.
        https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/
        """,
    )
    args = List(
        traitlets.Unicode(),
        help="""Arguments that follow `cmd`. Not expanded.

        Ignored, with a warning, without `cmd`: they would replace the command of the image.
        """,
    )
    working_dir = Unicode(
        None,
        allow_none=True,
        expanded=True,
        help="""Directory in which the notebook container's command starts. Expanded.

        `None` (the default): the image's.
        """,
    )
    environment = Dict(
        check=checks.environment,
        expanded=True,
        help="""Environment variables of the notebook container, beside those of JupyterHub.

        A value is a text, which is expanded (double a brace that is meant literally: `{{`); a
        number; a callable that gets the spawner and returns the text, which is not expanded; or
        an EnvVar object such as
        `{"valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}}`. `$(OTHER)` refers to
        another variable. They win over JupyterHub's own.
        https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
        """,
    )
    env_keep = List(
        traitlets.Unicode(),
        help="""Names of variables of the hub's own environment to hand on to servers.

        None by default: the hub's environment holds its secrets.
        """,
    )
    ip = Unicode(
        "0.0.0.0",
        help="""Address that the server listens on in its pod.

        `0.0.0.0` (the default): all of IPv4. `::` or empty: IPv6, where the cluster needs it.
        """,
    )
    port = Integer(
        0,
        check=checks.port,
        help="""Port that the server listens on in its pod; 0 (the default) stands for 8888.""",
    )
    init_containers = list_or_dict(
        """Containers that run to their end, one by one, before the notebook container starts.

        Container objects. Expanded. Example, for the permissions of a fresh volume::

            c.KubeSpawner.init_containers = [{
                "name": "chown", "image": "busybox:1", "command": ["chown", "1000", "/home/jovyan"],
                "volumeMounts": [{"name": "home", "mountPath": "/home/jovyan"}],
            }]

        https://kubernetes.io/docs/concepts/workloads/pods/init-containers/
        """,
        check=checks.objects_of(V1Container, required=["name"]),
        expanded=True,
    )
    extra_containers = list_or_dict(
        """Containers that run beside the notebook container in the pod.

        Container objects. Expanded.
        https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#Container
        """,
        check=checks.objects_of(V1Container, required=["name"]),
        expanded=True,
    )
    lifecycle_hooks = Dict(
        check=checks.lifecycle_hooks,
        help="""What runs in the notebook container after its start and before its end.

        Keys `postStart` and `preStop`, with a handler each. Not expanded. Example::

            c.KubeSpawner.lifecycle_hooks = {
                "postStart": {"exec": {"command": ["/bin/sh", "-c", "cp -n /seed/* ~"]}}
            }

        https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/
        """,
    )
    extra_container_config = Dict(
        check=checks.fields_of(V1Container),
        help="""Fields of the notebook container for which there is no setting. Not expanded.

        A field replaces what is there as a whole. Keys are camelCase or snake_case at the top
        level, camelCase below. Example::

            c.KubeSpawner.extra_container_config = {
                "envFrom": [{"configMapRef": {"name": "special-config"}}]
            }

        https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#Container
        """,
    )
    extra_pod_config = Dict(
        check=checks.fields_of(V1PodSpec),
        expanded=True,
        help="""Fields of the pod's spec for which there is no setting. Expanded.

        A field replaces what is there as a whole. Keys are camelCase or snake_case at the top
        level, camelCase below. Example::

            c.KubeSpawner.extra_pod_config = {"terminationGracePeriodSeconds": 60}

        https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#PodSpec
        """,
    )
