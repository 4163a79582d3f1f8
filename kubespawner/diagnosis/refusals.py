"""Why the API server refuses to create an object, from the ``Status`` that it answers with.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .amounts import readable_memory
from .fields import setting_of
from .model import Diagnosis

Status = Mapping[str, Any]

_ADMIN = "Please tell the administrator of this hub."
_QUOTA = re.compile(
    r"exceeded quota: (?P<quota>[^,]+), requested: (?P<requested>.*?), used: (?P<used>.*?), "
    r"limited: (?P<limited>[^\s;\]]*)"
)
_QUOTA_NEEDS = re.compile(r"failed quota: (?P<quota>[^:]+): must specify (?P<what>[^;\]]+)")
_RBAC = re.compile(
    r'cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)"| at the cluster scope)?'
)
# https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#ownerreferencespermissionenforcement
_OWNER = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set"
_LIMIT_RANGE = re.compile(
    r"(?P<bound>maximum|minimum) (?P<what>[\w./-]+) usage per (?P<per>\w+) is (?P<limit>[\w.]*\w)"
    r"(?:, but (?:limit|request) is (?P<given>[\w.]*\w)|\. +No (?:limit|request) is specified)?"
)
_LIMIT_RATIO = re.compile(r"max limit to request ratio per (?:\w+) is")
_POD_SECURITY = re.compile(r'violates PodSecurity "(?P<level>[^"]+)": (?P<what>.*)', re.DOTALL)
_WEBHOOK = re.compile(
    r'admission webhook "(?P<name>[^"]+)" denied the request(?:: (?P<why>.*))?', re.DOTALL
)
_WEBHOOK_DOWN = re.compile(r'failed calling webhook "(?P<name>[^"]+)"')
_POLICY = re.compile(r"ValidatingAdmissionPolicy '(?P<name>[^']+)'.*? denied request: (?P<why>.*)")
_SCC = "unable to validate against any security context constraint"
_TERMINATING = "because it is being terminated"
_MISSING = (
    # What is missing -> its setting.
    (
        re.compile(r'service ?account "?([^\s"]+)"? not found|looking up service account'),
        "service_account",
    ),
    (re.compile(r"no PriorityClass with name (\S+) was found"), "priority_class_name"),
    (re.compile(r'RuntimeClass "([^"]+)" not found'), "extra_pod_config"),
)

_RESOURCES = {
    "cpu": "CPU",
    "limits.cpu": "CPU",
    "requests.cpu": "CPU",
    "memory": "memory",
    "limits.memory": "memory",
    "requests.memory": "memory",
    "requests.storage": "storage",
    "storage": "storage",
    "pods": "servers",
    "count/pods": "servers",
    "persistentvolumeclaims": "storage volumes",
    "count/persistentvolumeclaims": "storage volumes",
    "services": "services",
    "secrets": "secrets",
}


def refusal(status: Status) -> Diagnosis:
    """Return what a ``Status`` of the API server means that refuses a request.

    Its ``reason`` is one of ``QuotaExceeded``, ``QuotaNeedsLimits``, ``LimitRangeExceeded``,
    ``PermissionMissing``, ``PolicyRefused``, ``WebhookRefused``, ``WebhookUnavailable``,
    ``NamespaceTerminating``, ``ReferenceMissing``, ``InvalidManifest``, ``TooLarge``; else the
    Status' own reason, or ``HTTP`` and its code.

    Args:
        status: with ``message``, ``code``, ``reason`` and ``details``, each of which may lack.
    """
    message = str(status.get("message") or "")
    for look in (_quota, _permission, _limit_range, _policy, _webhook, _other_forbidden):
        found = look(status, message)
        if found:
            return found
    code = status.get("code")
    if code in (400, 422):
        return _refused("InvalidManifest", _INVALID, _with_settings(status, message))
    if code == 413:
        return _refused("TooLarge", _INVALID, f"the manifest is too large: {message}")
    return _refused(
        status.get("reason") or f"HTTP{code}",
        f"The cluster refused to create your server. {_ADMIN}",
        f"HTTP {code}: {message}",
    )


_INVALID = f"The configuration of this hub does not give a valid server. {_ADMIN}"


def _refused(reason: str, user: str, admin: str) -> Diagnosis:
    return Diagnosis("Failed", reason, user, admin, 0)


def _quota(status: Status, message: str) -> Diagnosis | None:
    found = _QUOTA.search(message)
    if found:
        return _refused(
            "QuotaExceeded",
            f"A limit of the cluster is reached: {_numbers(found)}. "
            "Stop a server that you no longer need, or ask the administrator of this hub.",
            f"quota {found['quota']!r}: {message}",
        )
    found = _QUOTA_NEEDS.search(message)
    if found:
        return _refused(
            "QuotaNeedsLimits",
            _INVALID,
            f"quota {found['quota']!r} requires {found['what'].strip()} (cpu_limit, "
            f"cpu_guarantee, mem_limit, mem_guarantee): {message}",
        )
    return None


def _amounts(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.split(",") if "=" in pair)


def _numbers(found: re.Match[str]) -> str:
    """Return a quota's numbers as ``memory: 7Gi of 8Gi are in use, 2Gi more are needed``."""
    used, limited = _amounts(found["used"]), _amounts(found["limited"])
    told = {
        f"{_RESOURCES.get(what, what)}: {_amount(what, used.get(what, '?'))} of "
        f"{_amount(what, limited.get(what, '?'))} in use, {_amount(what, amount)} more needed": None
        for what, amount in _amounts(found["requested"]).items()
    }
    return "; ".join(told)


def _amount(what: str, quantity: str) -> str:
    """Return a quantity of a resource; bytes in words."""
    return readable_memory(quantity) if what.endswith(("memory", "storage")) else quantity


def _permission(status: Status, message: str) -> Diagnosis | None:
    if _OWNER in message:
        return _lacking("Role", "update", "pods/finalizers", "", "in the pod's namespace", message)
    found = _RBAC.search(message)
    if not found:
        return None
    # A request for one namespace counts as one in it; what allows it is cluster-wide.
    if found["resource"] == "namespaces" or not found["namespace"]:
        where, role = "cluster-wide", "ClusterRole"
    else:
        where, role = f"in namespace {found['namespace']}", "Role"
    return _lacking(role, found["verb"], found["resource"], found["group"], where, message)


def _lacking(
    role: str, verb: str, resource: str, group: str, where: str, message: str
) -> Diagnosis:
    of_group = f".{group}" if group else ""
    rule = f"apiGroups: ['{group}'], resources: ['{resource}'], verbs: ['{verb}']"
    return _refused(
        "PermissionMissing",
        "This hub lacks a permission in the cluster. Please tell its administrator.",
        f"the hub's {role} lacks the verb {verb!r} on {resource}{of_group} {where}; it needs the "
        f"rule {{{rule}}}: {message}",
    )


def _limit_range(status: Status, message: str) -> Diagnosis | None:
    found = _LIMIT_RANGE.search(message)
    if found:
        what = _RESOURCES.get(found["what"], found["what"])
        given = "sets none"
        if found["given"]:
            given = f"asks for {_amount(found['what'], found['given'])}"
        bound = "at most" if found["bound"] == "maximum" else "at least"
        user = f"The cluster allows {bound} {found['limit']} of {what}, and this server {given}."
    elif _LIMIT_RATIO.search(message):
        user = "The cluster does not allow the limits of this server to be so far above its needs."
    else:
        return None
    return _refused("LimitRangeExceeded", f"{user} {_ADMIN}", f"LimitRange: {message}")


def _policy(status: Status, message: str) -> Diagnosis | None:
    user = f"A security policy of the cluster does not allow this server. {_ADMIN}"
    found = _POD_SECURITY.search(message)
    if found:
        admin = f"Pod Security level {found['level']!r} of the namespace: {message}"
        return _refused("PolicyRefused", user, admin)
    found = _POLICY.search(message)
    if found:
        why = found["why"].strip()
        user = f"A policy of the cluster does not allow this server: {why} {_ADMIN}"
        return _refused("PolicyRefused", user, f"policy {found['name']!r}: {message}")
    if _SCC in message:
        return _refused("PolicyRefused", user, f"security context constraints: {message}")
    return None


def _webhook(status: Status, message: str) -> Diagnosis | None:
    found = _WEBHOOK.search(message)
    if found:
        return _refused(
            "WebhookRefused",
            f"A policy of the cluster does not allow this server. {_ADMIN}",
            f"webhook {found['name']!r}: {message}",
        )
    found = _WEBHOOK_DOWN.search(message)
    if found:
        return _refused(
            "WebhookUnavailable",
            "A part of the cluster that checks new servers does not answer. "
            "Please try again in some minutes.",
            f"webhook {found['name']!r} can't be called: {message}",
        )
    return None


def _other_forbidden(status: Status, message: str) -> Diagnosis | None:
    causes = (status.get("details") or {}).get("causes") or ()
    if _TERMINATING in message or any(c.get("reason") == "NamespaceTerminating" for c in causes):
        user = "The place of your servers in the cluster is being removed. Please try again later."
        return _refused("NamespaceTerminating", user, message)
    for pattern, setting in _MISSING:
        if pattern.search(message):
            admin = f"{message} (KubeSpawner.{setting})"
            return _refused("ReferenceMissing", _INVALID, admin)
    return None


def _with_settings(status: Status, message: str) -> str:
    """Return the message and, per field that it is about, the setting that it comes from."""
    details = status.get("details") or {}
    hints: dict[str, None] = {}
    for cause in details.get("causes") or ():
        field = str(cause.get("field") or "")
        setting = setting_of(field, details.get("kind") or "Pod")
        if setting:
            hints[f"{field} comes from KubeSpawner.{setting}"] = None
    return "; ".join([message, *hints])
