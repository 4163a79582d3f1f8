"""A real kube-apiserver with an etcd of its own, on free ports, and nothing else of a cluster.

Pods are bound and their status is written by :mod:`bench.kubelet`; without a controller-manager
nobody collects pods of a node that does not exist. The binaries are those of ``make cluster``.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from realcluster import binaries, host, pki
from realcluster.cluster import Cluster
from realcluster.settings import Layout
from realcluster.steps import Progress, log_tail, output

#: Who asks, as the audit log tells them apart. All may do everything.
USERS = ("admin", "kubelet", "ours", "peer")

#: Where the audit log also tells what the kubelet asks for.
TIMED_NAMESPACES = ("starting-plain", "starting-claims")

_ETCD_PACKAGE = "etcd-server"
_READY_SECONDS = 90.0
_PAUSE = 0.05


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class ApiServer:
    """One API server; a context manager.

    Args:
        folder: gets certificates, data and logs; default: a temporary one, removed at the end.
        progress: says what is built, where the binaries are not there yet.
    """

    def __init__(self, folder: Path | None = None, progress: Progress | None = None):
        self._temporary = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="bench-"))
        self._progress = progress or Progress()
        self.port = _free_port()
        self._etcd_port, self._peer_port = _free_port(), _free_port()
        self._etcd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    # ---- life --------------------------------------------------------------------------

    def start(self) -> None:
        """Make certificates and tokens, and start both processes; returns when they are ready."""
        layout = Layout.default()
        # A cluster that is brought up meanwhile would build into the same cache.
        with Cluster(layout, self._progress).alone():
            self._folder_of_binaries = binaries.ensure(layout, self._progress).folder
            if host.missing_packages((_ETCD_PACKAGE,)):
                host.install((_ETCD_PACKAGE,), layout.logs / "build.log")
        self._make_credentials()
        self._etcd = self._spawn("etcd", self._etcd_command())
        self.start_server()

    @property
    def version(self) -> str:
        """Such as "Kubernetes v1.20.2"."""
        return output([self._folder_of_binaries / "kube-apiserver", "--version"]).strip()

    def start_server(self) -> None:
        """Start the API server alone, as after :meth:`stop_server`."""
        self._server = self._spawn("kube-apiserver", self._server_command())
        self._await_ready(self._server)

    def stop_server(self, sig: signal.Signals = signal.SIGTERM) -> None:
        """End the API server; etcd and its data stay."""
        _end(self._server, sig)
        self._server = None

    def stop(self) -> None:
        """End both processes."""
        self.stop_server()
        _end(self._etcd, signal.SIGTERM)
        self._etcd = None
        if self._temporary:
            shutil.rmtree(self.folder)

    def __enter__(self) -> ApiServer:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # ---- parts -------------------------------------------------------------------------

    def _spawn(self, name: str, argv: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _make_credentials(self) -> None:
        folder = self.folder
        authority = pki.Authority(folder)
        authority.issue("apiserver", "kube-apiserver", "", ("localhost", "127.0.0.1"))
        signing = authority.key
        (folder / "service-accounts.key").write_bytes(pki._pem(signing))
        lines = [f'{user}-token,{user},{user},"system:masters"' for user in USERS]
        (folder / "tokens.csv").write_text("\n".join(lines) + "\n")
        audited = [
            {"level": "Metadata", "users": ["ours", "peer"]},
            # How long it takes to make pods ready, and to remove them.
            {
                "level": "Metadata",
                "users": ["kubelet"],
                "verbs": ["patch", "delete"],
                "namespaces": list(TIMED_NAMESPACES),
            },
        ]
        policy = {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived", "ResponseStarted"],
            "rules": [*audited, {"level": "None"}],
        }
        (folder / "audit.json").write_text(json.dumps(policy))
        for user in USERS:
            self.kubeconfig(user)

    def kubeconfig(self, user: str, port: int = 0) -> Path:
        """Return the path of a kubeconfig of ``user``, for ``port`` of loopback or our own."""
        ca = (self.folder / "ca.crt").read_bytes()
        config = pki.kubeconfig(ca, {"token": f"{user}-token"}, name="bench")
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port or self.port}"
        path = self.folder / f"{user}-{port or self.port}.kubeconfig"
        path.write_text(json.dumps(config))
        return path

    def _etcd_command(self) -> list[str]:
        url, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{self._peer_port}"
        return [
            "etcd",
            "--name=bench",
            f"--data-dir={self.folder}/etcd",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=bench={peer}",
            # 30,000 pods and their history; the default is 2 GB.
            "--quota-backend-bytes=8000000000",
            # Nobody mourns this data, and the disk is not what is measured.
            "--unsafe-no-fsync",
            "--logger=zap",
            "--log-level=warn",
        ]

    def _server_command(self) -> list[str]:
        folder = self.folder
        return [
            f"{self._folder_of_binaries}/kube-apiserver",
            "--bind-address=127.0.0.1",
            # Loopback can't be the address of the service "kubernetes", which nobody uses here.
            "--endpoint-reconciler-type=none",
            f"--secure-port={self.port}",
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            f"--tls-cert-file={folder}/apiserver.crt",
            f"--tls-private-key-file={folder}/apiserver.key",
            f"--cert-dir={folder}",
            f"--token-auth-file={folder}/tokens.csv",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.97.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={folder}/service-accounts.key",
            f"--service-account-signing-key-file={folder}/service-accounts.key",
            # Both wait for a controller that does not run here: for a namespace's service
            # account, and for a deleted claim to be out of use.
            "--disable-admission-plugins=ServiceAccount,StorageObjectInUseProtection",
            f"--audit-policy-file={folder}/audit.json",
            f"--audit-log-path={folder}/audit.log",
        ]

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not self._ready():
            if process.poll() is not None or time.monotonic() > deadline:
                tail = log_tail(self.folder / "kube-apiserver.log")
                raise RuntimeError(f"the API server did not become ready:\n{tail}")
            time.sleep(_PAUSE)

    def _ready(self) -> bool:
        context = ssl.create_default_context(cafile=self.folder / "ca.crt")
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.port}/readyz", headers={"Authorization": "Bearer admin-token"}
        )
        handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=5) as response:
                return response.status == 200
        except (OSError, urllib.error.URLError):
            return False

    # ---- accounting --------------------------------------------------------------------

    def audit(self) -> Audit:
        """Return an account of the requests from now on."""
        return Audit(self.folder / "audit.log")


class Audit:
    """The requests that the API server has served since this was made, by its audit log.

    https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/
    """

    def __init__(self, log: Path):
        self._log = log
        self._from = os.path.getsize(log) if log.exists() else 0

    def requests(self, user: str) -> Counter[str]:
        """Return the number of requests of ``user`` by "verb resource", such as "list pods".

        Each counts when it is over; a watch that goes on does not count yet.
        """
        return Counter(_what(event) for event in self._events(user))

    def durations(self, user: str, what: str) -> list[float]:
        """Return the seconds from receiving to answering each request of ``user``.

        Args:
            what: "verb resource", such as "delete pods".
        """
        return [
            (
                _time(event, "stageTimestamp") - _time(event, "requestReceivedTimestamp")
            ).total_seconds()
            for event in self._events(user)
            if _what(event) == what
        ]

    def _events(self, user: str) -> Iterator[dict[str, Any]]:
        with self._log.open("rb") as file:
            file.seek(self._from)
            for line in file:
                event: dict[str, Any] = json.loads(line)
                if event["user"].get("username") == user:
                    yield event


def _what(event: dict[str, Any]) -> str:
    about = event.get("objectRef") or {}
    kind = about.get("resource", event["requestURI"])
    if about.get("subresource"):
        kind = f"{kind}/{about['subresource']}"
    return f"{event['verb']} {kind}"


def _time(event: dict[str, Any], field: str) -> datetime:
    return datetime.strptime(event[field], "%Y-%m-%dT%H:%M:%S.%fZ")


def _end(process: subprocess.Popen[bytes] | None, sig: signal.Signals) -> None:
    if process is None:
        return
    process.send_signal(sig)
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
