"""The pytest plugin, used as an operator would: in a project of its own."""

import subprocess
import sys

TEST = """
async def test_hook(make_spawner, local_cluster):
    def hook(spawner, pod):
        pod.metadata.labels["team"] = "physics"
        return pod

    spawner = make_spawner("alice", "lab", modify_pod_hook=hook)
    await spawner.start()
    pod = await local_cluster.api.read_namespaced_pod(spawner.pod_name, "default")
    assert pod.metadata.labels["team"] == "physics"
    assert await spawner.poll() is None
    await spawner.stop()


async def test_file(make_spawner):
    spawner = make_spawner(config_file="jupyterhub_config.py", groups=("staff",))
    manifest = await spawner.get_pod_manifest()
    assert manifest.spec.containers[0].image == "example/notebook:3"


def test_without_it():
    import sys

    assert "kubespawner.spawner" not in sys.modules
"""
CONFIG = "c.KubeSpawner.image = 'example/notebook:3'\n"


def run(directory, *names):
    (directory / "test_mine.py").write_text(TEST)
    (directory / "jupyterhub_config.py").write_text(CONFIG)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-o", "asyncio_mode=auto", *names],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_operators_can_test_hooks_and_configuration_files(tmp_path):
    result = run(tmp_path, "test_mine.py::test_hook", "test_mine.py::test_file")
    assert "2 passed" in result.stdout, result.stdout + result.stderr


def test_it_costs_nothing_where_it_is_not_used(tmp_path):
    result = run(tmp_path, "test_mine.py::test_without_it")
    assert "1 passed" in result.stdout, result.stdout + result.stderr
