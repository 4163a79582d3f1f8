"""What is wrong with an object's fields, beyond their types: causes of a 422 answer.

The rules and texts follow the real API server, for what spawners and their users create. See
https://kubernetes.io/docs/concepts/overview/working-with-objects/names/ for names and
https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/ for labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from kubespawner.localcluster.quantities import parse_quantity
from kubespawner.localcluster.resources import (
    CLAIMS,
    NAMESPACES,
    PODS,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICES,
    Resource,
)
from kubespawner.localcluster.statuses import (
    Cause,
    duplicate,
    forbidden_field,
    invalid_value,
    missing,
    not_supported,
    required,
)

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_DNS1035_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
    "regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_LABEL_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
    "or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_QUALIFIED_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_LABEL_PATTERN = re.compile(_LABEL)
_SUBDOMAIN_PATTERN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_DNS1035_PATTERN = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE_PATTERN = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_NAME_PART_PATTERN = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_KEY_PATTERN = re.compile(r"[-._a-zA-Z0-9]+")

_ANNOTATIONS_LIMIT = 256 * 1024
_ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_SECRET_LIMIT = 1024 * 1024


def validate(resource: Resource, obj: dict[str, Any]) -> list[Cause]:
    """Return what is wrong with ``obj``, [] if nothing is."""
    causes = list(_metadata(resource, obj.get("metadata", {})))
    check = _CHECKS.get(resource)
    if check:
        causes += check(obj)
    return causes


def label(field: str, text: str) -> Iterator[Cause]:
    """Yield what keeps ``text`` from being an RFC 1123 label."""
    if len(text) > 63:
        yield Cause(field, "FieldValueTooLong", "Too long: may not be more than 63 bytes")
    if not _LABEL_PATTERN.fullmatch(text):
        yield invalid_value(field, text, _LABEL_RULE)


def _metadata(resource: Resource, meta: dict[str, Any]) -> Iterator[Cause]:
    name = meta.get("name", "")
    if not name:
        yield required("metadata.name", "name or generateName is required")
    elif resource is NAMESPACES:
        yield from label("metadata.name", name)
    elif resource is SERVICES:
        if len(name) > 63 or not _DNS1035_PATTERN.fullmatch(name):
            yield invalid_value("metadata.name", name, _DNS1035_RULE)
    else:
        if len(name) > 253:
            yield invalid_value("metadata.name", name, "must be no more than 253 characters")
        if not _SUBDOMAIN_PATTERN.fullmatch(name):
            yield invalid_value("metadata.name", name, _SUBDOMAIN_RULE)
    yield from _labels("metadata.labels", meta.get("labels", {}))
    annotations = meta.get("annotations", {})
    for key in annotations:
        yield from _qualified("metadata.annotations", key.lower())
    if sum(len(key.encode()) + len(text.encode()) for key, text in annotations.items()) > (
        _ANNOTATIONS_LIMIT
    ):
        yield Cause(
            "metadata.annotations",
            "FieldValueTooLong",
            "Too long: may not be more than 262144 bytes",
        )
    for i, owner in enumerate(meta.get("ownerReferences", ())):
        for key in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(key):
                yield invalid_value(f"metadata.ownerReferences[{i}].{key}", "", "must not be empty")


def _labels(field: str, labels: dict[str, str]) -> Iterator[Cause]:
    for key, text in labels.items():
        yield from _qualified(field, key)
        if len(text) > 63:
            yield invalid_value(field, text, "must be no more than 63 bytes")
        if not _LABEL_VALUE_PATTERN.fullmatch(text):
            yield invalid_value(field, text, _LABEL_VALUE_RULE)


def _qualified(field: str, key: str) -> Iterator[Cause]:
    prefix, slash, name = key.rpartition("/")
    if slash and not _SUBDOMAIN_PATTERN.fullmatch(prefix):
        yield invalid_value(field, key, f"prefix part {_SUBDOMAIN_RULE}")
    if len(name) > 63:
        yield invalid_value(field, key, "name part must be no more than 63 bytes")
    if not _NAME_PART_PATTERN.fullmatch(name):
        yield invalid_value(field, key, _QUALIFIED_RULE)


def _pod(obj: dict[str, Any]) -> list[Cause]:
    spec = obj.get("spec", {})
    return [*_pod_spec(spec), *_pod_containers(spec), *_pod_security(spec)]


def _pod_spec(spec: dict[str, Any]) -> Iterator[Cause]:
    yield from _one_of(spec, "spec", "restartPolicy", ("Always", "OnFailure", "Never"))
    yield from _one_of(
        spec, "spec", "dnsPolicy", ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
    )
    grace = spec.get("terminationGracePeriodSeconds", 0)
    if grace < 0:
        yield invalid_value(
            "spec.terminationGracePeriodSeconds", grace, "must be greater than or equal to 0"
        )
    yield from _labels("spec.nodeSelector", spec.get("nodeSelector", {}))
    names: set[str] = set()
    for i, volume in enumerate(spec.get("volumes", ())):
        field = f"spec.volumes[{i}]"
        name = volume.get("name", "")
        if name:
            yield from label(f"{field}.name", name)
        if name in names:
            yield duplicate(f"{field}.name", name)
        names.add(name)
        if len(set(volume) - {"name"}) > 1:
            second = sorted(set(volume) - {"name"})[1]
            yield forbidden_field(f"{field}.{second}", "may not specify more than 1 volume type")
        claim = volume.get("persistentVolumeClaim")
        if claim is not None and not claim.get("claimName"):
            yield required(f"{field}.persistentVolumeClaim.claimName")


def _pod_containers(spec: dict[str, Any]) -> Iterator[Cause]:
    volumes = {volume.get("name") for volume in spec.get("volumes", ())}
    names: set[str] = set()
    for kind in ("containers", "initContainers"):
        for i, container in enumerate(spec.get(kind, ())):
            field = f"spec.{kind}[{i}]"
            name = container.get("name", "")
            if name:
                yield from label(f"{field}.name", name)
            if name and name in names:
                yield duplicate(f"{field}.name", name)
            names.add(name)
            yield from _container(field, container, volumes)


def _container(field: str, container: dict[str, Any], volumes: set[str | None]) -> Iterator[Cause]:
    image = container.get("image", "")
    if not image:
        yield required(f"{field}.image")
    elif image != image.strip():
        yield invalid_value(f"{field}.image", image, "must not have leading or trailing whitespace")
    yield from _one_of(container, field, "imagePullPolicy", ("Always", "IfNotPresent", "Never"))
    for i, variable in enumerate(container.get("env", ())):
        name = variable.get("name", "")
        if name and ("=" in name or not name.isprintable()):
            rule = "a valid environment variable name must consist only of printable ASCII characters other than '='"
            yield invalid_value(f"{field}.env[{i}].name", name, rule)
        if variable.get("value") and variable.get("valueFrom"):
            text = "may not be specified when `value` is not empty"
            yield invalid_value(f"{field}.env[{i}].valueFrom", "", text)
    yield from _ports(f"{field}.ports", container.get("ports", ()))
    paths: set[str] = set()
    for i, mount in enumerate(container.get("volumeMounts", ())):
        where = f"{field}.volumeMounts[{i}]"
        if mount.get("name") and mount["name"] not in volumes:
            yield missing(f"{where}.name", mount["name"])
        path = mount.get("mountPath", "")
        if path and path in paths:
            yield invalid_value(f"{where}.mountPath", path, "must be unique")
        paths.add(path)
    yield from _container_resources(f"{field}.resources", container.get("resources", {}))


def _ports(field: str, ports: Iterable[dict[str, Any]]) -> Iterator[Cause]:
    names: set[str] = set()
    for i, port in enumerate(ports):
        number = port.get("containerPort", 0)
        if not 1 <= number <= 65535:
            yield invalid_value(
                f"{field}[{i}].containerPort", number, "must be between 1 and 65535, inclusive"
            )
        yield from _one_of(port, f"{field}[{i}]", "protocol", ("SCTP", "TCP", "UDP"))
        name = port.get("name")
        if name:
            if len(name) > 15 or not _LABEL_PATTERN.fullmatch(name) or name.isdecimal():
                yield invalid_value(
                    f"{field}[{i}].name", name, "must be no more than 15 characters"
                )
            if name in names:
                yield duplicate(f"{field}[{i}].name", name)
            names.add(name)


def _container_resources(field: str, resources: dict[str, Any]) -> Iterator[Cause]:
    amounts: dict[str, dict[str, Any]] = {"limits": {}, "requests": {}}
    for kind, parsed in amounts.items():
        for name, text in resources.get(kind, {}).items():
            where = f"{field}.{kind}[{name}]"
            try:
                parsed[name] = parse_quantity(text)
            except ValueError as e:
                yield invalid_value(where, text, str(e))
                continue
            if parsed[name] < 0:
                yield invalid_value(where, text, "must be greater than or equal to 0")
            yield from _qualified(where, name)
    for name, wanted in amounts["requests"].items():
        limit = amounts["limits"].get(name)
        if limit is not None and wanted > limit:
            text = f"must be less than or equal to {name} limit of {resources['limits'][name]}"
            yield invalid_value(f"{field}.requests", resources["requests"][name], text)


def _pod_security(spec: dict[str, Any]) -> Iterator[Cause]:
    contexts = [("spec.securityContext", spec.get("securityContext", {}))]
    for kind in ("containers", "initContainers"):
        for i, container in enumerate(spec.get(kind, ())):
            contexts.append(
                (f"spec.{kind}[{i}].securityContext", container.get("securityContext", {}))
            )
    for field, context in contexts:
        for key in ("runAsUser", "runAsGroup", "fsGroup"):
            number = context.get(key, 0)
            if not 0 <= number <= 2147483647:
                text = "must be between 0 and 2147483647, inclusive"
                yield invalid_value(f"{field}.{key}", number, text)


def _one_of(
    holder: dict[str, Any], field: str, key: str, allowed: tuple[str, ...]
) -> Iterator[Cause]:
    value = holder.get(key)
    if value is not None and value not in allowed:
        yield not_supported(f"{field}.{key}", value, allowed)


def _claim(obj: dict[str, Any]) -> Iterator[Cause]:
    spec = obj.get("spec", {})
    modes = spec.get("accessModes", [])
    if not modes:
        yield required("spec.accessModes", "at least 1 access mode is required")
    for mode in modes:
        if mode not in _ACCESS_MODES:
            yield not_supported("spec.accessModes", mode, _ACCESS_MODES)
    storage = spec.get("resources", {}).get("requests", {}).get("storage")
    if storage is None:
        yield required("spec.resources[storage]")
        return
    try:
        amount = parse_quantity(storage)
    except ValueError as e:
        yield invalid_value("spec.resources[storage]", storage, str(e))
        return
    if amount <= 0:
        yield invalid_value("spec.resources[storage]", storage, "must be greater than zero")


def _secret(obj: dict[str, Any]) -> Iterator[Cause]:
    data = obj.get("data", {})
    for key in data:
        if not _KEY_PATTERN.fullmatch(key) or len(key) > 253:
            text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
            yield invalid_value(f"data[{key}]", key, text)
    if sum(len(text) * 3 // 4 for text in data.values()) > _SECRET_LIMIT:
        yield Cause("data", "FieldValueTooLong", "Too long: may not be more than 1048576 bytes")


def _service(obj: dict[str, Any]) -> Iterator[Cause]:
    spec = obj.get("spec", {})
    kinds = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
    yield from _one_of(spec, "spec", "type", kinds)
    ports = spec.get("ports", [])
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        yield required("spec.ports")
    yield from _labels("spec.selector", spec.get("selector", {}))
    names: set[str] = set()
    for i, port in enumerate(ports):
        if not 1 <= port.get("port", 0) <= 65535:
            text = "must be between 1 and 65535, inclusive"
            yield invalid_value(f"spec.ports[{i}].port", port.get("port", 0), text)
        name = port.get("name", "")
        if not name and len(ports) > 1:
            yield required(f"spec.ports[{i}].name")
        elif name in names:
            yield duplicate(f"spec.ports[{i}].name", name)
        names.add(name)


def _quota(obj: dict[str, Any]) -> Iterator[Cause]:
    for name, text in obj.get("spec", {}).get("hard", {}).items():
        try:
            parse_quantity(text)
        except ValueError as e:
            yield invalid_value(f"spec.hard[{name}]", text, str(e))


_CHECKS = {
    PODS: _pod,
    CLAIMS: _claim,
    SECRETS: _secret,
    SERVICES: _service,
    RESOURCE_QUOTAS: _quota,
}


def validate_update(resource: Resource, old: dict[str, Any], new: dict[str, Any]) -> list[Cause]:
    """Return which immutable fields an update would change."""
    if resource is PODS:
        return list(_pod_update(old["spec"], new.get("spec", {})))
    if resource is CLAIMS:
        is_bound = old.get("status", {}).get("phase") == "Bound"
        return list(_claim_update(old["spec"], new.get("spec", {}), is_bound))
    if resource is SERVICES:
        before, after = old["spec"].get("clusterIP"), new.get("spec", {}).get("clusterIP")
        if before and after and before != after:
            return [invalid_value("spec.clusterIPs[0]", after, "may not change once set")]
    if resource is SECRETS and old.get("type") != new.get("type"):
        return [invalid_value("type", new.get("type", ""), "field is immutable")]
    if old.get("immutable") and (old.get("data") != new.get("data") or not new.get("immutable")):
        return [forbidden_field("data", "field is immutable when `immutable` is set")]
    return []


def _pod_update(old: dict[str, Any], new: dict[str, Any]) -> Iterator[Cause]:
    if len(old["containers"]) != len(new.get("containers", ())):
        yield forbidden_field("spec.containers", "pod updates may not add or remove containers")
        return
    if _fixed_part(old) != _fixed_part(new):
        allowed = (
            "`spec.containers[*].image`,`spec.initContainers[*].image`,"
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
            "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
            "previously negative)"
        )
        yield forbidden_field("spec", f"pod updates may not change fields other than {allowed}")
    kept = new.get("tolerations", [])
    if any(each not in kept for each in old.get("tolerations", ())):
        yield forbidden_field(
            "spec.tolerations",
            "existing toleration can not be modified except its tolerationSeconds",
        )


def _fixed_part(spec: dict[str, Any]) -> dict[str, Any]:
    fixed = {k: v for k, v in spec.items() if k not in {"activeDeadlineSeconds", "tolerations"}}
    for kind in ("containers", "initContainers"):
        fixed[kind] = [
            {k: v for k, v in container.items() if k != "image"} for container in spec.get(kind, ())
        ]
    return fixed


def _claim_update(old: dict[str, Any], new: dict[str, Any], is_bound: bool) -> Iterator[Cause]:
    free = {"volumeName", "volumeAttributesClassName"} | ({"resources"} if is_bound else set())

    def fixed(spec: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in spec.items() if k not in free}

    bound = old.get("volumeName")
    if fixed(old) != fixed(new) or (bound and new.get("volumeName") != bound):
        yield forbidden_field(
            "spec",
            "spec is immutable after creation except resources.requests and "
            "volumeAttributesClassName for bound claims",
        )
    before = old.get("resources", {}).get("requests", {}).get("storage")
    after = new.get("resources", {}).get("requests", {}).get("storage")
    if before and after and parse_quantity(after) < parse_quantity(before):
        yield forbidden_field(
            "spec.resources.requests.storage", "field can not be less than status.capacity"
        )
