"""How each part is started: command lines and configuration files, from the layout alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import settings as s
from .settings import Layout


@dataclass(frozen=True)
class Binaries:
    """A directory with Kubernetes' binaries, and their minor version (20 for 1.20)."""

    folder: Path = Path()
    minor: int = 20


@dataclass(frozen=True)
class Part:
    """One process of the cluster.

    ``ready`` is an https or http URL that answers 200, a tcp URL or a socket's path that takes
    connections, or None where the process counts as ready while it runs.
    """

    name: str
    argv: tuple[str, ...]
    ready: str | Path | None = None


def containerd_config(layout: Layout) -> str:
    """containerd 1.6: everything of its own, and nothing from a registry."""
    return f"""\
version = 2
root = "{layout.containerd_root}"
state = "{layout.containerd_state}"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "{layout.containerd_socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{layout.run}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/{s.PAUSE_IMAGE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{layout.config}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "{layout.run}/runc"
"""


def cni_config(layout: Layout) -> dict[str, Any]:
    """A bridge with addresses from one subnet, and host ports.

    Traffic to the outside is masqueraded by one rule of our own rather than by the plugin,
    whose chain per pod would outlive a pod that is killed.
    """
    return {
        "cniVersion": "0.4.0",
        "name": s.NETWORK,
        "plugins": [
            {
                "type": "bridge",
                "bridge": s.BRIDGE,
                "isGateway": True,
                "hairpinMode": True,
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(layout.run / "ipam"),
                    "ranges": [[{"subnet": s.POD_CIDR, "gateway": s.GATEWAY}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def kubelet_config(layout: Layout) -> dict[str, Any]:
    """https://v1-20.docs.kubernetes.io/docs/tasks/administer-cluster/kubelet-config-file/"""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": s.GATEWAY,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(layout.pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(layout.pki / "kubelet.key"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{s.CGROUP}",
        "clusterDNS": [s.DNS_SERVICE_IP],
        "clusterDomain": s.DOMAIN,
        "failSwapOn": False,
        # The machine is a workplace, not a node: other people's full disk must not evict pods.
        "evictionHard": {
            "memory.available": "50Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
        "imageGCHighThresholdPercent": 100,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": s.KUBELET_HEALTH_PORT,
        "readOnlyPort": 0,
        "makeIPTablesUtilChains": True,
        "serializeImagePulls": False,
        "registerNode": True,
        # Look often, so that a fresh node takes pods at once; write only when something changed.
        "nodeStatusUpdateFrequency": "2s",
        "nodeStatusReportFrequency": "5m",
    }


def proxy_config(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "bindAddress": "0.0.0.0",
        "clientConnection": {"kubeconfig": str(layout.config / "kube-proxy.kubeconfig")},
        "clusterCIDR": s.POD_CIDR,
        "hostnameOverride": s.NODE,
        "mode": "iptables",
        "healthzBindAddress": f"127.0.0.1:{s.PROXY_HEALTH_PORT}",
        "metricsBindAddress": f"127.0.0.1:{s.PROXY_METRICS_PORT}",
        # Leave the machine's connection table as it is.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpCloseWaitTimeout": "0s",
            "tcpEstablishedTimeout": "0s",
        },
    }


def config_files(layout: Layout) -> dict[Path, str]:
    """Every configuration file but the certificates and kubeconfigs, by path."""
    return {
        layout.config / "containerd.toml": containerd_config(layout),
        layout.config / "cni" / "10-kubespawner.conflist": json.dumps(cni_config(layout), indent=1),
        layout.config / "kubelet.json": json.dumps(kubelet_config(layout), indent=1),
        layout.config / "kube-proxy.json": json.dumps(proxy_config(layout), indent=1),
    }


def _no_insecure_port(binaries: Binaries) -> tuple[str, ...]:
    """Before 1.23 these parts also served plain HTTP; the flag went with 1.24."""
    return ("--port=0",) if binaries.minor < 23 else ()


def etcd(layout: Layout, binaries: Binaries) -> Part:
    pki = layout.pki
    peer = f"http://127.0.0.1:{s.ETCD_PORT + 1}"
    return Part(
        "etcd",
        (
            "etcd",
            f"--name={s.NODE}",
            f"--data-dir={layout.state}/etcd",
            f"--listen-client-urls={s.ETCD_URL}",
            f"--advertise-client-urls={s.ETCD_URL}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster={s.NODE}={peer}",
            f"--cert-file={pki}/etcd.crt",
            f"--key-file={pki}/etcd.key",
            "--client-cert-auth",
            f"--trusted-ca-file={pki}/ca.crt",
            "--logger=zap",
        ),
        ready=f"{s.ETCD_URL}/health",
    )


def apiserver(layout: Layout, binaries: Binaries) -> Part:
    """Flags: https://v1-20.docs.kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/"""
    pki = layout.pki
    return Part(
        "kube-apiserver",
        (
            f"{binaries.folder}/kube-apiserver",
            f"--bind-address={s.GATEWAY}",
            f"--advertise-address={s.GATEWAY}",
            f"--secure-port={s.API_PORT}",
            "--allow-privileged=true",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--token-auth-file={pki}/tokens.csv",
            f"--client-ca-file={pki}/ca.crt",
            f"--cert-dir={pki}",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--etcd-servers={s.ETCD_URL}",
            f"--etcd-cafile={pki}/ca.crt",
            f"--etcd-certfile={pki}/etcd-client.crt",
            f"--etcd-keyfile={pki}/etcd-client.key",
            f"--service-cluster-ip-range={s.SERVICE_CIDR}",
            f"--service-account-issuer=https://kubernetes.default.svc.{s.DOMAIN}",
            f"--service-account-key-file={pki}/service-accounts.key",
            f"--service-account-signing-key-file={pki}/service-accounts.key",
            # Else exec and logs look the node's name up in the machine's DNS.
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-certificate-authority={pki}/ca.crt",
            f"--kubelet-client-certificate={pki}/apiserver-client.crt",
            f"--kubelet-client-key={pki}/apiserver-client.key",
        ),
        ready=f"{s.API_URL}/readyz",
    )


def controller_manager(layout: Layout, binaries: Binaries) -> Part:
    pki, config = layout.pki, f"{layout.config}/kube-controller-manager.kubeconfig"
    return Part(
        "kube-controller-manager",
        (
            f"{binaries.folder}/kube-controller-manager",
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            "--bind-address=127.0.0.1",
            f"--secure-port={s.CONTROLLER_PORT}",
            *_no_insecure_port(binaries),
            f"--cert-dir={layout.run}/certs",
            "--leader-elect=false",
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={pki}/service-accounts.key",
            f"--root-ca-file={pki}/ca.crt",
            f"--cluster-signing-cert-file={pki}/ca.crt",
            f"--cluster-signing-key-file={pki}/ca.key",
            f"--flex-volume-plugin-dir={layout.state}/plugins",
        ),
        ready=f"https://127.0.0.1:{s.CONTROLLER_PORT}/healthz",
    )


def scheduler(layout: Layout, binaries: Binaries) -> Part:
    config = f"{layout.config}/kube-scheduler.kubeconfig"
    return Part(
        "kube-scheduler",
        (
            f"{binaries.folder}/kube-scheduler",
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            "--bind-address=127.0.0.1",
            f"--secure-port={s.SCHEDULER_PORT}",
            *_no_insecure_port(binaries),
            f"--cert-dir={layout.run}/certs",
            "--leader-elect=false",
        ),
        ready=f"https://127.0.0.1:{s.SCHEDULER_PORT}/healthz",
    )


def containerd(layout: Layout, binaries: Binaries) -> Part:
    return Part(
        "containerd",
        ("containerd", "--config", f"{layout.config}/containerd.toml"),
        ready=layout.containerd_socket,
    )


def kubelet(layout: Layout, binaries: Binaries) -> Part:
    return Part(
        "kubelet",
        (
            f"{binaries.folder}/kubelet",
            f"--config={layout.config}/kubelet.json",
            f"--kubeconfig={layout.config}/kubelet.kubeconfig",
            f"--root-dir={layout.kubelet_root}",
            f"--cert-dir={layout.pki}",
            f"--volume-plugin-dir={layout.state}/plugins",
            *(("--container-runtime=remote",) if binaries.minor < 24 else ()),
            f"--container-runtime-endpoint=unix://{layout.containerd_socket}",
            f"--hostname-override={s.NODE}",
            # On an interface and not a loopback address: the kubelet insists on both.
            f"--node-ip={s.GATEWAY}",
        ),
        ready=f"http://127.0.0.1:{s.KUBELET_HEALTH_PORT}/healthz",
    )


def proxy(layout: Layout, binaries: Binaries) -> Part:
    return Part(
        "kube-proxy",
        (f"{binaries.folder}/kube-proxy", f"--config={layout.config}/kube-proxy.json"),
        ready=f"http://127.0.0.1:{s.PROXY_HEALTH_PORT}/healthz",
    )


def _python() -> str:
    """This environment's interpreter under one name, however it was called (python, python3)."""
    plain = Path(sys.prefix, "bin", "python")
    return str(plain) if plain.exists() else sys.executable


def _module(name: str, layout: Layout) -> tuple[str, ...]:
    return (_python(), "-m", f"realcluster.{name}", str(layout.cache))


def dns(layout: Layout, binaries: Binaries) -> Part:
    return Part("dns", _module("dns", layout), ready=f"tcp://{s.GATEWAY}:{s.DNS_PORT}")


def provisioner(layout: Layout, binaries: Binaries) -> Part:
    return Part("provisioner", _module("provisioner", layout))


#: Parts of one wave start at the same time, when those of the waves before are ready.
_WAVES: tuple[tuple[Callable[[Layout, Binaries], Part], ...], ...] = (
    (etcd, containerd),
    (apiserver,),
    (controller_manager, scheduler, kubelet, proxy, dns, provisioner),
)


def waves(layout: Layout, binaries: Binaries) -> list[list[Part]]:
    """All parts in the order of starting; they are stopped in the opposite one."""
    return [[maker(layout, binaries) for maker in wave] for wave in _WAVES]


def parts(layout: Layout, binaries: Binaries) -> list[Part]:
    """All parts in one list, in the order of starting."""
    return [part for wave in waves(layout, binaries) for part in wave]


def fingerprint(layout: Layout, binaries: Binaries) -> str:
    """Changes when any command line or configuration file would: then a restart is due."""
    lines = [part.argv for part in parts(layout, binaries)]
    files = {str(path): text for path, text in config_files(layout).items()}
    return s.digest(lines, files)
