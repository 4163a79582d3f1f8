"""``deploy/``: what kustomize makes of it is valid, restricted, and has the minimal Role."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from traitlets.config import PyFileConfigLoader

from kubespawner import KubeSpawner
from kubespawner.cli.role import settings_of
from kubespawner.permissions import roles
from kubespawner.podsecurity import violations
from tests.support.schemas import ALL, assert_valid

DEPLOY = Path(__file__).parents[2] / "deploy"
OVERLAYS = ("single-namespace", "user-namespaces", "internal-tls", "network-policies")
# Of these kinds there are schemas of 1.20 to 1.24 as well.
EVERYWHERE = {"Service", "PersistentVolumeClaim"}
SINCE_1_25 = ALL[ALL.index("1.25") :]

needs_kubectl = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")


def documents(path):
    return [item for item in yaml.safe_load_all(path.read_text()) if item]


def rendered(overlay):
    done = subprocess.run(
        ["kubectl", "kustomize", str(DEPLOY / overlay)], capture_output=True, text=True, check=True
    )
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def config_of(overlay, tmp_path):
    """Return the configuration as the hub loads it from the overlay's ConfigMap."""
    for folder in (DEPLOY / "base", DEPLOY / overlay):
        for path in folder.glob("*.py"):
            shutil.copy(path, tmp_path)
    return PyFileConfigLoader("jupyterhub_config.py", path=str(tmp_path)).load_config()


def without_namespace(manifest):
    """Return ``manifest`` as it is before kustomize fills namespaces in."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "namespace"}
    found = {**manifest, "metadata": metadata}
    if "subjects" in found:
        found["subjects"] = [
            {key: value for key, value in subject.items() if key != "namespace"}
            for subject in found["subjects"]
        ]
    return found


@pytest.fixture(autouse=True)
def in_a_pod(monkeypatch):
    monkeypatch.setenv("POD_NAMESPACE", "jupyterhub")


@pytest.mark.parametrize("overlay", ["single-namespace", "user-namespaces", "internal-tls"])
def test_the_role_that_is_shipped_is_the_minimal_one_of_its_configuration(overlay, tmp_path):
    settings = settings_of(KubeSpawner, config_of(overlay, tmp_path))
    made = [without_namespace(m) for m in roles(settings, namespace="jupyterhub")]
    assert documents(DEPLOY / overlay / "role.yaml") == made


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_manifest_is_valid_and_in_the_namespace(overlay):
    manifests = rendered(overlay)
    for manifest in manifests:
        assert_valid(manifest, ALL if manifest["kind"] in EVERYWHERE else SINCE_1_25)
        if not manifest["kind"].startswith("Cluster"):
            assert manifest["metadata"]["namespace"] == "jupyterhub"
        for subject in manifest.get("subjects", ()):
            assert subject["namespace"] == "jupyterhub"
    assert "Secret" not in {manifest["kind"] for manifest in manifests}


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_hub_and_proxy_are_restricted_and_write_nothing_into_their_image(overlay):
    pods = [m["spec"]["template"] for m in rendered(overlay) if m["kind"] == "Deployment"]
    assert pods
    for pod in pods:
        assert violations(pod, "restricted") == []
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert {"startupProbe", "readinessProbe", "livenessProbe"} - set(container) <= {
                "startupProbe"
            }


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_lead_to_ports_that_pods_have(overlay):
    manifests = rendered(overlay)
    pods = [m["spec"]["template"] for m in manifests if m["kind"] == "Deployment"]
    services = [m for m in manifests if m["kind"] == "Service"]
    for service in services:
        selector = service["spec"]["selector"].items()
        (pod,) = [pod for pod in pods if selector <= pod["metadata"]["labels"].items()]
        named = {port["name"] for c in pod["spec"]["containers"] for port in c["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= named


async def test_users_pods_are_restricted(local_cluster, make_spawner):
    config = DEPLOY / "base" / "jupyterhub_config.py"
    spawner = make_spawner("alice", config_file=config)
    pod = await spawner.get_pod_manifest()
    assert violations(pod, "restricted") == []
    (container,) = pod.spec.containers
    assert container.security_context["readOnlyRootFilesystem"] is True
