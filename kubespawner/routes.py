"""A route of JupyterHub's proxy as Kubernetes objects."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlparse

from kubernetes_asyncio.client.models import (
    CoreV1EndpointPort,
    DiscoveryV1EndpointPort,
    V1Endpoint,
    V1EndpointAddress,
    V1Endpoints,
    V1EndpointSlice,
    V1EndpointSubset,
    V1HTTPIngressPath,
    V1HTTPIngressRuleValue,
    V1Ingress,
    V1IngressBackend,
    V1IngressRule,
    V1IngressServiceBackend,
    V1IngressSpec,
    V1IngressTLS,
    V1ObjectMeta,
    V1Service,
    V1ServiceBackendPort,
    V1ServicePort,
    V1ServiceSpec,
)

from .utils import host_matching

# The DNS name of a Service, as far as it is spelled out.
# https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
SERVICE_DNS_PATTERN = re.compile(
    r"(?P<service>[^.]+)"
    r"(?:\.(?P<namespace>[^.]+)(?P<rest>\.svc(?:\.cluster(?:\.local)?)?)?)?$"
)

_PORTS = {"http": 80, "https": 443}


def make_ingress(
    name: str,
    routespec: str,
    target: str,
    data: Mapping[str, Any],
    namespace: str,
    common_labels: Mapping[str, str] | None = None,
    ingress_extra_labels: Mapping[str, str] | None = None,
    ingress_extra_annotations: Mapping[str, str] | None = None,
    ingress_class_name: str | None = None,
    ingress_specifications: Iterable[Mapping[str, str]] | None = None,
    reuse_existing_services: bool = False,
) -> tuple[V1Endpoints | None, V1Service | None, V1Ingress]:
    """Return endpoints, Service and Ingress of one route.

    Args:
        routespec: path (`/user/x/`) or URL (`//host/path/`).
        target: URL of the backend; without a port, that of its scheme.
        data: the route's data, kept as JSON in an annotation.
        namespace: where the objects will live.
        ingress_specifications: hosts to serve, `{"host": …, "tlsSecret": …}`.
        reuse_existing_services: let the Ingress point at a Service of the same namespace.

    Returns:
        Endpoints only for a target that is an IP; no Service where an existing one is used.
    """
    labels = {**(common_labels or {}), "hub.jupyter.org/proxy-route": "true"}
    annotations = {
        "hub.jupyter.org/proxy-data": json.dumps(data),
        "hub.jupyter.org/proxy-routespec": routespec,
        "hub.jupyter.org/proxy-target": target,
    }

    def metadata(extra_labels: Any = None, extra_annotations: Any = None) -> V1ObjectMeta:
        return V1ObjectMeta(
            name=name,
            labels={**labels, **(extra_labels or {})},
            annotations={**annotations, **(extra_annotations or {})},
        )

    backend = urlparse(target)
    host = backend.hostname or ""
    port = backend.port or _PORTS.get(backend.scheme, 80)
    endpoints, service, service_name = _backend(
        host, port, name, namespace, metadata, reuse_existing_services
    )
    route = urlparse(routespec)
    specifications = list(ingress_specifications or [])
    path = V1HTTPIngressPath(
        path=route.path,
        path_type="Prefix",
        backend=V1IngressBackend(
            service=V1IngressServiceBackend(
                name=service_name, port=V1ServiceBackendPort(number=port)
            )
        ),
    )
    tls = [
        V1IngressTLS(hosts=[spec["host"]], secret_name=spec["tlsSecret"])
        for spec in specifications
        if "tlsSecret" in spec
    ]
    ingress = V1Ingress(
        kind="Ingress",
        metadata=metadata(ingress_extra_labels, ingress_extra_annotations),
        spec=V1IngressSpec(
            ingress_class_name=ingress_class_name or None,
            rules=[
                V1IngressRule(host=rule_host, http=V1HTTPIngressRuleValue(paths=[path]))
                for rule_host in _hosts(route.hostname, [s["host"] for s in specifications])
            ],
            tls=tls or None,
        ),
    )
    return endpoints, service, ingress


def _backend(
    host: str, port: int, name: str, namespace: str, metadata: Any, reuse: bool
) -> tuple[V1Endpoints | None, V1Service | None, str]:
    """Return endpoints, Service and the name of the Service that the Ingress points at."""
    ports = [V1ServicePort(port=port, target_port=port)]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        match = SERVICE_DNS_PATTERN.match(host)
        if reuse and match and match["namespace"] in (None, namespace):
            return None, None, match["service"]
        spec = V1ServiceSpec(type="ExternalName", external_name=host, cluster_ip="", ports=ports)
        return None, V1Service(kind="Service", metadata=metadata(), spec=spec), name
    endpoints = V1Endpoints(
        kind="Endpoints",
        metadata=metadata(),
        subsets=[
            V1EndpointSubset(
                addresses=[V1EndpointAddress(ip=str(address))],
                ports=[CoreV1EndpointPort(port=port)],
            )
        ],
    )
    spec = V1ServiceSpec(type="ClusterIP", external_name="", ports=ports)
    return endpoints, V1Service(kind="Service", metadata=metadata(), spec=spec), name


def _hosts(route_host: str | None, configured: list[str]) -> list[str | None]:
    """Return the hosts of the rules; a configured host that the route's matches gives way to it."""
    if not route_host:
        return list(dict.fromkeys(configured)) or [None]
    hosts = [route_host if host_matching(route_host, host) else host for host in configured]
    if route_host not in hosts:
        hosts.insert(0, route_host)
    return list(dict.fromkeys(hosts))


def make_endpoint_slice(
    name: str,
    address: str,
    port: int,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> V1EndpointSlice:
    """Return the slice that lets the selector-less Service ``name`` reach one IP address.

    https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
    """
    ip = ipaddress.ip_address(address)
    return V1EndpointSlice(
        api_version="discovery.k8s.io/v1",
        kind="EndpointSlice",
        metadata=V1ObjectMeta(
            name=name,
            labels={**(labels or {}), "kubernetes.io/service-name": name},
            annotations=dict(annotations or {}),
        ),
        address_type=f"IPv{ip.version}",
        endpoints=[V1Endpoint(addresses=[str(ip)])],
        ports=[DiscoveryV1EndpointPort(port=port)],
    )
