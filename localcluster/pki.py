"""Certificates of one cluster: its own authority, server certificates, client certificates.

Everything is short-lived and belongs to a folder that `stop` deletes; nothing here is meant to
guard a cluster that others can reach. Keys are ECDSA P-256, made in well under a millisecond.
"""

import base64
import datetime as dt
import ipaddress
import json
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID = dt.timedelta(days=365)
_EARLIER = dt.timedelta(minutes=5)  # a clock that was set back still finds them valid


class Authority:
    """The cluster's own certificate authority; its key and certificate lie in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate_path = folder / "ca.crt"
        self._key_path = folder / "ca.key"
        if not self._key_path.exists():
            self._create()
        self._key = serialization.load_pem_private_key(self._key_path.read_bytes(), None)
        self._certificate = x509.load_pem_x509_certificate(self.certificate_path.read_bytes())

    def server(self, name: str, addresses: Sequence[str]) -> tuple[Path, Path]:
        """A certificate for these DNS names and IP addresses; returns (certificate, key)."""
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        alternatives = x509.SubjectAlternativeName([_general_name(each) for each in addresses])
        return self._issue(name, _subject(name, ()), [usage, alternatives])

    def client(self, file: str, user: str, groups: Sequence[str] = ()) -> tuple[Path, Path]:
        """A certificate as which the API server sees `user` in `groups`; (certificate, key)."""
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return self._issue(file, _subject(user, groups), [usage])

    def _create(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject("bayplan-localcluster", ())
        certificate = (
            _builder(subject, subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        _write_key(self._key_path, key)
        self.certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _issue(
        self, file: str, subject: x509.Name, extensions: Sequence[x509.ExtensionType]
    ) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(subject, self._certificate.subject, key.public_key())
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        if not isinstance(self._key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{self._key_path} is not an elliptic-curve key")
        certificate = builder.sign(self._key, hashes.SHA256())
        certificate_path, key_path = self.folder / f"{file}.crt", self.folder / f"{file}.key"
        certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        _write_key(key_path, key)
        return certificate_path, key_path


def service_account_keys(folder: Path) -> tuple[Path, Path]:
    """The pair that signs and checks service account tokens; returns (public, private)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public_path, private_path = folder / "service-account.pub", folder / "service-account.key"
    public_path.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    _write_key(private_path, key)
    return public_path, private_path


def write_kubeconfig(
    path: Path, *, cluster: str, server: str, authority: Path, certificate: Path, key: Path
) -> Path:
    """A kubeconfig with everything inside it, so that it may be copied elsewhere; mode 0600."""

    def packed(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    trusted = {"server": server, "certificate-authority-data": packed(authority)}
    user = {"client-certificate-data": packed(certificate), "client-key-data": packed(key)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": cluster,
        "clusters": [{"name": cluster, "cluster": trusted}],
        "users": [{"name": path.stem, "user": user}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": path.stem}}],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(document, indent=1))  # JSON is YAML
    return path


def _subject(user: str, groups: Sequence[str]) -> x509.Name:
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + _VALID)
    )


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
