"""The resolver, the provisioner, certificates, archives and processes of the real test cluster."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import ssl
import struct
import subprocess
import sys
import tarfile

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from realcluster import addons, archive, dns, images, pki, processes, provisioner, steps
from realcluster import settings as s
from realcluster.archive import Entry
from realcluster.commands import Part
from realcluster.settings import Layout


def _service(cluster_ip="10.96.0.7", **spec):
    ports = [{"name": "http", "protocol": "TCP", "port": 8081}]
    return {"spec": {"clusterIP": cluster_ip, "ports": ports, **spec}}


def _query(name, kind):
    return b"\x12\x34\x01\x00\0\1\0\0\0\0\0\0" + dns.encode_name(name) + struct.pack("!HH", kind, 1)


def _ask(zone, name, kind=dns.A):
    """(response code, [record data]) of a query."""
    query = _query(name, kind)
    data = dns.answer(query, zone)
    assert data[:2] == query[:2]
    flags, questions, answers = struct.unpack_from("!HHH", data, 2)
    assert questions == 1
    offset, found = len(query), []
    for _ in range(answers):
        length = struct.unpack_from("!H", data, offset + 10)[0]
        found.append(data[offset + 12 : offset + 12 + length])
        offset += 12 + length
    assert offset == len(data)
    return flags & 0xF, found


HUB = "hub.jupyter.svc.cluster.local"


@pytest.fixture
def zone():
    pods = [{"ip": "10.244.0.7"}, {"ip": "10.244.0.8", "hostname": "one"}]
    services = {
        "jupyter/hub": _service(),
        "jupyter/headless": _service("None"),
        "jupyter/outside": {"spec": {"type": "ExternalName", "externalName": "example.org"}},
    }
    subsets = [{"addresses": pods, "ports": [{"name": "http", "protocol": "TCP", "port": 80}]}]
    return dns.zone_of(services, {"jupyter/headless": {"subsets": subsets}})


def test_a_service_has_its_cluster_address(zone):
    assert _ask(zone, HUB) == (0, [socket.inet_aton("10.96.0.7")])
    assert _ask(zone, HUB.upper()) == (0, [socket.inet_aton("10.96.0.7")])


def test_a_missing_name_and_a_missing_type_are_different_answers(zone):
    # musl and glibc give up on a name when the query for IPv6 says that it doesn't exist.
    assert _ask(zone, HUB, 28) == (0, [])
    assert _ask(zone, "nobody.jupyter.svc.cluster.local") == (3, [])
    assert _ask(zone, "jupyter.svc.cluster.local") == (0, [])


def test_a_headless_service_has_its_pods(zone):
    host = "headless.jupyter.svc.cluster.local"
    code, found = _ask(zone, host)
    assert code == 0
    assert sorted(map(socket.inet_ntoa, found)) == ["10.244.0.7", "10.244.0.8"]
    assert _ask(zone, f"one.{host}") == (0, [socket.inet_aton("10.244.0.8")])
    assert _ask(zone, f"10-244-0-7.{host}") == (0, [socket.inet_aton("10.244.0.7")])


def test_ports_reverse_names_and_external_names(zone):
    target = struct.pack("!HHH", 0, 100, 8081) + dns.encode_name(HUB)
    assert _ask(zone, f"_http._tcp.{HUB}", dns.SRV) == (0, [target])
    assert _ask(zone, "7.0.96.10.in-addr.arpa", dns.PTR) == (0, [dns.encode_name(HUB)])
    outside = "outside.jupyter.svc.cluster.local"
    assert _ask(zone, outside) == (0, [dns.encode_name("example.org")])


def test_a_pod_name_holds_its_address(zone):
    assert _ask(zone, "10-244-0-9.any.pod.cluster.local") == (0, [socket.inet_aton("10.244.0.9")])
    assert _ask(zone, "10-244-0.any.pod.cluster.local") == (3, [])
    assert _ask(zone, "10-244-0-999.any.pod.cluster.local") == (3, [])


def test_other_domains_are_asked_outside(zone):
    assert not dns.is_ours("pypi.org", zone)
    assert not dns.is_ours("1.2.3.4.in-addr.arpa", zone)
    assert dns.is_ours("7.0.96.10.in-addr.arpa", zone)
    assert dns.is_ours("x.cluster.local", zone)


@pytest.mark.parametrize(
    "query", [b"", b"\0" * 12, _query("a.b", 1)[:-6], b"\0" * 12 + b"\xc0\x0c"]
)
async def test_a_broken_query_is_answered_with_a_failure(query):
    response = await dns.Server([]).respond(query)
    assert len(response) == 12
    assert response[3] & 0xF == 2


def _free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_names_are_answered_over_udp_and_in_full_over_tcp(zone):
    pods = [{"ip": f"10.244.0.{number}"} for number in range(2, 60)]
    ready = {"jupyter/headless": {"subsets": [{"addresses": pods}]}}
    server = dns.Server([])
    server.zone = dns.zone_of({"jupyter/headless": _service("None")}, ready)
    port = _free_port()
    await server.listen("127.0.0.1", port)
    query = _query("headless.jupyter.svc.cluster.local", dns.A)

    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        await loop.sock_sendto(client, query, ("127.0.0.1", port))
        truncated = await loop.sock_recv(client, 4096)
    assert truncated[2] & 0x02
    assert struct.unpack_from("!H", truncated, 6)[0] == 0

    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(struct.pack("!H", len(query)) + query)
    whole = await reader.readexactly(struct.unpack("!H", await reader.readexactly(2))[0])
    assert struct.unpack_from("!H", whole, 6)[0] == len(pods)
    writer.close()


def test_upstreams():
    assert dns.upstreams("search x\nnameserver 10.0.0.2\n# no\nnameserver ::1\n") == [
        "10.0.0.2",
        "::1",
    ]


CLASSES = {s.STORAGE_CLASS: {"provisioner": s.PROVISIONER, "reclaimPolicy": "Delete"}}


def _claim(**spec):
    return {
        "metadata": {"name": "claim-ada", "namespace": "jupyter", "uid": "u-1"},
        "spec": {
            "storageClassName": s.STORAGE_CLASS,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            **spec,
        },
        "status": {"phase": "Pending"},
    }


def test_only_pending_claims_of_our_class_get_a_volume():
    assert provisioner.wants_volume(_claim(), CLASSES)
    assert not provisioner.wants_volume(_claim(), {})
    assert not provisioner.wants_volume(_claim(storageClassName="fast"), CLASSES)
    assert not provisioner.wants_volume(_claim(storageClassName=None), CLASSES)
    assert not provisioner.wants_volume(_claim(volumeName="pv-1"), CLASSES)
    assert not provisioner.wants_volume({**_claim(), "status": {"phase": "Bound"}}, CLASSES)
    dying = _claim()
    dying["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not provisioner.wants_volume(dying, CLASSES)


def test_a_volume_is_reserved_for_its_claim_alone(tmp_path):
    volume = provisioner.volume_for(_claim(), CLASSES[s.STORAGE_CLASS], tmp_path)
    assert volume["metadata"]["name"] == "pvc-u-1"
    spec = volume["spec"]
    assert (spec["claimRef"]["namespace"], spec["claimRef"]["uid"]) == ("jupyter", "u-1")
    assert spec["capacity"] == {"storage": "1Gi"}
    assert spec["local"]["path"] == f"{tmp_path}/pvc-u-1"
    assert spec["persistentVolumeReclaimPolicy"] == "Delete"


def test_only_released_volumes_of_ours_are_removed(tmp_path):
    volume = provisioner.volume_for(_claim(), CLASSES[s.STORAGE_CLASS], tmp_path)
    assert not provisioner.is_released({**volume, "status": {"phase": "Bound"}})
    released = {**volume, "status": {"phase": "Released"}}
    assert provisioner.is_released(released)
    assert not provisioner.is_released({**released, "metadata": {"name": "pv-of-an-admin"}})
    keep = {**released, "spec": {**released["spec"], "persistentVolumeReclaimPolicy": "Retain"}}
    assert not provisioner.is_released(keep)


def test_certificates_are_made_once_and_belong_together(tmp_path):
    layout = Layout(tmp_path, tmp_path / "run")
    pki.ensure(layout)
    authority = x509.load_pem_x509_certificate((layout.pki / "ca.crt").read_bytes())
    node = x509.load_pem_x509_certificate((layout.pki / "kubelet.crt").read_bytes())
    node.verify_directly_issued_by(authority)
    names = {part.oid: part.value for part in node.subject}
    assert names[NameOID.COMMON_NAME] == f"system:node:{s.NODE}"
    assert names[NameOID.ORGANIZATION_NAME] == "system:nodes"
    server = x509.load_pem_x509_certificate((layout.pki / "apiserver.crt").read_bytes())
    served = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "kubernetes.default.svc" in served.get_values_for_type(x509.DNSName)
    assert isinstance(server.public_key(), ec.EllipticCurvePublicKey)
    # The key fits the certificate.
    ssl.create_default_context(cafile=layout.pki / "ca.crt").load_cert_chain(
        layout.pki / "apiserver.crt", layout.pki / "apiserver.key"
    )
    before = layout.kubeconfig.read_bytes()
    pki.ensure(layout)
    assert layout.kubeconfig.read_bytes() == before


def test_secrets_are_readable_for_the_owner_only(tmp_path):
    layout = Layout(tmp_path, tmp_path / "run")
    pki.ensure(layout)
    secret = [*layout.pki.glob("*.key"), layout.pki / "tokens.csv", layout.kubeconfig]
    assert {path.stat().st_mode & 0o777 for path in secret} == {0o600}


def test_the_admin_kubeconfig_has_the_token_of_the_token_file(tmp_path):
    layout = Layout(tmp_path, tmp_path / "run")
    pki.ensure(layout)
    config = json.loads(layout.kubeconfig.read_text())
    token = config["users"][0]["user"]["token"]
    assert (layout.pki / "tokens.csv").read_text() == f'{token},admin,admin,"system:masters"\n'
    authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"])
    assert authority == (layout.pki / "ca.crt").read_bytes()


def test_an_archive_names_its_layers_by_their_content(tmp_path):
    entries = images.busybox_entries(b"binary", ["busybox", "sh"], {"/lib64/ld.so": b"loader"})
    archive.layer(tmp_path / "layer.tar", entries)
    archive.write(tmp_path / "image.tar", ["a:test"], [tmp_path / "layer.tar"], {}, "x86_64")
    total = s.sha256(tmp_path / "layer.tar")
    with tarfile.open(tmp_path / "image.tar") as tar:
        manifest = json.load(tar.extractfile("manifest.json"))[0]
        config = json.load(tar.extractfile(manifest["Config"]))
        assert manifest["RepoTags"] == ["a:test"]
        assert manifest["Layers"] == [f"{total}/layer.tar"]
        assert config["rootfs"]["diff_ids"] == [f"sha256:{total}"]
        assert config["architecture"] == "amd64"
        with tarfile.open(fileobj=tar.extractfile(manifest["Layers"][0])) as layer:
            assert layer.getmember("bin/sh").linkname == "busybox"
            assert layer.getmember("bin/busybox").isreg()
            assert layer.extractfile("lib64/ld.so").read() == b"loader"
            assert layer.getmember("lib64").isdir()
            assert layer.getmember("tmp").mode == 0o1777
            assert layer.getmember("home/jovyan").uid == 1000


def test_a_layer_is_the_same_bytes_each_time(tmp_path):
    for name in ("one", "two"):
        archive.layer(tmp_path / name, {"pause": Entry(b"x"), "link": Entry(link="pause")})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_image_tags_follow_the_inputs():
    image = images.Image("kubespawner/busybox:test", "abc", {}, lambda work, log: [])
    assert image.key_tag == "kubespawner/busybox:abc"
    assert image.file == "busybox-abc.tar"


def test_a_node_with_a_taint_is_not_ready():
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    assert addons.node_ready({"spec": {}, "status": ready})
    tainted = {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]}
    assert not addons.node_ready({"spec": tainted, "status": ready})
    assert not addons.node_ready({"spec": {}, "status": {}})


SLEEP = (sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)")


@pytest.fixture
def running(tmp_path):
    found = processes.Processes(Layout(tmp_path, tmp_path / "run"))
    yield found
    found.stop("sleeper")


def test_a_part_is_started_once_found_again_and_stopped(running):
    part = Part("sleeper", SLEEP)
    running.start(part)
    pid = running.pid("sleeper")
    assert pid is not None
    running.start(part)
    assert processes.Processes(running.layout).pid("sleeper") == pid
    running.stop("sleeper")
    assert running.pid("sleeper") is None
    assert processes.start_time(pid) is None


def test_a_part_with_another_command_line_is_replaced(running):
    running.start(Part("sleeper", SLEEP))
    pid = running.pid("sleeper")
    running.start(Part("sleeper", (*SLEEP, "more")))
    assert running.pid("sleeper") not in (None, pid)


def test_a_process_id_used_by_somebody_else_is_not_ours(running):
    other = subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL)
    try:
        running.layout.run.mkdir()
        record = {"pid": other.pid, "started": "1", "argv": "x"}
        (running.layout.run / "sleeper.json").write_text(json.dumps(record))
        assert running.pid("sleeper") is None
        running.stop("sleeper")
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_part_that_exits_fails_the_step_with_the_end_of_its_log(running):
    part = Part(
        "sleeper",
        (sys.executable, "-c", "raise SystemExit('no such flag')"),
        ready="http://127.0.0.1:1/",
    )
    running.start(part)
    with pytest.raises(steps.StepFailed, match="sleeper exited") as failure:
        running.await_ready(part)
    assert "no such flag" in failure.value.tail


def test_a_failing_command_brings_the_end_of_its_output(tmp_path):
    log = tmp_path / "x.log"
    with pytest.raises(steps.StepFailed, match="exited with 3") as failure:
        steps.run(["sh", "-c", "echo reason; exit 3"], log=log)
    assert "reason" in failure.value.tail
    with pytest.raises(steps.StepFailed, match="not installed"):
        steps.run(["/no/such/command"], log=log)


def test_our_processes_keep_a_kubeconfig_that_kubectl_does_not_rewrite(tmp_path):
    layout = Layout(tmp_path, tmp_path / "run")
    pki.ensure(layout)
    before = layout.admin.read_bytes()
    layout.kubeconfig.write_text("current-context: other\n")
    pki.ensure(layout)
    assert layout.kubeconfig.read_text() == "current-context: other\n"
    layout.kubeconfig.unlink()
    pki.ensure(layout)
    assert layout.kubeconfig.read_bytes() == layout.admin.read_bytes() == before


def test_a_socket_nobody_listens_on_is_not_ready(tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        assert not processes.connects(socket.AF_UNIX, path)
        server.listen()
        assert processes.connects(socket.AF_UNIX, path)
    assert not processes.connects(socket.AF_UNIX, path)
