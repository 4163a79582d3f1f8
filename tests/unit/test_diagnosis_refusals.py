"""Why the API server refused: its own words in, a sentence and a setting out."""

import pytest
from traitlets import HasTraits

from kubespawner.config import SpawnerConfig
from kubespawner.diagnosis import fields, refusal
from kubespawner.diagnosis.fields import setting_of


def status(message, code=403, reason="Forbidden", **details):
    return {
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
        "details": {"name": "jupyter-ann", "kind": "pods", **details},
    }


def invalid(*causes, kind="Pod"):
    text = ", ".join(f"{field}: {message}" for field, message in causes)
    listed = [
        {"reason": "FieldValueInvalid", "message": message, "field": field}
        for field, message in causes
    ]
    message = f'{kind} "jupyter-ann" is invalid: [{text}]'
    return status(message, 422, "Invalid", kind=kind, causes=listed)


def test_quota_with_its_numbers():
    message = (
        'pods "jupyter-ann" is forbidden: exceeded quota: compute, requested: '
        "limits.memory=2Gi,pods=1, used: limits.memory=7Gi,pods=10, limited: "
        "limits.memory=8Gi,pods=10"
    )
    found = refusal(status(message))
    assert (found.reason, found.patience, found.waiting_helps) == ("QuotaExceeded", 0, False)
    assert "memory: 7Gi of 8Gi in use, 2Gi more needed" in found.user
    assert "servers: 10 of 10 in use, 1 more needed" in found.user
    assert "quota 'compute'" in found.admin and message in found.admin


def test_quota_of_storage():
    message = (
        'persistentvolumeclaims "claim-ann" is forbidden: exceeded quota: storage, requested: '
        "requests.storage=10Gi, used: requests.storage=95Gi, limited: requests.storage=100Gi"
    )
    assert "storage: 95Gi of 100Gi in use, 10Gi more needed" in refusal(status(message)).user


def test_quota_that_demands_limits():
    message = (
        'pods "jupyter-ann" is forbidden: failed quota: compute: must specify limits.cpu for: '
        "notebook; limits.memory for: notebook"
    )
    found = refusal(status(message))
    assert found.reason == "QuotaNeedsLimits"
    assert "cpu_limit" in found.admin and "mem_limit" in found.admin


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "maximum cpu usage per Container is 1, but limit is 4",
            ["at most 1 of CPU", "asks for 4"],
        ),
        (
            "minimum memory usage per Container is 128Mi, but request is 10Mi",
            ["at least 128Mi of memory", "asks for 10Mi"],
        ),
        (
            "[maximum cpu usage per Pod is 2, but limit is 3, maximum memory usage per Pod is 1Gi, "
            "but limit is 2Gi]",
            ["at most 2 of CPU"],
        ),
        (
            "maximum memory usage per Container is 1Gi.  No limit is specified",
            ["at most 1Gi of memory", "sets none"],
        ),
        (
            "maximum storage usage per PersistentVolumeClaim is 5Gi, but request is 10Gi",
            ["at most 5Gi of storage"],
        ),
        ("cpu max limit to request ratio per Container is 2, but provided ratio is 4", ["above"]),
    ],
)
def test_limit_range(text, words):
    found = refusal(status(f'pods "jupyter-ann" is forbidden: {text}'))
    assert found.reason == "LimitRangeExceeded" and text in found.admin
    assert all(word in found.user for word in words), found.user


@pytest.mark.parametrize(
    ("message", "where"),
    [
        (
            'pods is forbidden: User "system:serviceaccount:hub:hub" cannot create resource "pods" '
            'in API group "" in the namespace "hub"',
            "'create' on pods in namespace hub",
        ),
        (
            'namespaces is forbidden: User "system:serviceaccount:hub:hub" cannot create resource '
            '"namespaces" in API group "" at the cluster scope',
            "'create' on namespaces cluster-wide",
        ),
        (
            'ingresses.networking.k8s.io is forbidden: User "x" cannot list resource "ingresses" '
            'in API group "networking.k8s.io" in the namespace "hub"',
            "'list' on ingresses.networking.k8s.io in namespace hub",
        ),
        (
            'secrets "jupyter-ann" is forbidden: cannot set blockOwnerDeletion if an '
            "ownerReference refers to a resource you can't set finalizers on: , <nil>",
            "{apiGroups: [''], resources: ['pods/finalizers'], verbs: ['update']}",
        ),
    ],
)
def test_missing_permission(message, where):
    found = refusal(status(message))
    assert found.reason == "PermissionMissing" and where in found.admin
    assert "system:serviceaccount" not in found.user


@pytest.mark.parametrize(
    ("message", "reason", "word"),
    [
        (
            'pods "jupyter-ann" is forbidden: violates PodSecurity "restricted:latest": '
            'allowPrivilegeEscalation != false (container "notebook" must set '
            "securityContext.allowPrivilegeEscalation=false)",
            "PolicyRefused",
            "'restricted:latest'",
        ),
        (
            "pods \"x\" is forbidden: ValidatingAdmissionPolicy 'images' with binding 'all' denied "
            "request: only images of registry.example are allowed",
            "PolicyRefused",
            "'images'",
        ),
        (
            'pods "x" is forbidden: unable to validate against any security context constraint: []',
            "PolicyRefused",
            "security context constraints",
        ),
        (
            'admission webhook "validation.gatekeeper.sh" denied the request: [repos] container '
            "<notebook> has an invalid image repo",
            "WebhookRefused",
            "'validation.gatekeeper.sh'",
        ),
        (
            'Internal error occurred: failed calling webhook "validate.kyverno.svc-fail": failed to '
            'call webhook: Post "https://kyverno.svc:443/validate": no endpoints available',
            "WebhookUnavailable",
            "'validate.kyverno.svc-fail'",
        ),
        (
            'pods "x" is forbidden: unable to create new content in namespace ann because it is '
            "being terminated",
            "NamespaceTerminating",
            "ann",
        ),
        (
            'pods "x" is forbidden: error looking up service account hub/nb: serviceaccount "nb" '
            "not found",
            "ReferenceMissing",
            "KubeSpawner.service_account",
        ),
        (
            'pods "x" is forbidden: no PriorityClass with name high was found',
            "ReferenceMissing",
            "KubeSpawner.priority_class_name",
        ),
    ],
)
def test_policies_and_what_else_forbids(message, reason, word):
    found = refusal(status(message))
    assert (found.phase, found.reason, found.patience) == ("Failed", reason, 0)
    assert word in found.admin and message in found.admin and found.user


def test_policy_says_its_message_to_the_user():
    message = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: ask for less"
    assert "ask for less" in refusal(status(message, 422, "Invalid")).user


def test_invalid_fields_lead_to_their_settings():
    found = refusal(
        invalid(
            ("spec.containers[0].image", "Required value"),
            ("spec.containers[0].resources.requests", 'Invalid value: "2": must be less'),
            ("spec.volumes[1].name", 'Duplicate value: "home"'),
        )
    )
    assert found.reason == "InvalidManifest"
    assert "spec.containers[0].image comes from KubeSpawner.image" in found.admin
    assert "comes from KubeSpawner.extra_resource_guarantees" in found.admin
    assert "spec.volumes[1].name comes from KubeSpawner.volumes" in found.admin


def test_other_answers():
    found = refusal({"code": 404, "reason": "NotFound", "message": 'namespaces "x" not found'})
    assert found.reason == "NotFound" and 'namespaces "x" not found' in found.admin
    assert refusal({"code": 413, "message": "Request entity too large"}).reason == "TooLarge"
    assert refusal({"code": 400, "message": "json: cannot unmarshal"}).reason == "InvalidManifest"
    assert refusal({"code": 418}).reason == "HTTP418"
    assert refusal({}).patience == 0


@pytest.mark.parametrize(
    ("field", "kind", "setting"),
    [
        ("spec.containers[0].image", "Pod", "image"),
        ("spec.containers[0].imagePullPolicy", "Pod", "image_pull_policy"),
        ("spec.containers[0].env[3].name", "Pod", "environment"),
        ("spec.containers[0].resources.limits[cpu]", "Pod", "cpu_limit"),
        ("spec.containers[0].resources.limits.memory", "Pod", "mem_limit"),
        ("spec.containers[0].resources.limits[nvidia.com/gpu]", "Pod", "extra_resource_limits"),
        ("spec.containers[0].resources.requests[cpu]", "Pod", "cpu_guarantee"),
        ("spec.containers[0].volumeMounts[0].name", "Pod", "volume_mounts"),
        ("spec.containers[0].securityContext.runAsUser", "Pod", "uid"),
        ("spec.containers[0].securityContext.capabilities", "Pod", "container_security_context"),
        ("spec.containers[0].livenessProbe.httpGet", "Pod", "extra_container_config"),
        ("spec.containers[2].image", "Pod", "extra_containers"),
        ("spec.initContainers[0].image", "Pod", "init_containers"),
        ("spec.securityContext.fsGroup", "pods", "fs_gid"),
        ("spec.tolerations[0].operator", "Pod", "tolerations"),
        (
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
            "nodeSelectorTerms[0]",
            "Pod",
            "node_affinity_required",
        ),
        ("spec.affinity.podAntiAffinity.preferred", "Pod", "pod_anti_affinity_preferred"),
        ("metadata.labels", "Pod", "extra_labels"),
        ("spec.dnsPolicy", "Pod", "extra_pod_config"),
        ("spec.resources[storage]", "PersistentVolumeClaim", "storage_capacity"),
        ("spec.accessModes", "persistentvolumeclaims", "storage_access_modes"),
        ("metadata.name", "Namespace", "user_namespace_template"),
        ("status.phase", "Pod", None),
        ("spec.rules", "Ingress", None),
    ],
)
def test_setting_of_a_field(field, kind, setting):
    assert setting_of(field, kind) == setting


def test_every_named_setting_exists():
    assert issubclass(SpawnerConfig, HasTraits)
    tables = [fields._CONTAINER, *fields._KINDS.values()]
    named = {setting for table in tables for _, setting in table}
    assert named <= set(SpawnerConfig.class_trait_names())
