"""Creating: defaults, names, validation, and the Status bodies of refusals."""

from __future__ import annotations

import pytest

from .conftest import claim, config_map, needs_kubernetes, pod


async def test_what_is_created_can_be_read(backend):
    created = await backend.create("configmaps", config_map("one", {"key": "value"}))
    assert created["metadata"]["uid"] and created["metadata"]["creationTimestamp"]
    assert created["metadata"]["namespace"] == backend.namespace
    assert (await backend.get("configmaps", "one"))["data"] == {"key": "value"}


async def test_a_pod_gets_the_defaults_that_clients_read(backend):
    created = await backend.create("pods", pod("one"))
    spec, status = created["spec"], created["status"]
    assert status == {"phase": "Pending", "qosClass": "BestEffort"}
    assert spec["restartPolicy"] == "Always"
    assert spec["dnsPolicy"] == "ClusterFirst"
    assert spec["terminationGracePeriodSeconds"] == 30
    assert spec["schedulerName"] == "default-scheduler"
    assert spec["serviceAccountName"] == "default"
    assert spec["securityContext"] == {}
    assert spec["enableServiceLinks"] is True
    container = spec["containers"][0]
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["terminationMessagePath"] == "/dev/termination-log"
    assert container["resources"] == {}
    assert {each["key"] for each in spec["tolerations"]} == {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [("a", "Always"), ("a:latest", "Always"), ("a:1", "IfNotPresent"), ("h:5000/a", "Always")],
)
async def test_pull_policy_follows_the_tag(backend, image, policy):
    created = await backend.create("pods", pod("one", containers=[{"name": "c", "image": image}]))
    assert created["spec"]["containers"][0]["imagePullPolicy"] == policy


@pytest.mark.parametrize(
    ("resources", "stored", "qos"),
    [
        ({"limits": {"memory": "1024Mi"}}, {"memory": "1Gi"}, "Burstable"),
        ({"limits": {"cpu": "0.5", "memory": "1G"}}, {"cpu": "500m", "memory": "1G"}, "Guaranteed"),
    ],
)
async def test_limits_are_canonical_and_imply_requests(backend, resources, stored, qos):
    container = {"name": "c", "image": "a:1", "resources": resources}
    created = await backend.create("pods", pod("one", containers=[container]))
    found = created["spec"]["containers"][0]["resources"]
    assert found == {"limits": stored, "requests": stored}
    assert created["status"]["qosClass"] == qos


async def test_generate_name(backend):
    body = config_map("")
    body["metadata"] = {"generateName": "prefix-"}
    first = await backend.create("configmaps", body)
    second = await backend.create("configmaps", body)
    names = [each["metadata"]["name"] for each in (first, second)]
    assert all(name.startswith("prefix-") and len(name) == 12 for name in names)
    assert names[0] != names[1]


async def test_a_claim_is_pending_and_protected(backend):
    created = await backend.create("persistentvolumeclaims", claim("home"))
    assert created["status"]["phase"] == "Pending"
    assert created["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    assert created["spec"]["volumeMode"] == "Filesystem"


async def test_a_service_gets_an_address(backend):
    body = {"metadata": {"name": "one"}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}}
    created = await backend.create("services", body)
    assert created["spec"]["type"] == "ClusterIP"
    assert created["spec"]["clusterIP"] not in {"", "None"}
    assert created["spec"]["ports"] == [{"port": 80, "targetPort": 80, "protocol": "TCP"}]


async def test_secret_string_data_is_written_into_data(backend):
    body = {"metadata": {"name": "one"}, "stringData": {"key": "value"}}
    await backend.create("secrets", body)
    stored = await backend.get("secrets", "one")
    assert stored["data"] == {"key": "dmFsdWU="}
    assert "stringData" not in stored
    assert stored["type"] == "Opaque"


async def test_a_taken_name_is_409(backend):
    await backend.create("configmaps", config_map("one"))
    answer = await backend.request("POST", backend.path("configmaps"), config_map("one"))
    assert answer.status == 409
    assert answer.body["kind"] == "Status"
    assert answer.body["status"] == "Failure"
    assert answer.body["reason"] == "AlreadyExists"
    assert answer.body["message"] == 'configmaps "one" already exists'
    assert answer.body["details"] == {"name": "one", "kind": "configmaps"}
    assert answer.body["code"] == 409


async def test_an_absent_name_is_404(backend):
    answer = await backend.request("GET", backend.path("pods", "absent"))
    assert (answer.status, answer.body["reason"]) == (404, "NotFound")
    assert answer.body["message"] == 'pods "absent" not found'
    assert answer.body["details"] == {"name": "absent", "kind": "pods"}


async def test_a_grouped_resource_is_named_with_its_group(backend):
    path = backend.path("ingresses", "absent", group="networking.k8s.io")
    answer = await backend.request("GET", path)
    assert answer.body["message"] == 'ingresses.networking.k8s.io "absent" not found'
    assert answer.body["details"]["group"] == "networking.k8s.io"


async def test_an_absent_namespace_is_404(backend):
    answer = await backend.request("POST", "/api/v1/namespaces/absent-ns/pods", pod("one"))
    assert answer.status == 404
    assert answer.body["message"] == 'namespaces "absent-ns" not found'


async def test_another_namespace_in_the_body_is_400(backend):
    body = config_map("one", namespace="default")
    answer = await backend.request("POST", backend.path("configmaps"), body)
    assert answer.status == 400
    assert "does not match the namespace" in answer.body["message"]


async def test_an_unknown_field_is_400_where_validation_is_strict(backend):
    await needs_kubernetes(backend, 27)
    body = pod("one", containers=[{"name": "c", "image": "a:1", "imagePulPolicy": "Always"}])
    answer = await backend.request("POST", backend.path("pods"), body, fieldValidation="Strict")
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    assert 'unknown field "spec.containers[0].imagePulPolicy"' in answer.body["message"]


async def test_an_unknown_field_is_dropped_where_validation_is_off(backend):
    body = {**config_map("one"), "dta": {"a": "b"}}
    created = await backend.create("configmaps", body, fieldValidation="Ignore")
    assert "dta" not in created


@pytest.mark.parametrize(
    "changes",
    [
        {"containers": [{"name": "c", "image": "a:1", "env": [{"name": "A", "value": 1}]}]},
        {"terminationGracePeriodSeconds": "30"},
        {"containers": {"name": "c"}},
    ],
)
async def test_a_value_of_a_wrong_type_is_400(backend, changes):
    answer = await backend.request("POST", backend.path("pods"), pod("one", **changes))
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    assert "cannot be handled as a Pod" in answer.body["message"]


def container(**changes):
    return {"containers": [{"name": "c", "image": "a:1", **changes}]}


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"containers": []}, "spec.containers", "FieldValueRequired"),
        (container(image=""), "spec.containers[0].image", "FieldValueRequired"),
        (container(name="A_b"), "spec.containers[0].name", "FieldValueInvalid"),
        (
            container(imagePullPolicy="Sometimes"),
            "spec.containers[0].imagePullPolicy",
            "FieldValueNotSupported",
        ),
        (
            container(ports=[{"containerPort": 70000}]),
            "spec.containers[0].ports[0].containerPort",
            "FieldValueInvalid",
        ),
        (
            container(volumeMounts=[{"name": "home", "mountPath": "/home"}]),
            "spec.containers[0].volumeMounts[0].name",
            "FieldValueNotFound",
        ),
        (
            container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
            "spec.containers[0].resources.requests",
            "FieldValueInvalid",
        ),
        ({"restartPolicy": "Maybe"}, "spec.restartPolicy", "FieldValueNotSupported"),
        (
            {"volumes": [{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]},
            "spec.volumes[1].name",
            "FieldValueDuplicate",
        ),
    ],
)
async def test_an_invalid_pod_is_422_and_names_the_field(backend, changes, field, reason):
    answer = await backend.request("POST", backend.path("pods"), pod("one", **changes))
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert answer.body["message"].startswith('Pod "one" is invalid: ')
    causes = {(cause["field"], cause["reason"]) for cause in answer.body["details"]["causes"]}
    assert (field, reason) in causes
    assert answer.body["details"]["kind"] == "Pod"
    assert (await backend.request("GET", backend.path("pods", "one"))).status == 404


@pytest.mark.parametrize("name", ["Upper", "under_score", "-dash", "a" * 254, ""])
async def test_an_invalid_name_is_422(backend, name):
    answer = await backend.request("POST", backend.path("pods"), pod(name))
    assert answer.status == 422
    assert answer.body["details"]["causes"][0]["field"] == "metadata.name"


@pytest.mark.parametrize("labels", [{"a": "no spaces"}, {"a": "x" * 64}, {"/a": "b"}])
async def test_an_invalid_label_is_422(backend, labels):
    answer = await backend.request(
        "POST", backend.path("configmaps"), config_map("one", labels=labels)
    )
    assert answer.status == 422
    assert answer.body["details"]["causes"][0]["field"] == "metadata.labels"


async def test_an_invalid_quantity_of_a_claim_is_refused(backend):
    answer = await backend.request(
        "POST", backend.path("persistentvolumeclaims"), claim("home", "much")
    )
    assert answer.status == 400
    assert "quantities must match the regular expression" in answer.body["message"]


async def test_an_unknown_service_account_is_403(backend):
    answer = await backend.request(
        "POST", backend.path("pods"), pod("one", serviceAccountName="nobody")
    )
    assert (answer.status, answer.body["reason"]) == (403, "Forbidden")
    assert answer.body["message"] == (
        f'pods "one" is forbidden: error looking up service account {backend.namespace}/nobody: '
        'serviceaccount "nobody" not found'
    )


async def test_an_unknown_priority_class_is_403(backend):
    answer = await backend.request(
        "POST", backend.path("pods"), pod("one", priorityClassName="contract-none")
    )
    assert answer.status == 403
    assert "no PriorityClass with name contract-none was found" in answer.body["message"]


async def test_dry_run_writes_nothing(backend):
    created = await backend.create("configmaps", config_map("one"), dryRun="All")
    assert created["metadata"]["name"] == "one"
    assert (await backend.request("GET", backend.path("configmaps", "one"))).status == 404


async def test_a_body_that_is_no_json_is_400(backend):
    answer = await backend.request("POST", backend.path("configmaps"), b"{not json")
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


async def test_an_unknown_media_type_is_415(backend):
    answer = await backend.request(
        "POST", backend.path("configmaps"), b"x", content_type="text/csv"
    )
    assert (answer.status, answer.body["reason"]) == (415, "UnsupportedMediaType")


async def test_a_request_without_credentials_is_refused(backend):
    async with backend.stranger.get(
        backend.url + backend.path("pods"), headers={"Authorization": "Bearer wrong"}
    ) as response:
        body = await response.json()
    assert (response.status, body["reason"], body["code"]) == (401, "Unauthorized", 401)


async def test_an_unknown_resource_is_404(backend):
    assert (await backend.request("GET", backend.path("unheardof"))).status == 404


async def test_access_review(backend):
    body = {
        "spec": {
            "resourceAttributes": {
                "namespace": backend.namespace,
                "verb": "create",
                "resource": "pods",
            }
        }
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = await backend.request("POST", path, body)
    assert answer.status == 201
    assert answer.body["status"]["allowed"] is True
