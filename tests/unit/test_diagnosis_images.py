"""Why an image could not be had, in the words of runtimes and registries of several versions."""

import pytest

from kubespawner.diagnosis import diagnose

from ._pods import IMAGE, event, pod, waiting

CONTAINERD = (
    f'rpc error: code = {{code}} desc = failed to pull and unpack image "{IMAGE}": '
    f'failed to resolve reference "{IMAGE}": '
)
HEAD = 'Head "https://quay.io/v2/jupyter/base-notebook/manifests/2026-10-01": '
NOT_FOUND = [
    CONTAINERD.format(code="NotFound") + f"{IMAGE}: not found",
    CONTAINERD.format(code="Unknown") + "unexpected status code [manifests 1]: 404 Not Found",
    "rpc error: code = Unknown desc = Error response from daemon: manifest for "
    f"{IMAGE} not found: manifest unknown: manifest unknown",
    f"rpc error: code = Unknown desc = reading manifest 2026-10-01 in {IMAGE}: manifest unknown",
    "rpc error: code = NotFound desc = name unknown: The repository with name 'x' does not exist "
    "in the registry with id '123456789012'",
    CONTAINERD.format(code="NotFound") + "no match for platform in manifest: not found",
    "Error response from daemon: no matching manifest for linux/arm64/v8 in the manifest list",
]
DENIED = [
    CONTAINERD.format(code="Unknown")
    + "pull access denied, repository does not exist or may require authorization: server "
    "message: insufficient_scope: authorization failed",
    CONTAINERD.format(code="Unknown")
    + "failed to authorize: failed to fetch anonymous token: unexpected status from GET request "
    "to https://ghcr.io/token?scope=x: 403 Forbidden",
    CONTAINERD.format(code="Unknown") + "unexpected status code: 401 Unauthorized",
    "rpc error: code = Unknown desc = Error response from daemon: pull access denied for x/y, "
    "repository does not exist or may require 'docker login': denied: requested access to the "
    "resource is denied",
    "rpc error: code = Unknown desc = Error response from daemon: unauthorized: access to the "
    "requested resource is not authorized",
    "Requesting bearer token: invalid status code from registry 403 (Forbidden)",
    'denied: Permission "artifactregistry.repositories.downloadArtifacts" denied on resource '
    '"projects/x" (or it may not exist)',
    "no basic auth credentials",
]
UNREACHABLE = [
    CONTAINERD.format(code="Unknown")
    + f"failed to do request: {HEAD}dial tcp 10.9.8.7:443: connect: connection refused",
    CONTAINERD.format(code="Unknown")
    + f"failed to do request: {HEAD}dial tcp 10.9.8.7:443: i/o timeout",
    'Error response from daemon: Get "https://quay.io/v2/": net/http: request canceled while '
    "waiting for connection (Client.Timeout exceeded while awaiting headers)",
    "Error response from daemon: received unexpected HTTP status: 503 Service Unavailable",
    CONTAINERD.format(code="DeadlineExceeded") + "context deadline exceeded",
    'Get "https://quay.io/v2/": http: server gave HTTP response to HTTPS client',
    "pinging container registry quay.io: Get https://quay.io/v2/: dial tcp: connection reset",
]
DNS = [
    CONTAINERD.format(code="Unknown")
    + f"failed to do request: {HEAD}dial tcp: lookup quay.io on 10.96.0.10:53: no such host",
    'Error response from daemon: Get "https://quay.io/v2/": dial tcp: lookup quay.io: Temporary '
    "failure in name resolution",
    CONTAINERD.format(code="Unknown")
    + f"failed to do request: {HEAD}dial tcp: lookup quay.io on 10.96.0.10:53: server misbehaving",
    CONTAINERD.format(code="Unknown")
    + f"failed to do request: {HEAD}dial tcp: lookup quay.io on 10.96.0.10:53: read udp "
    "10.0.0.1:4444->10.96.0.10:53: i/o timeout",
]


def found_for(message, reason="ErrImagePull", events=()):
    return diagnose(pod(waiting(reason, message)), events)


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
@pytest.mark.parametrize(
    ("cause", "patience", "message"),
    [
        *(("ImageNotFound", 0, message) for message in NOT_FOUND),
        *(("ImagePullDenied", 0, message) for message in DENIED),
        *(("RegistryUnreachable", 120, message) for message in [*UNREACHABLE, *DNS]),
    ],
)
def test_pull_failures(reason, cause, patience, message):
    if reason == "ImagePullBackOff":
        # As kubelets from 1.32 on word it.
        message = f'Back-off pulling image "{IMAGE}": ErrImagePull: {message}'
    found = found_for(message, reason)
    assert (found.phase, found.reason, found.patience) == ("Pulling", cause, patience)
    assert IMAGE in found.user and message in found.admin and found.container == "notebook"


def test_users_read_what_kind_of_failure_it_is():
    assert all("DNS" in found_for(message).user for message in DNS)
    assert all("DNS" not in found_for(message).user for message in [*UNREACHABLE, *NOT_FOUND])
    assert "not found" in found_for(NOT_FOUND[0]).user
    assert "not made for the machines" in found_for(NOT_FOUND[-1]).user
    assert "may not download" in found_for(DENIED[0]).user


@pytest.mark.parametrize(
    ("message", "reason", "word"),
    [
        (
            CONTAINERD.format(code="Unknown") + "unexpected status code: 429 Too Many Requests - "
            "Server message: toomanyrequests: You have reached your pull rate limit.",
            "ImagePullFailed",
            "refuses more downloads",
        ),
        (
            f"failed to do request: {HEAD}tls: failed to verify certificate: x509: certificate "
            "signed by unknown authority",
            "RegistryUnreachable",
            "certificate",
        ),
        (
            "failed to extract layer: write /x: no space left on device: unknown",
            "ImagePullFailed",
            "disk is too full",
        ),
        ("something that nobody has seen yet", "ImagePullFailed", "at the moment"),
    ],
)
def test_other_pull_failures_may_heal(message, reason, word):
    found = found_for(message)
    assert (found.reason, found.patience) == (reason, 120)
    assert word in found.user


def test_back_off_without_a_cause_takes_it_from_the_events():
    back_off = f'Back-off pulling image "{IMAGE}"'
    assert found_for(back_off, "ImagePullBackOff").reason == "ImagePullFailed"
    other = event("Failed", 'Failed to pull image "y": denied', "containers{proxy}")
    failed = event(
        "Failed", f'Failed to pull image "{IMAGE}": {NOT_FOUND[0]}', "containers{notebook}"
    )
    error = event("Failed", "Error: ErrImagePull", "containers{notebook}")
    found = found_for(back_off, "ImagePullBackOff", [failed, error, other])
    assert found.reason == "ImageNotFound" and NOT_FOUND[0] in found.admin


@pytest.mark.parametrize("image", ["denied/forbidden:401", "x/no-such-host-not-found:404", "x509"])
def test_words_in_the_name_of_an_image_are_not_a_cause(image):
    item = pod(waiting("ErrImagePull", f'failed to pull image "{image}": unknown trouble'))
    item["spec"]["containers"][0]["image"] = image
    assert diagnose(item).reason == "ImagePullFailed"


def test_digits_are_no_http_status():
    message = f'failed to pull "{IMAGE}": failed to copy: sha256:40134034: unexpected commit digest'
    assert found_for(message).reason == "ImagePullFailed"


def test_invalid_name_and_pull_policy_never():
    message = (
        'Failed to apply default image tag "Jupyter/Base": couldn\'t parse image reference '
        '"Jupyter/Base": invalid reference format: repository name must be lowercase'
    )
    found = found_for(message, "InvalidImageName")
    assert (found.reason, found.patience) == ("InvalidImageName", 0)
    message = f'Container image "{IMAGE}" is not present with pull policy of Never'
    found = found_for(message, "ErrImageNeverPull")
    assert (found.reason, found.patience) == ("ErrImageNeverPull", 0)


def test_image_of_an_init_container():
    item = pod(waiting("PodInitializing"), init=[("git", waiting("ErrImagePull", NOT_FOUND[0]))])
    found = diagnose(item)
    assert (found.reason, found.container) == ("ImageNotFound", "git")
    assert "alpine/git:2" in found.user
