"""Routes as Ingresses."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
from jupyterhub.proxy import Proxy
from kubernetes_asyncio.client import ApiException

from ..clients import shared_client
from ..failures import explained
from ..kube.requests import told
from ..kube.timing import within
from ..routes import make_ingress
from .base import RouteProxy
from .marks import ROUTESPEC
from .objects import Item, RouteObjects
from .reflectors import IngressReflector
from .settings import IngressConfig, expand


class KubeIngressProxy(IngressConfig, RouteProxy, Proxy):
    """A JupyterHub proxy whose routes are Ingresses, for any spawner.

    Construct inside a running event loop; its watches start there.

    Raises:
        traitlets.TraitError, ConfigurationError: a setting is wrong, or does not exist.
    """

    _route_kind = "Ingress"

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._class_checked = not self.ingress_class_name

    def _make_routes(self) -> RouteObjects:
        self.networking_api = shared_client("NetworkingV1Api")
        self.ingress_reflector = self._reflector(IngressReflector)
        return self._objects("ingress", self.networking_api, self.ingress_reflector)

    def _manifests(
        self, routespec: str, target: str, data: Mapping[str, Any]
    ) -> tuple[Item | None, Item | None, Item]:
        fields = self._fields(routespec, data)
        endpoints, service, ingress = make_ingress(
            fields["routespec"].lower(),
            self._url(routespec),
            target,
            data,
            self.namespace,
            common_labels=self._labels(fields),
            ingress_extra_labels=self._expanded("ingress_extra_labels", fields),
            ingress_extra_annotations=expand(self.ingress_extra_annotations, fields),
            ingress_class_name=self.ingress_class_name,
            ingress_specifications=expand(self.ingress_specifications, fields),
            reuse_existing_services=self.reuse_existing_services,
        )
        for model in (service, ingress):
            if model is not None:
                model.metadata.annotations[ROUTESPEC] = routespec
        slice_ = None
        if endpoints is not None and service is not None:
            slice_ = self._slice_of(service, target)
        route = self._plain(ingress)
        # Named even if there is none: routes of earlier versions have no record of it.
        route["spec"].setdefault("tls", [])
        return slice_, self._plain(service), route

    async def _check_cluster(self) -> None:
        """Warn, once, of an IngressClass that does not exist: no controller would serve it."""
        if self._class_checked:
            return
        try:
            await within(
                self.networking_api.read_ingress_class(self.ingress_class_name),
                self.k8s_api_request_timeout,
            )
        except ApiException as e:
            if e.status == 404:
                self.log.warning(
                    "%s.ingress_class_name is %r; there is no such IngressClass",
                    type(self).__name__,
                    self.ingress_class_name,
                )
            else:
                # The Role need not allow it.
                self.log.info("Whether the IngressClass exists is not known: %s", explained(e))
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as e:
            self.log.debug("Whether the IngressClass exists is asked again: %s", told(e))
            return
        self._class_checked = True
