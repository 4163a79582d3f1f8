"""The examples of the documentation: each is loaded, checked, and its server runs.

On the embedded cluster; what an example promises is looked at where it counts, in the pod.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from traitlets.config import PyFileConfigLoader

from kubespawner import KubeSpawner
from kubespawner.localcluster import LocalCluster
from kubespawner.localcluster.pytest_plugin import ANSWERING
from kubespawner.proxy import KubeGatewayProxy, KubeIngressProxy
from kubespawner.startcheck import configuration_mistakes

from .conftest import ROOT

EXAMPLES = ROOT / "docs" / "examples"
CHECKS = {}


def check(name):
    """Register the check of an example."""

    def register(function):
        CHECKS[name] = function
        return function

    return register


def load(name):
    return PyFileConfigLoader(f"{name}.py", path=str(EXAMPLES)).load_config()


class Bench:
    """A cluster, and a way to start a server on it with an example's configuration."""

    def __init__(self, name, make_spawner, cluster):
        self.name = name
        self.make_spawner = make_spawner
        self.api = cluster.api

    async def spawner(self, user="alice", server="", groups=(), **options):
        cls = load(self.name).JupyterHub.get("spawner_class", KubeSpawner)
        spawner = self.make_spawner(
            user,
            server,
            groups=groups,
            spawner_class=cls if isinstance(cls, type) else KubeSpawner,
            config_file=EXAMPLES / f"{self.name}.py",
            cmd=ANSWERING,
            start_timeout=100,
        )
        spawner.user_options = options
        if callable(spawner.pre_spawn_hook):
            await spawner.pre_spawn_hook(spawner)
        return spawner

    async def start(self, user="alice", server="", groups=(), **options):
        """Start a server; return its spawner and its pod."""
        spawner = await self.spawner(user, server, groups, **options)
        await spawner.start()
        pod = await self.api.read_namespaced_pod(spawner.pod_name, spawner.namespace)
        assert pod.status.phase == "Running"
        return spawner, pod

    async def manifest(self, user="alice", server="", groups=(), **options):
        """Return the pod that would be created, as the API server has checked it."""
        spawner = await self.spawner(user, server, groups, **options)
        await spawner.load_user_options()
        manifest = await spawner.get_pod_manifest()
        return await self.api.create_namespaced_pod("default", manifest, dry_run="All")


def env_of(pod):
    return {variable.name: variable.value for variable in pod.spec.containers[0].env}


@check("resources")
async def resources(bench):
    _, pod = await bench.start()
    wanted = pod.spec.containers[0].resources
    assert wanted.limits == {"cpu": "2", "memory": "2147483648", "ephemeral-storage": "5Gi"}
    assert wanted.requests["cpu"] == "200m"
    assert wanted.requests["memory"] == "536870912"


@check("home")
async def home(bench):
    _, pod = await bench.start()
    claim = await bench.api.read_namespaced_persistent_volume_claim("claim-alice", "default")
    assert claim.spec.resources.requests == {"storage": "10Gi"}
    assert pod.spec.volumes[0].persistent_volume_claim.claim_name == "claim-alice"
    assert pod.spec.security_context.fs_group == 100


@check("shared_data")
async def shared_data(bench):
    await bench.api.create_namespaced_persistent_volume_claim(
        "default",
        {
            "metadata": {"name": "shared"},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        },
    )
    pod = await bench.manifest("a.b")
    mounts = {mount.mount_path: mount for mount in pod.spec.containers[0].volume_mounts}
    assert mounts["/data"].read_only
    assert mounts["/home/jovyan"].sub_path.startswith("homes/a-b---")


@check("environment")
async def environment(bench):
    _, pod = await bench.start("Alice A", groups=("b", "a"))
    env = env_of(pod)
    assert (env["GIT_AUTHOR_NAME"], env["GREETING"]) == ("Alice A", "Hello {you}")
    assert env["USER_GROUPS"] == "a,b"
    assert env["API_KEY"] is None


@check("init_container")
async def init_container(bench):
    pod = await bench.manifest()
    (container,) = pod.spec.init_containers
    assert container.volume_mounts[0].mount_path == "/work"


@check("profiles")
async def profiles(bench):
    spawner, pod = await bench.start()
    assert spawner.mem_limit == 2**30
    await spawner.stop()
    _, pod = await bench.start("bob", profile="choose", image="r", memory="4")
    assert pod.spec.containers[0].image == "quay.io/jupyter/r-notebook:2025-03-10"
    assert pod.spec.containers[0].resources.limits["memory"] == str(4 * 2**30)
    other = {"profile": "choose", "image--unlisted-choice": "quay.io/jupyter/base-notebook:2025"}
    pod = await bench.manifest("carol", **other)
    assert pod.spec.containers[0].image == "quay.io/jupyter/base-notebook:2025"
    with pytest.raises(ValueError, match=r"with its tag"):
        await bench.manifest("carol", profile="choose", **{"image--unlisted-choice": "x/y:1"})
    with pytest.raises(ValueError, match="gpu"):
        await bench.manifest("dave", profile="gpu")
    pod = await bench.manifest("dave", groups=("research",), profile="gpu")
    assert pod.spec.node_selector == {"accelerator": "nvidia"}


@check("profiles_callable")
async def profiles_callable(bench):
    pod = await bench.manifest(
        groups=("staff", "course-maths", "course-art"), profile="course-maths"
    )
    assert pod.spec.containers[0].image == "registry.example.org/course-maths:latest"
    _, pod = await bench.start("bob", groups=("course-art",))
    assert env_of(pod)["COURSE"] == "course-art"


@check("placement")
async def placement(bench):
    _, pod = await bench.start()
    assert pod.spec.node_selector == {"pool": "users"}
    assert pod.spec.affinity.pod_affinity.preferred_during_scheduling_ignored_during_execution


@check("restricted")
async def restricted(bench):
    pod = await bench.manifest()
    context = pod.spec.containers[0].security_context
    assert context.capabilities.drop == ["ALL"]
    assert context.run_as_user == 1000


@check("user_namespaces")
async def user_namespaces(bench):
    spawner, pod = await bench.start("Alice")
    assert pod.metadata.namespace == spawner.namespace
    assert spawner.namespace.startswith("lab-alice---")
    made = await bench.api.read_namespace(spawner.namespace)
    assert made.metadata.labels["pod-security.kubernetes.io/enforce"] == "baseline"
    assert made.metadata.annotations["example.org/owner"] == "Alice"


@check("second_hub")
async def second_hub(bench):
    _, pod = await bench.start()
    assert pod.metadata.name == "staging-alice"
    assert pod.metadata.labels["component"] == "staging-server"


@check("hooks")
async def hooks(bench):
    _, pod = await bench.start(groups=("physics",))
    assert pod.metadata.labels["cost-centre"] == "physics"
    made = await bench.api.read_namespaced_config_map(pod.metadata.name, "default")
    assert made.data == {"user": "alice"}
    assert made.metadata.owner_references[0].uid == pod.metadata.uid


@check("pre_spawn")
async def pre_spawn(bench):
    _, pod = await bench.start(groups=("staff",))
    assert pod.spec.containers[0].resources.limits["memory"] == str(8 * 2**30)
    _, pod = await bench.start("bob")
    assert "example.org/class" not in pod.metadata.annotations


@check("subclass")
async def subclass(bench):
    _, pod = await bench.start()
    assert pod.metadata.labels["course"] == "statistics"


@check("ingress")
async def ingress(bench):
    proxy = KubeIngressProxy(config=load("ingress"))
    _, _, route = proxy._manifests("/user/a/", "http://10.0.0.1:8888", {"user": "a"})
    assert route["spec"]["tls"] == [{"hosts": ["hub.example.org"], "secretName": "hub-tls"}]
    await proxy.stop()


@check("gateway")
async def gateway(bench):
    proxy = KubeGatewayProxy(config=load("gateway"))
    _, _, route = proxy._manifests("/user/a/", "http://10.0.0.1:8888", {"user": "a"})
    assert route["spec"]["hostnames"] == ["hub.example.org"]
    await proxy.stop()


NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))


def test_every_example_has_a_check():
    assert sorted(CHECKS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_example_has_no_mistakes(name):
    config = load(name)
    spawner_class = config.JupyterHub.get("spawner_class", KubeSpawner)
    assert configuration_mistakes(spawner_class, config) == []


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_shown_on_a_page(name):
    pages = [page.read_text() for page in (ROOT / "docs").rglob("*.md")]
    assert any(f"examples/{name}.py" in page for page in pages)


@pytest.fixture
async def local_cluster(monkeypatch):
    """A cluster whose node has what the examples ask of nodes."""
    capacity = {"cpu": "16", "memory": "64Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    async with LocalCluster(labels={"pool": "users"}, capacity=capacity) as cluster:
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig_path))
        yield cluster
        await KubeSpawner._stop_all_reflectors()


@pytest.mark.parametrize("name", NAMES)
async def test_an_example_does_what_it_says(name, make_spawner, local_cluster):
    await CHECKS[name](Bench(name, make_spawner, local_cluster))


def test_examples_are_short_enough_to_read():
    assert all(len(Path(EXAMPLES / f"{n}.py").read_text().splitlines()) < 80 for n in NAMES)
