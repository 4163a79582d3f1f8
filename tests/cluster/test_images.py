"""Images that can't be had, and those that can, from a registry that the test runs."""

import base64
import json
import secrets
import shutil
import subprocess

import pytest

from kubespawner.errors import SpawnError
from tests.support.registry import Registry

from .conftest import on_this_machine

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

LOGIN = ("alice", "letmein")
PULL = {"cmd": None, "image_pull_policy": "Always"}


@pytest.fixture(scope="session")
def program(tmp_path_factory) -> bytes:
    """A static program that waits until it is told to end."""
    on_this_machine()
    if shutil.which("gcc") is None:
        pytest.skip("gcc is missing: apt-get install gcc libc6-dev")
    folder = tmp_path_factory.mktemp("program")
    (folder / "wait.c").write_text(
        "#include <signal.h>\n#include <unistd.h>\n"
        "int main(void) { signal(SIGTERM, _exit); for (;;) pause(); }\n"
    )
    subprocess.run(["gcc", "-Os", "-static", "-s", "-o", "wait", "wait.c"], cwd=folder, check=True)
    return (folder / "wait").read_bytes()


@pytest.fixture
async def registry(program):
    # A layer of its own each time: the node keeps those that it has had, under any image's name.
    files = {"wait": program, "made": secrets.token_bytes(8)}
    async with Registry(files, ["/wait"], LOGIN) as running:
        yield running


async def refused(spawner) -> SpawnError:
    with pytest.raises(SpawnError) as error:
        await spawner.start()
    assert spawner.image in error.value.jupyterhub_message
    return error.value


async def give_login(api, namespace, registry, password):
    login = base64.b64encode(f"{LOGIN[0]}:{password}".encode()).decode()
    content = {"auths": {f"127.0.0.1:{registry.port}": {"auth": login}}}
    secret = {
        "metadata": {"name": "login"},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps(content)},
    }
    await api.create_namespaced_secret(namespace, secret)


async def test_a_name_that_can_not_be_one(make_spawner):
    spawner = make_spawner(image="Upper/Case:1")
    error = await refused(spawner)
    assert error.reason == "InvalidImageName"


async def test_not_there_and_not_to_be_pulled(make_spawner):
    error = await refused(make_spawner(image="kubespawner/absent:1", image_pull_policy="Never"))
    assert error.reason == "ErrImageNeverPull"


async def test_no_registry_answers(make_spawner):
    error = await refused(
        make_spawner(
            image="127.0.0.1:1/nowhere/missing:1", spawn_patience={"RegistryUnreachable": 1}
        )
    )
    assert error.reason == "RegistryUnreachable"


async def test_the_registry_does_not_know_the_tag(make_spawner, program):
    async with Registry({"wait": program}, ["/wait"]) as registry:
        error = await refused(
            make_spawner(**PULL, image=registry.image("2"), spawn_patience={"ImageNotFound": 1})
        )
    assert error.reason == "ImageNotFound"


async def test_the_registry_wants_a_login(make_spawner, registry):
    error = await refused(
        make_spawner(**PULL, image=registry.image(), spawn_patience={"ImagePullDenied": 1})
    )
    assert error.reason == "ImagePullDenied"
    assert registry.served == []


async def test_a_wrong_login_is_denied(make_spawner, registry, api, namespace):
    await give_login(api, namespace, registry, "wrong")
    error = await refused(
        make_spawner(
            **PULL,
            image=registry.image(),
            image_pull_secrets=["login"],
            spawn_patience={"ImagePullDenied": 1},
        )
    )
    assert error.reason == "ImagePullDenied"


async def test_a_pull_secret_opens_the_registry_and_a_slow_pull_is_told(
    make_spawner, registry, api, namespace
):
    await give_login(api, namespace, registry, LOGIN[1])
    spawner = make_spawner(**PULL, image=registry.image(), image_pull_secrets=["login"])
    registry.gate.clear()
    start = spawner.start()
    async for entry in spawner.progress():
        if f'Pulling image "{registry.image()}"' in entry["message"]:
            break
    assert await spawner.poll() is None
    assert not start.done()
    registry.gate.set()
    await start
    assert len(registry.served) == 2
