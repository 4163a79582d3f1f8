"""Refusals of the embedded API server: exceptions that become ``Status`` bodies.

The texts are those of the real server, since clients (and people) read them. See
https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.34/#status-v1-meta.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubespawner.localcluster.resources import Resource


@dataclass(frozen=True)
class Cause:
    """One invalid field: ``reason`` is a Kubernetes cause type such as ``FieldValueInvalid``."""

    field: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"

    def as_dict(self) -> dict[str, str]:
        return {"reason": self.reason, "message": self.message, "field": self.field}


def required(field: str, detail: str = "") -> Cause:
    return Cause(field, "FieldValueRequired", "Required value" + (f": {detail}" if detail else ""))


def invalid_value(field: str, value: object, detail: str) -> Cause:
    return Cause(field, "FieldValueInvalid", f"Invalid value: {_quoted(value)}: {detail}")


def duplicate(field: str, value: object) -> Cause:
    return Cause(field, "FieldValueDuplicate", f"Duplicate value: {_quoted(value)}")


def not_supported(field: str, value: object, supported: Sequence[str]) -> Cause:
    names = ", ".join(f'"{name}"' for name in sorted(supported))
    text = f"Unsupported value: {_quoted(value)}: supported values: {names}"
    return Cause(field, "FieldValueNotSupported", text)


def forbidden_field(field: str, detail: str) -> Cause:
    return Cause(field, "FieldValueForbidden", f"Forbidden: {detail}")


def missing(field: str, value: object) -> Cause:
    return Cause(field, "FieldValueNotFound", f"Not found: {_quoted(value)}")


def _quoted(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


class ApiError(Exception):
    """A definite answer other than success.

    Args:
        code: HTTP status.
        reason: machine-readable reason, e.g. ``NotFound``.
        message: sentence for people.
        details: ``Status.details``.
        headers: further response headers, e.g. ``Retry-After``.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ):
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.headers = headers or {}

    def status(self) -> dict[str, Any]:
        """Return the ``Status`` object."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details:
            body["details"] = self.details
        body["code"] = self.code
        return body


def _details(resource: Resource, name: str) -> dict[str, Any]:
    details: dict[str, Any] = {"name": name} if name else {}
    if resource.group:
        details["group"] = resource.group
    return {**details, "kind": resource.plural}


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def not_found(resource: Resource, name: str) -> ApiError:
    text = f'{resource.qualified} "{name}" not found'
    return ApiError(404, "NotFound", text, _details(resource, name))


def unknown_path() -> ApiError:
    text = "the server could not find the requested resource"
    return ApiError(404, "NotFound", text, {})


def method_not_allowed() -> ApiError:
    text = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", text, {})


def not_acceptable(accepted: str) -> ApiError:
    text = f"only the following media types are accepted: {accepted}"
    return ApiError(406, "NotAcceptable", text)


def unsupported_media_type(accepted: str) -> ApiError:
    text = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    return ApiError(415, "UnsupportedMediaType", text)


def already_exists(resource: Resource, name: str) -> ApiError:
    text = f'{resource.qualified} "{name}" already exists'
    return ApiError(409, "AlreadyExists", text, _details(resource, name))


def conflict(resource: Resource, name: str, problem: str) -> ApiError:
    text = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {problem}'
    return ApiError(409, "Conflict", text, _details(resource, name))


def modified(resource: Resource, name: str) -> ApiError:
    text = (
        "the object has been modified; please apply your changes to the latest version "
        "and try again"
    )
    return conflict(resource, name, text)


def forbidden(
    resource: Resource, name: str, problem: str, causes: Sequence[Cause] = ()
) -> ApiError:
    details = _details(resource, name)
    if causes:
        details["causes"] = [cause.as_dict() for cause in causes]
    subject = f'{resource.qualified} "{name}"' if name else resource.qualified
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {problem}", details)


def invalid(kind: str, group: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """Return the 422 that lists every invalid field."""
    texts = [str(cause) for cause in causes]
    listed = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    subject = f"{kind}.{group}" if group else kind
    details: dict[str, Any] = {"name": name} if name else {}
    if group:
        details["group"] = group
    details["kind"] = kind
    details["causes"] = [cause.as_dict() for cause in causes]
    return ApiError(422, "Invalid", f'{subject} "{name}" is invalid: {listed}', details)


def expired(message: str) -> ApiError:
    return ApiError(410, "Expired", message)


def too_large_version(asked: int, current: int) -> ApiError:
    cause = Cause("", "ResourceVersionTooLarge", "Too large resource version").as_dict()
    return ApiError(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {asked}, current: {current}",
        {"causes": [cause], "retryAfterSeconds": 1},
        {"Retry-After": "1"},
    )


def success(resource: Resource, name: str, uid: str) -> dict[str, Any]:
    """Return the ``Status`` of a deletion that does not show the object."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {**_details(resource, name), "uid": uid},
    }
