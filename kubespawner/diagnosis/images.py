"""Why an image could not be had, from the texts of container runtimes and registries.

The kubelet passes on what its runtime says (containerd, CRI-O, Docker), which passes on what the
registry says; only the text tells a wrong name from a registry that does not answer.
https://kubernetes.io/docs/concepts/containers/images/
"""

from __future__ import annotations

import re

from .model import Diagnosis, problem

PULL_REASONS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
        "InvalidImageName",
        "ErrImageNeverPull",
    }
)


def _pattern(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


_ADMIN = "Please tell the administrator of this hub."
# In this order: what did not get an answer can't be about the image, and "denied" comes with
# "or does not exist" from registries that won't tell strangers which it is.
_CAUSES: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (
        _pattern("toomanyrequests", "too many requests", r"\b429\b", "pull rate limit"),
        "ImagePullFailed",
        "The registry of the image {image} refuses more downloads for the moment.",
    ),
    (
        _pattern(
            "no such host",
            "name resolution",
            "server misbehaving",
            "could not resolve host",
            r"lookup \S+(?: on \S+)?: (?:i/o timeout|read udp|dial udp|no answer)",
        ),
        "RegistryUnreachable",
        "The registry of the image {image} can't be found: its name is not known (DNS).",
    ),
    (
        _pattern("x509:", "certificate signed by unknown", "tls: failed to verify"),
        "RegistryUnreachable",
        "The registry of the image {image} has a certificate that this cluster does not trust. "
        + _ADMIN,
    ),
    (
        _pattern("no space left on device", "failed to reserve .*disk", "disk quota exceeded"),
        "ImagePullFailed",
        "The machine's disk is too full for the image {image}.",
    ),
    (
        _pattern(
            "i/o timeout",
            "connection (?:refused|reset|timed out)",
            "no route to host",
            "network is unreachable",
            "tls handshake",
            r"dial (?:tcp|udp)",
            "failed to do request",
            "context deadline exceeded",
            "request canceled",
            "client.timeout exceeded",
            "server gave http response to https client",
            "unexpected eof",
            r"\b50[0234]\b (?:internal|not implemented|bad gateway|service|gateway)",
            "registry is unavailable",
        ),
        "RegistryUnreachable",
        "The registry of the image {image} can't be reached at the moment.",
    ),
    (
        _pattern("no match for platform", "no matching manifest", "no image found in image index"),
        "ImageNotFound",
        "The image {image} is not made for the machines of this cluster.",
    ),
    (
        _pattern(
            "denied",
            "unauthorized",
            "authentication required",
            "forbidden",
            "insufficient_scope",
            "authorization failed",
            "no basic auth credentials",
            "not authorized",
            r"\b40[13]\b",
        ),
        "ImagePullDenied",
        "The image {image} does not exist, or this hub may not download it.",
    ),
    (
        _pattern(
            "not found",
            "manifest unknown",
            "name unknown",
            "does not exist",
            "no such image",
            "manifest_unknown",
            "name_unknown",
            "unknown blob",
            r"\b404\b",
        ),
        "ImageNotFound",
        "The image {image} was not found.",
    ),
    (
        _pattern("signature"),
        "ImagePullFailed",
        "The signature of the image {image} could not be verified. " + _ADMIN,
    ),
)
_ANYTHING = ("ImagePullFailed", "The image {image} can't be downloaded at the moment.")


def _without_image(message: str, image: str) -> str:
    """Return the text without the image's name, which may contain any of the words above."""
    host, slash, path = re.split(r"@|:(?=[^/]*$)", image)[0].partition("/")
    if not slash or not ("." in host or ":" in host):
        path = host + slash + path
    if not path:
        return message
    return re.sub(rf"\S*(?<![A-Za-z0-9]){re.escape(path)}(?![A-Za-z0-9])\S*", " ", message)


def explains(message: str) -> bool:
    """Whether the text says more than that there is a pause before the next attempt."""
    return not re.fullmatch(r'\s*(?:Back-off pulling image "[^"]*"\s*)?', message)


def image_problem(reason: str, message: str, image: str, container: str) -> Diagnosis:
    """Return the diagnosis of a container that waits for its image with this reason and text."""
    admin = f"container {container!r}, image {image!r}: {reason}: {message}"
    if reason == "InvalidImageName" or "invalid reference format" in message:
        return problem(
            "Pulling",
            "InvalidImageName",
            f"The image name {image!r} is not valid.",
            admin,
            container,
        )
    if reason == "ErrImageNeverPull":
        user = f"The image {image} is not on the machine, and may not be downloaded. {_ADMIN}"
        return problem("Pulling", reason, user, admin, container)
    text = _without_image(message, image)
    for pattern, cause, user in _CAUSES:
        if pattern.search(text):
            return problem("Pulling", cause, user.format(image=image), admin, container)
    cause, user = _ANYTHING
    return problem("Pulling", cause, user.format(image=image), admin, container)
