"""Where things lie and what they are called. Nothing here touches the machine."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: The only release whose control plane Debian ships, as source (package ``kubernetes``).
SOURCE_PACKAGE = "kubernetes"
COMPONENTS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
)

BUILD_PACKAGES = ("golang-go", "rsync", "jq", "dpkg-dev", "make")
RUN_PACKAGES = (
    "etcd-server",
    "containerd",
    "runc",
    "containernetworking-plugins",
    "iproute2",
    "iptables",
    "conntrack",
    "socat",
    "ebtables",
    "ethtool",
    "procps",
    "debootstrap",
    # For the pause image.
    "gcc",
    "libc6-dev",
)

NODE = "kubespawner"
BRIDGE = "kubespawner0"
#: The bridge's address: the node's, the API server's, and the host's as pods see it.
GATEWAY = "10.244.0.1"
POD_CIDR = "10.244.0.0/24"
SERVICE_CIDR = "10.96.0.0/16"
API_SERVICE_IP = "10.96.0.1"
DNS_SERVICE_IP = "10.96.0.10"
DNS_PORT = 10053
DOMAIN = "cluster.local"
API_PORT = 16443
API_URL = f"https://{GATEWAY}:{API_PORT}"
ETCD_PORT = 12379
ETCD_URL = f"https://127.0.0.1:{ETCD_PORT}"
KUBELET_HEALTH_PORT = 12348
CONTROLLER_PORT = 12357
SCHEDULER_PORT = 12359
PROXY_HEALTH_PORT = 12356
PROXY_METRICS_PORT = 12349

STORAGE_CLASS = "directory"
PROVISIONER = "kubespawner.test/directory"

#: All containers live below this cgroup, so that ``down`` finds every one of them.
CGROUP = "kubespawner-cluster"
#: The network's name for the CNI plugins, and the iptables chain that is ours.
NETWORK = "kubespawner"
CHAIN = "KUBESPAWNER"

PAUSE_IMAGE = "kubespawner/pause:test"
BUSYBOX_IMAGE = "kubespawner/busybox:test"
SINGLEUSER_IMAGE = "kubespawner/singleuser:test"
HUB_IMAGE = "kubespawner/hub:test"

#: Kernel settings that the kubelet, kube-proxy or the pod network change; ``down`` restores them.
SYSCTLS: Mapping[str, str | None] = {
    "net.ipv4.ip_forward": "1",
    "net.bridge.bridge-nf-call-iptables": "1",
    # Changed by the kubelet and kube-proxy themselves; here only to be remembered.
    "net.ipv4.conf.all.route_localnet": None,
    "vm.overcommit_memory": None,
    "vm.panic_on_oom": None,
    "kernel.panic": None,
    "kernel.panic_on_oops": None,
    "kernel.keys.root_maxkeys": None,
    "kernel.keys.root_maxbytes": None,
}

#: Directories that the parts make at paths which no flag changes.
FIXED_FOLDERS = (
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/pods",
    "/var/log/containers",
    "/run/containerd",
)


@dataclass(frozen=True)
class Layout:
    """Every path that the cluster uses.

    ``cache`` outlives ``down`` (binaries, image archives, containerd's unpacked images, logs);
    ``state`` and ``run`` do not.
    """

    cache: Path
    run: Path = Path("/run/kubespawner-cluster")

    @classmethod
    def default(cls, environ: Mapping[str, str] = os.environ) -> Layout:
        """``$XDG_CACHE_HOME/kubespawner/cluster``, else below ``~/.cache``."""
        root = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or "/root") / ".cache"
        return cls(Path(root) / "kubespawner" / "cluster")

    @property
    def binaries(self) -> Path:
        return self.cache / "bin"

    @property
    def images(self) -> Path:
        return self.cache / "images"

    @property
    def containerd_root(self) -> Path:
        return self.cache / "containerd"

    @property
    def logs(self) -> Path:
        return self.cache / "logs"

    @property
    def state(self) -> Path:
        return self.cache / "state"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def config(self) -> Path:
        return self.state / "config"

    @property
    def volumes(self) -> Path:
        return self.state / "volumes"

    @property
    def kubelet_root(self) -> Path:
        return self.state / "kubelet"

    @property
    def kubeconfig(self) -> Path:
        return self.cache / "kubeconfig"

    @property
    def admin(self) -> Path:
        """The kubeconfig of our own processes, as JSON; kubectl may rewrite the other one."""
        return self.config / "admin.kubeconfig"

    @property
    def containerd_socket(self) -> Path:
        return self.run / "containerd.sock"

    @property
    def ctr(self) -> list[str]:
        """The beginning of a command to our containerd."""
        return ["ctr", f"--address={self.containerd_socket}", "--namespace=k8s.io"]

    @property
    def containerd_state(self) -> Path:
        return self.run / "containerd"


def digest(*parts: object) -> str:
    """A short, stable hash of plain values: the key of everything cached."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sha256(path: Path) -> str:
    """The SHA-256 sum of a file, as hexadecimal text."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()
