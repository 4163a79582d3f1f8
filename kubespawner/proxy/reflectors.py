"""Live copies of the objects that routes are made of; ``needs`` says what the cluster has to have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..reflector import NamespacedResourceReflector
from .gatewayapi import custom_resource


class IngressReflector(NamespacedResourceReflector):
    """Watches ingresses (networking.k8s.io/v1)."""

    kind = "ingresses"
    needs = "Kubernetes 1.19 or newer is needed"
    api_group_name = "NetworkingV1Api"

    @property
    def ingresses(self) -> Mapping[str, dict[str, Any]]:
        """Mapping of ``namespace/name`` to the Ingress as a plain dict (API JSON)."""
        return self.resources


class HTTPRouteReflector(NamespacedResourceReflector):
    """Watches HTTPRoutes (gateway.networking.k8s.io/v1)."""

    kind = "httproutes"
    needs = (
        "the custom resource definitions of the Gateway API (gateway.networking.k8s.io/v1, "
        "version 1.0 or newer) have to be installed, and a controller: "
        "https://gateway-api.sigs.k8s.io/guides/getting-started/"
    )
    api_group_name = "CustomObjectsApi"
    list_method_name = "list_namespaced_custom_object"
    list_arguments = custom_resource("http_route")

    @property
    def routes(self) -> Mapping[str, dict[str, Any]]:
        """Mapping of ``namespace/name`` to the HTTPRoute as a plain dict (API JSON)."""
        return self.resources


class ServiceReflector(NamespacedResourceReflector):
    """Watches services."""

    kind = "services"
    needs = "is this address a Kubernetes API server's?"

    @property
    def services(self) -> Mapping[str, dict[str, Any]]:
        """Mapping of ``namespace/name`` to the Service as a plain dict (API JSON)."""
        return self.resources


class EndpointsReflector(NamespacedResourceReflector):
    """Watches endpoint slices (discovery.k8s.io/v1), which replace Endpoints.

    https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
    """

    kind = "endpointslices"
    needs = "Kubernetes 1.21 or newer is needed (discovery.k8s.io/v1)"
    api_group_name = "DiscoveryV1Api"
    list_method_name = "list_namespaced_endpoint_slice"

    @property
    def endpoints(self) -> Mapping[str, dict[str, Any]]:
        """Mapping of ``namespace/name`` to the EndpointSlice as a plain dict (API JSON)."""
        return self.resources
