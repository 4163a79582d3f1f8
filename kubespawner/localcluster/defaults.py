"""Values that the real API server fills in and that clients read.

See https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/.
"""

from __future__ import annotations

import base64
import copy
import secrets
from typing import Any

from kubespawner.localcluster.quantities import canonical_quantity
from kubespawner.localcluster.resources import (
    CLAIMS,
    DEFINITIONS,
    EVENTS,
    INGRESSES,
    NAMESPACES,
    NODES,
    PODS,
    PRIORITY_CLASSES,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICES,
    STORAGE_CLASSES,
    VOLUMES,
    Resource,
)
from kubespawner.localcluster.schema import Definition, definition, resolve

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_VOLUME_MODES = ("secret", "configMap", "projected", "downwardAPI")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def generated_name(prefix: str) -> str:
    """Return ``prefix``, cut so that five random characters fit into a name, and those."""
    return prefix[:58] + "".join(secrets.choice(_ALPHABET) for _ in range(5))


def fill_in(resource: Resource, obj: dict[str, Any]) -> None:
    """Set the defaults of a new or replaced object, in place. Fields that are set stay."""
    filler = _FILLERS.get(resource)
    if filler:
        filler(obj)
    elif resource.custom:
        _by_schema(obj, definition(resource.definition))


def _by_schema(value: Any, schema: Definition) -> None:
    """Set the defaults that the schema of a custom resource names."""
    schema = resolve(schema)[1]
    if isinstance(value, list):
        for item in value:
            _by_schema(item, schema.get("items", {}))
    elif isinstance(value, dict):
        for key, below in schema.get("properties", {}).items():
            if key not in value and "default" in below:
                value[key] = copy.deepcopy(below["default"])
            if key in value:
                _by_schema(value[key], below)


def _pod(obj: dict[str, Any]) -> None:
    spec = obj.setdefault("spec", {})
    account = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = account
    for key, value in (
        ("restartPolicy", "Always"),
        ("dnsPolicy", "ClusterFirst"),
        ("terminationGracePeriodSeconds", 30),
        ("schedulerName", "default-scheduler"),
        ("enableServiceLinks", True),
        ("preemptionPolicy", "PreemptLowerPriority"),
        ("priority", 0),
    ):
        spec.setdefault(key, value)
    spec.setdefault("securityContext", {})
    _tolerations(spec)
    for volume in spec.get("volumes", ()):
        _volume(volume)
    for field in ("initContainers", "containers"):
        for container in spec.get(field, ()):
            _container(container)
    status = obj.setdefault("status", {})
    status.setdefault("phase", "Pending")
    status.setdefault("qosClass", qos_class(spec))


def _tolerations(spec: dict[str, Any]) -> None:
    tolerations = spec.setdefault("tolerations", [])
    for state in ("not-ready", "unreachable"):
        key = f"node.kubernetes.io/{state}"
        if not any(
            each.get("key", key) == key and each.get("effect", "NoExecute") == "NoExecute"
            for each in tolerations
        ):
            tolerations.append(
                {
                    "key": key,
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": 300,
                }
            )


def _volume(volume: dict[str, Any]) -> None:
    if set(volume) <= {"name"}:
        volume["emptyDir"] = {}
    for source in _VOLUME_MODES:
        if source in volume:
            volume[source].setdefault("defaultMode", 420)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")


def _container(container: dict[str, Any]) -> None:
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("imagePullPolicy", _pull_policy(container.get("image", "")))
    resources = container.setdefault("resources", {})
    if resources.get("limits"):
        resources["requests"] = {**resources["limits"], **resources.get("requests", {})}
    for amounts in resources.values():
        if isinstance(amounts, dict):
            _canonical(amounts)
    for port in container.get("ports", ()):
        port.setdefault("protocol", "TCP")
    for variable in container.get("env", ()):
        reference = variable.get("valueFrom", {}).get("fieldRef")
        if reference is not None:
            reference.setdefault("apiVersion", "v1")
    for name in _PROBES:
        if name in container:
            _probe(container[name])
    for hook in container.get("lifecycle", {}).values():
        if isinstance(hook, dict):
            _http_get(hook)


def _probe(probe: dict[str, Any]) -> None:
    defaults = {
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    for key, value in defaults.items():
        probe.setdefault(key, value)
    _http_get(probe)


def _http_get(action: dict[str, Any]) -> None:
    if "httpGet" in action:
        action["httpGet"].setdefault("scheme", "HTTP")
        action["httpGet"].setdefault("path", "/")


def _pull_policy(image: str) -> str:
    if "@" in image:
        return "IfNotPresent"
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    return "Always" if tag in {"", "latest"} else "IfNotPresent"


def _canonical(amounts: dict[str, str]) -> None:
    for name, text in amounts.items():
        try:
            amounts[name] = canonical_quantity(text)
        except ValueError:
            continue  # reported by the validation, under the text that was sent


def qos_class(spec: dict[str, Any]) -> str:
    """Return the quality-of-service class of a pod spec.

    See https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/.
    """
    containers = [*spec.get("initContainers", ()), *spec.get("containers", ())]
    resources = [each.get("resources", {}) for each in containers]

    def amounts(each: dict[str, Any], kind: str) -> dict[str, str]:
        return {k: v for k, v in each.get(kind, {}).items() if k in {"cpu", "memory"} and v != "0"}

    if not any(amounts(each, "limits") or amounts(each, "requests") for each in resources):
        return "BestEffort"
    if all(
        set(amounts(each, "limits")) == {"cpu", "memory"}
        and amounts(each, "limits") == amounts(each, "requests")
        for each in resources
    ):
        return "Guaranteed"
    return "Burstable"


def _claim(obj: dict[str, Any]) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("volumeMode", "Filesystem")
    for amounts in spec.get("resources", {}).values():
        _canonical(amounts)
    obj.setdefault("status", {}).setdefault("phase", "Pending")


def _persistent_volume(obj: dict[str, Any]) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("volumeMode", "Filesystem")
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    _canonical(spec.get("capacity", {}))
    obj.setdefault("status", {}).setdefault("phase", "Pending")


def _namespace(obj: dict[str, Any]) -> None:
    obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"][
        "name"
    ]
    obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    obj.setdefault("status", {}).setdefault("phase", "Active")


def _secret(obj: dict[str, Any]) -> None:
    obj.setdefault("type", "Opaque")
    for key, text in obj.pop("stringData", {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()


def _service(obj: dict[str, Any]) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    for port in spec.get("ports", ()):
        port.setdefault("protocol", "TCP")
        if "port" in port:
            port.setdefault("targetPort", port["port"])
    obj.setdefault("status", {}).setdefault("loadBalancer", {})
    if spec["type"] == "ExternalName":
        return
    spec.setdefault("internalTrafficPolicy", "Cluster")
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    if not spec.get("clusterIP"):
        spec["clusterIP"] = "10.96." + ".".join(str(secrets.randbelow(254) + 1) for _ in range(2))
    spec["clusterIPs"] = [spec["clusterIP"]]


def _event(obj: dict[str, Any]) -> None:
    obj.setdefault("source", {})
    obj.setdefault("reportingComponent", "")
    obj.setdefault("reportingInstance", "")


def _quota(obj: dict[str, Any]) -> None:
    _canonical(obj.setdefault("spec", {}).get("hard", {}))
    obj.setdefault("status", {})


def _storage_class(obj: dict[str, Any]) -> None:
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


def _priority_class(obj: dict[str, Any]) -> None:
    obj.setdefault("value", 0)
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _ingress(obj: dict[str, Any]) -> None:
    obj.setdefault("status", {}).setdefault("loadBalancer", {})


def _definition(obj: dict[str, Any]) -> None:
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    names.setdefault("singular", names.get("kind", "").lower())
    names.setdefault("listKind", f"{names.get('kind', '')}List")
    spec.setdefault("conversion", {"strategy": "None"})
    obj["status"] = {
        "acceptedNames": names,
        "conditions": [
            {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts"},
            {"type": "Established", "status": "True", "reason": "InitialNamesAccepted"},
        ],
        "storedVersions": [each["name"] for each in spec.get("versions", ()) if each["storage"]],
    }


def _node(obj: dict[str, Any]) -> None:
    obj.setdefault("spec", {})
    obj.setdefault("status", {})


_FILLERS = {
    PODS: _pod,
    CLAIMS: _claim,
    VOLUMES: _persistent_volume,
    NAMESPACES: _namespace,
    SECRETS: _secret,
    SERVICES: _service,
    EVENTS: _event,
    RESOURCE_QUOTAS: _quota,
    STORAGE_CLASSES: _storage_class,
    PRIORITY_CLASSES: _priority_class,
    INGRESSES: _ingress,
    DEFINITIONS: _definition,
    NODES: _node,
}
