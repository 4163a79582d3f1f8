"""A route of JupyterHub's proxy as Kubernetes objects."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlparse

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
    metadata = _metadata_of(name, routespec, target, data, common_labels)
    host, port = _host_and_port(target)
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


def _metadata_of(
    name: str,
    routespec: str,
    target: str,
    data: Mapping[str, Any],
    common_labels: Mapping[str, str] | None,
) -> Callable[..., V1ObjectMeta]:
    """Return a function that makes the metadata of a route's objects."""
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

    return metadata


def _host_and_port(target: str) -> tuple[str, int]:
    backend = urlparse(target)
    return backend.hostname or "", backend.port or _PORTS.get(backend.scheme, 80)


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


def make_http_route(
    name: str,
    routespec: str,
    target: str,
    data: Mapping[str, Any],
    namespace: str,
    *,
    parent_refs: Iterable[Mapping[str, Any]],
    hostnames: Iterable[str] = (),
    common_labels: Mapping[str, str] | None = None,
    extra_labels: Mapping[str, str] | None = None,
    extra_annotations: Mapping[str, str] | None = None,
    timeouts: Mapping[str, str] | None = None,
    filters: Iterable[Mapping[str, Any]] = (),
    decoded_path: bool = False,
    app_protocol: str = "",
) -> tuple[V1Service | None, dict[str, Any]]:
    """Return the Service and the HTTPRoute of one route.

    https://gateway-api.sigs.k8s.io/reference/spec/#httproute

    Args:
        routespec: path (`/user/x/`) or URL (`//host/path/`).
        target: URL of the backend: an IP, or the DNS name of a Service.
        data: the route's data, kept as JSON in an annotation.
        namespace: where the objects will live.
        parent_refs: the Gateways, as `spec.parentRefs`.
        hostnames: hosts to serve, unless the routespec has one.
        timeouts, filters: of the rule.
        decoded_path: whether the path is matched without its percent-encoding.
        app_protocol: `appProtocol` of the Service's port.

    Returns:
        No Service where the route leads to one that exists.

    Raises:
        ValueError: the target is neither an IP nor the name of a Service.
    """
    metadata = _metadata_of(name, routespec, target, data, common_labels)
    host, port = _host_and_port(target)
    service = None
    backend: dict[str, Any] = {"kind": "Service", "name": name, "port": port}
    if is_ip(host):
        ports = [V1ServicePort(port=port, target_port=port, app_protocol=app_protocol or None)]
        spec = V1ServiceSpec(type="ClusterIP", ports=ports)
        service = V1Service(kind="Service", metadata=metadata(), spec=spec)
    else:
        match = SERVICE_DNS_PATTERN.match(host)
        if not match:
            raise ValueError(f"{target} is neither an IP address nor the DNS name of a Service")
        backend["name"] = match["service"]
        if match["namespace"] not in (None, namespace):
            backend["namespace"] = match["namespace"]
    route = urlparse(routespec)
    path = _decoded(route.path) if decoded_path else route.path
    rule: dict[str, Any] = {
        "matches": [{"path": {"type": "PathPrefix", "value": path}}],
        "backendRefs": [backend],
    }
    if filters:
        rule["filters"] = [dict(each) for each in filters]
    if timeouts:
        rule["timeouts"] = dict(timeouts)
    route_spec: dict[str, Any] = {"parentRefs": [dict(ref) for ref in parent_refs]}
    if hosts := [route.hostname] if route.hostname else list(dict.fromkeys(hostnames)):
        route_spec["hostnames"] = hosts
    meta = metadata(extra_labels, extra_annotations)
    return service, {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "labels": meta.labels, "annotations": meta.annotations},
        "spec": {**route_spec, "rules": [rule]},
    }


def is_ip(host: str) -> bool:
    """Whether ``host`` is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


# What the path of an HTTPRoute may have in it, beside letters, digits and percent-encoding.
_PATH_SAFE = "/-._~!$&'()*+,;=:@"


def _decoded(path: str) -> str:
    return quote(unquote(path), safe=_PATH_SAFE)
