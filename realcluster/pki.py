"""The cluster's certificates, its admin token and the kubeconfigs made of them.

Names and groups are those that Kubernetes' default RBAC rules expect:
https://kubernetes.io/docs/setup/best-practices/certificates/
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from . import settings as s
from .settings import Layout

_VALID = datetime.timedelta(days=3650)

API_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    f"kubernetes.default.svc.{s.DOMAIN}",
)

#: file name: (common name, organisation, names and addresses it serves)
CERTIFICATES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "etcd": ("etcd", "", ("localhost", "127.0.0.1")),
    "etcd-client": ("etcd-client", "", ()),
    "apiserver": ("kube-apiserver", "", (*API_NAMES, s.API_SERVICE_IP, s.GATEWAY, "127.0.0.1")),
    "apiserver-client": ("kube-apiserver", "system:masters", ()),
    "kubelet": (f"system:node:{s.NODE}", "system:nodes", (s.NODE, s.GATEWAY)),
    "kube-controller-manager": ("system:kube-controller-manager", "", ()),
    "kube-scheduler": ("system:kube-scheduler", "", ()),
    "kube-proxy": ("system:kube-proxy", "", ()),
}
#: Parts that talk to the API server with a kubeconfig of their own.
CLIENTS = ("kubelet", "kube-controller-manager", "kube-scheduler", "kube-proxy")


def _write(path: Path, data: bytes, *, secret: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600 if secret else 0o644)
    path.write_bytes(data)


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _name(common: str, organisation: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organisation:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(attributes)


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Authority:
    """A certificate authority kept in two files, ``ca.crt`` and ``ca.key``."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = _name("kubespawner test cluster")
        self.certificate = (
            self._builder(name, name, self.key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False)
            .sign(self.key, hashes.SHA256())
        )
        _write(folder / "ca.crt", self.certificate.public_bytes(serialization.Encoding.PEM))
        _write(folder / "ca.key", _pem(self.key), secret=True)

    @staticmethod
    def _builder(subject: x509.Name, issuer: x509.Name, key: Any) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            # Clocks of virtual machines jump when they are resumed.
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + _VALID)
        )

    def issue(self, file: str, common: str, organisation: str, names: Sequence[str]) -> None:
        """Write ``file.crt`` and ``file.key``: a client certificate, a server's too with names."""
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = self._builder(
            _name(common, organisation), self.certificate.subject, key.public_key()
        ).add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        if names:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
            alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        _write(self.folder / f"{file}.crt", certificate.public_bytes(serialization.Encoding.PEM))
        _write(self.folder / f"{file}.key", _pem(key), secret=True)


def kubeconfig(ca: bytes, user: dict[str, str], *, name: str = "kubespawner") -> dict[str, Any]:
    """A kubeconfig for the cluster with one user.

    https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
    """
    cluster = {
        "server": s.API_URL,
        "certificate-authority-data": base64.b64encode(ca).decode(),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}
        ],
        "current-context": name,
    }


def ensure(layout: Layout) -> None:
    """Make all certificates and kubeconfigs, unless a complete set is there already."""
    complete = layout.pki / "complete"
    if not complete.exists():
        _make_all(layout)
        layout.kubeconfig.unlink(missing_ok=True)
        complete.touch()
    if not layout.kubeconfig.exists():
        _write(layout.kubeconfig, layout.admin.read_bytes(), secret=True)


def _make_all(layout: Layout) -> None:
    layout.pki.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = Authority(layout.pki)
    for file, (common, organisation, names) in CERTIFICATES.items():
        authority.issue(file, common, organisation, names)
    signing = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    _write(layout.pki / "service-accounts.key", _pem(signing), secret=True)
    token = secrets.token_urlsafe(32)
    _write(
        layout.pki / "tokens.csv",
        f'{token},admin,admin,"system:masters"\n'.encode(),
        secret=True,
    )
    ca = (layout.pki / "ca.crt").read_bytes()
    for client in CLIENTS:
        user = {
            "client-certificate": str(layout.pki / f"{client}.crt"),
            "client-key": str(layout.pki / f"{client}.key"),
        }
        text = json.dumps(kubeconfig(ca, user), indent=1).encode()
        _write(layout.config / f"{client}.kubeconfig", text, secret=True)
    admin = json.dumps(kubeconfig(ca, {"token": token}), indent=1).encode()
    _write(layout.admin, admin, secret=True)
