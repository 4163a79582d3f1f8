"""Addresses, images, mounts, variables, logs and processes of the embedded node."""

import asyncio
import signal
from datetime import datetime, timezone
from pathlib import Path

import psutil
import pytest

from kubespawner.localcluster.addresses import Addresses, every_pod_can_have_its_own
from kubespawner.localcluster.containerlogs import ContainerLog
from kubespawner.localcluster.containers import POD_MARK, Process, StartError, kill_marked
from kubespawner.localcluster.environ import expanded
from kubespawner.localcluster.images import Images, PullError
from kubespawner.localcluster.volumes import Mounts, VolumeError, Volumes

# ---- addresses --------------------------------------------------------------------------


@pytest.mark.skipif(not every_pod_can_have_its_own(), reason="127.0.0.1 is the only address")
def test_every_pod_of_every_cluster_has_its_own_address():
    first, second = Addresses(), Addresses()
    try:
        given = [a.allot(str(number)) for a in (first, second) for number in range(600)]
        assert len(set(given)) == 1200
        assert first.allot("0") == given[0]
        first.release("0")
        # Not at once: somebody may still know it as the old pod's.
        assert first.allot("new") != given[0]
    finally:
        first.close()
        second.close()


def test_shared_addresses():
    addresses = Addresses(shared=True)
    assert {addresses.allot("a"), addresses.allot("b")} == {"127.0.0.1"}


# ---- images -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "busybox",
        "quay.io/jupyter/base-notebook:2024-01-01",
        "localhost:5000/a/b:latest",
        "a/b@sha256:" + "0" * 64,
    ],
)
def test_image_names(name):
    Images().check_name(name)


@pytest.mark.parametrize("name", ["", "Upper", "two words", "a:b:c", "http://x/y", "a/:x"])
def test_names_that_no_image_can_have(name):
    with pytest.raises(PullError) as refused:
        Images().check_name(name)
    assert refused.value.reason == "InvalidImageName"


def test_which_images_exist():
    images = Images(available=["quay.io/*"], denied=["quay.io/secret/*"])
    images.pull("quay.io/x/y:1")
    assert images.is_present("quay.io/x/y:1")
    with pytest.raises(PullError, match="not found"):
        images.pull("docker.io/x:1")
    with pytest.raises(PullError, match="authorization failed"):
        images.pull("quay.io/secret/x:1")
    with pytest.raises(PullError, match="not found"):
        Images().pull("registry.invalid:5000/x")


def test_what_images_start_by_themselves():
    images = Images(commands={"busybox*": ["sh"]})
    assert images.command("busybox:1") == ["sh"]
    assert images.command("quay.io/x") == ("jupyterhub-singleuser",)


# ---- mounts and variables ---------------------------------------------------------------


def mounts(**at):
    return Mounts({f"/{k.replace('_', '/')}": Path(v) for k, v in at.items()}, "127.70.0.1")


def test_mount_paths_are_replaced_where_they_stand_alone():
    found = mounts(home_jovyan="/real", data="/d")
    assert found.path("/home/jovyan") == "/real"
    assert found.path("--dir=/home/jovyan/x:/data") == "--dir=/real/x:/d"
    assert found.path("/home/jovyan2 /mnt/data /data.txt") == "/home/jovyan2 /mnt/data /data.txt"
    assert str(found.home()) == "/real"


def test_the_wildcard_address_is_replaced_in_arguments_and_nothing_like_it():
    found = mounts()
    assert found.argument("--ip=0.0.0.0") == "--ip=127.70.0.1"
    assert found.argument("10.0.0.0/8 0.0.0.0.1") == "10.0.0.0/8 0.0.0.0.1"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("JUPYTERHUB_SERVICE_URL", "http://0.0.0.0:8888/u/", "http://127.70.0.1:8888/u/"),
        ("JUPYTERHUB_SERVICE_URL", "https://:8888/u/", "https://127.70.0.1:8888/u/"),
        ("JUPYTERHUB_SERVICE_URL", "http://[::]:8888/u/", "http://127.70.0.1:8888/u/"),
        ("JUPYTERHUB_SERVICE_URL", "http://127.0.0.1:8888/", "http://127.0.0.1:8888/"),
        ("JUPYTERHUB_SERVICE_PREFIX", "/data/x/", "/data/x/"),
        ("JUPYTERHUB_SSL_KEYFILE", "/data/ssl.key", "/d/ssl.key"),
    ],
)
def test_variables(name, value, expected):
    assert mounts(data="/d").variable(name, value) == expected


def test_the_working_directory_may_be_the_home():
    found = Mounts({"/work": Path("/w"), "/home/x": Path("/h")}, "", "/work/")
    assert found.home() == Path("/w")


@pytest.mark.parametrize("below", ["../x", "/etc", "a/../../b"])
def test_a_sub_path_stays_in_its_volume(tmp_path, below):
    pod = {"metadata": {"uid": "u"}}
    mount = {"name": "v", "mountPath": "/v", "subPath": below}
    container = {"name": "main", "volumeMounts": [mount]}
    with pytest.raises(VolumeError, match="subPath"):
        Volumes(tmp_path).mounts(pod, container, {"v": tmp_path / "v"}, "")


async def test_host_paths(tmp_path):
    here = tmp_path
    volumes = Volumes(tmp_path / "root")

    async def prepare(**source):
        volume = {"name": "h", "hostPath": source}
        pod = {"metadata": {"uid": "u", "namespace": "n"}, "spec": {"volumes": [volume]}}
        return (await volumes.prepare(pod, None))["h"]

    assert await prepare(path=str(tmp_path)) == tmp_path
    missing = str(tmp_path / "missing")
    made = await prepare(path=missing, type="DirectoryOrCreate")
    assert made.is_dir() and made.is_relative_to(tmp_path / "root")
    assert "missing" not in [path.name for path in here.iterdir()]
    with pytest.raises(VolumeError, match="is not a directory"):
        await prepare(path=missing, type="Directory")


def test_references():
    known = {"A": "1", "B": "$(A)"}
    assert expanded("$(A) $(B) $(C) $$(A) $$ $A", known) == "1 $(A) $(C) $(A) $ $A"


# ---- logs and processes -----------------------------------------------------------------


async def text(log, **options):
    return b"".join([piece async for piece in log.read(**options)])


async def test_logs_keep_unfinished_lines_together(tmp_path):
    log = ContainerLog(tmp_path / "log")
    for piece in (b"on", b"e\ntwo\n\nprogress 1\r", b"progress 2\r", b"\n\xff end"):
        log.write(piece)
    log.close()
    assert await text(log) == b"one\ntwo\n\nprogress 1\rprogress 2\r\n\xff end"
    assert await text(log, tail_lines=2) == b"progress 1\rprogress 2\r\n\xff end"
    assert await text(log, tail_lines=100) == await text(log)
    assert await text(log, since=datetime(2200, 1, 1, tzinfo=timezone.utc)) == b""
    assert (await text(log, timestamps=True)).count(b"Z ") == 5


async def test_a_follower_gets_what_comes_and_ends_with_the_log(tmp_path):
    log = ContainerLog(tmp_path / "log")
    log.write(b"a\n")
    following = log.read(follow=True)
    assert await anext(following) == b"a\n"
    waiting = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    log.write(b"b")
    assert await waiting == b"b"
    log.close()
    assert [piece async for piece in following] == []


def environment(mark):
    return {"PATH": "/usr/bin:/bin", POD_MARK: mark}


async def start(tmp_path, *argv, mark="test/1"):
    return await Process.start(argv, environment(mark), tmp_path, ContainerLog(tmp_path / "log"))


@pytest.mark.parametrize("program", ["no-such-program", "/no/such", "./here"])
async def test_programs_that_cannot_be_run(tmp_path, program):
    (tmp_path / "here").write_text("not executable")
    with pytest.raises(StartError, match=r"not found|no such file|permission denied"):
        await start(tmp_path, program)


async def test_only_the_main_process_gets_sigterm_and_the_rest_ends_with_it(tmp_path):
    script = "trap 'echo main; exit 4' TERM; (trap 'echo child' TERM; sleep 300) & echo $!; wait"
    process = await start(tmp_path, "sh", "-c", script)
    first = await anext(process.log.read(follow=True))
    child = int(first.split()[0])
    process.terminate()
    assert await process.ended == 4
    assert b"child" not in await text(process.log)
    assert b"main" in await text(process.log)
    assert not psutil.pid_exists(child)


async def test_a_shim_that_is_killed_is_noticed_and_what_it_leaves_can_be_found(tmp_path):
    process = await start(tmp_path, "sh", "-c", "echo $$; exec sleep 300", mark="lost/1")
    child = psutil.Process(int(await anext(process.log.read(follow=True))))
    psutil.Process(process.pid).send_signal(signal.SIGKILL)
    assert await process.ended == 137
    await asyncio.to_thread(kill_marked, "lost")
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
