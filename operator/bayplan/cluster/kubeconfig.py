"""Where the API server is, and who we are there: kubeconfig files or a pod's service account.

This reads what kubectl reads (client-go, tools/clientcmd): the files of `kubeconfig_files`,
certificates as data or as files beside the kubeconfig, tokens, token files, passwords, credential
plugins and OpenID.
"""

import base64
import binascii
import contextlib
import hashlib
import ipaddress
import os
import ssl
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bayplan import kubeconfig_files
from bayplan.cluster import credential_plugins
from bayplan.cluster.credential_plugins import AccessError, Issued

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_REMOVED = "Kubernetes 1.26 removed this auth-provider; use an exec plugin"


@dataclass(frozen=True, slots=True)
class Access:
    """An API server and our credentials for it; certificates and the key as PEM."""

    server: str
    authority: str = ""
    insecure: bool = False
    server_name: str = ""
    proxy: str = ""
    certificate: str = ""
    key: str = field(default="", repr=False)
    fixed: str = field(default="", repr=False)  # the authorization header, if no file has a token
    token_file: Path | None = None
    expires_at: float | None = None  # epoch seconds, of what a credential plugin issued

    def authorization(self) -> str | None:
        """The authorization header. A token file is read each time, because it is rotated."""
        if self.token_file is None:
            return self.fixed or None
        token = _text(self.token_file).strip()
        if not token:
            raise AccessError(f"{self.token_file} is empty")
        return f"Bearer {token}"

    @property
    def digest(self) -> str:
        """Changes when connections must be opened anew."""
        parts = (self.authority, self.certificate, self.key, str(self.insecure))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def tls(self) -> ssl.SSLContext:
        """How connections are encrypted and whom they trust; without an authority, the system's."""
        context = ssl.create_default_context(cadata=self.authority or None)
        # Python 3.13 wants fields that clusters' own certificates often lack; kubectl does not.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if self.certificate:
            with _file(f"{self.certificate}\n{self.key}") as name:
                context.load_cert_chain(name)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


async def access(
    kubeconfig: str | None = None, context: str | None = None, account: Path = ACCOUNT
) -> Access:
    """From the given file, else $KUBECONFIG, else the pod's service account, else ~/.kube/config.

    `AccessError` says in words what is missing or wrong.
    """
    chosen = kubeconfig or os.environ.get("KUBECONFIG")
    if not chosen and context is None and (account / "token").is_file():
        return _of_pod(account)
    return await _chosen(kubeconfig_files.paths(kubeconfig), context)


def _of_pod(account: Path) -> Access:
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{part}", "") for part in ("HOST", "PORT"))
    if not (host and port):
        raise AccessError("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
    authority = _text(account / "ca.crt")
    if not authority:
        raise AccessError(f"{account / 'ca.crt'} is empty")
    server = f"https://{f'[{host}]' if ':' in host else host}:{port}"
    found = Access(
        server=server,
        authority=authority,
        proxy=_proxy({}, server),
        token_file=account / "token",
    )
    found.authorization()
    return found


async def _chosen(paths: list[Path], context: str | None) -> Access:
    try:
        named = kubeconfig_files.read(paths)
    except kubeconfig_files.UnreadableKubeconfig as error:
        raise AccessError(str(error)) from None  # a parser's error quotes the file
    current = context or named.current
    if not named.found:
        raise AccessError(f"there is no file {', '.join(map(str, paths))}")
    if not current:
        raise AccessError("no context is chosen: see `kubectl config use-context NAME`")
    inner, _ = _known(named.contexts, current, "context")
    about, folder = _known(named.clusters, str(inner.get("cluster")), "cluster")
    user, home = named.users.get(str(inner.get("user")), (None, folder))
    if inner.get("user") and str(inner["user"]) not in named.users:
        raise AccessError(f"there is no user {str(inner['user'])!r}")
    return await _of(about, folder, user if isinstance(user, dict) else {}, home)


def _known(known: Mapping[str, tuple[Any, Path]], name: str, kind: str) -> tuple[Any, Path]:
    inner, folder = known.get(name, (None, Path()))
    if not isinstance(inner, dict):
        has = f"; there are {', '.join(sorted(known))}" if known else ""
        raise AccessError(f"there is no {kind} {name!r}{has}")
    return inner, folder


async def _of(
    cluster: Mapping[str, Any], folder: Path, user: Mapping[str, Any], home: Path
) -> Access:
    server = str(cluster.get("server") or "").rstrip("/")
    if not server:
        raise AccessError("the cluster of this context has no server")
    secure = server.startswith("https")
    if not secure and not _is_here(urlsplit(server).hostname or ""):
        user = {}  # as in kubectl, credentials do not go over a network in the clear
    if user.get("as"):
        raise AccessError("the user of this context acts as somebody else (`as`): not supported")
    issued = await _issued(cluster, folder, user, home)
    token, token_file = _token(user, home)
    certificate, key = issued.certificate, issued.key
    if secure and not certificate:
        certificate = _pem(user, "client-certificate", home)
        key = _pem(user, "client-key", home)
    return Access(
        server=server,
        authority=_pem(cluster, "certificate-authority", folder) if secure else "",
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        server_name=str(cluster.get("tls-server-name") or ""),
        proxy=_proxy(cluster, server),
        certificate=certificate,
        key=key,
        fixed=f"Bearer {issued.token}" if issued.token else token,
        token_file=None if issued.token else token_file,
        expires_at=issued.expires_at,
    )


def _proxy(cluster: Mapping[str, Any], server: str) -> str:
    """The proxy of the kubeconfig, else $HTTPS_PROXY unless the server is excepted from it."""
    parts = urlsplit(server)
    found = str(cluster.get("proxy-url") or "")
    if not found and not _is_excepted(parts.netloc, parts.hostname or ""):
        found = urllib.request.getproxies().get(parts.scheme, "")
    if found and "://" not in found:
        found = f"http://{found}"
    scheme = found.partition("://")[0]
    if found and scheme not in {"http", "https"}:
        raise AccessError(f"the proxy is {scheme}://…; only http:// and https:// are supported")
    return found


def _is_excepted(netloc: str, host: str) -> bool:
    """As in kubectl: this machine itself, and what $NO_PROXY names, networks included."""
    if _is_here(host) or urllib.request.proxy_bypass(netloc):
        return True
    for word in urllib.request.getproxies().get("no", "").split(","):
        with contextlib.suppress(ValueError):  # names of hosts
            if ipaddress.ip_address(host) in ipaddress.ip_network(word.strip(), strict=False):
                return True
    return False


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _issued(
    cluster: Mapping[str, Any], folder: Path, user: Mapping[str, Any], home: Path
) -> Issued:
    """What a credential plugin or an OpenID provider gives; nothing if the user names none."""
    provider = user.get("auth-provider")
    if isinstance(provider, dict):
        if provider.get("name") != "oidc":
            raise AccessError(f"auth-provider {provider.get('name')}: {_REMOVED}")
        return await credential_plugins.by_openid(provider.get("config") or {})
    if isinstance(user.get("exec"), dict):
        told = _told(cluster, folder) if user["exec"].get("provideClusterInfo") else None
        return await credential_plugins.by_program(user["exec"], told, home)
    return Issued()


def _told(cluster: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What a credential plugin learns of the cluster."""
    fields = ("server", "tls-server-name", "insecure-skip-tls-verify", "proxy-url")
    told = {name: cluster[name] for name in fields if cluster.get(name)}
    authority = _pem(cluster, "certificate-authority", folder)
    if authority:
        told["certificate-authority-data"] = base64.b64encode(authority.encode()).decode()
    for extension in cluster.get("extensions") or ():
        if extension.get("name") == "client.authentication.k8s.io/exec":
            told["config"] = extension.get("extension")
    return told


def _token(user: Mapping[str, Any], home: Path) -> tuple[str, Path | None]:
    """The authorization header, or the file that has the token; as in kubectl the file wins."""
    if user.get("tokenFile"):
        return "", home / str(user["tokenFile"])
    if user.get("token"):
        return f"Bearer {user['token']}", None
    if user.get("username") or user.get("password"):
        pair = f"{user.get('username') or ''}:{user.get('password') or ''}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}", None
    return "", None


def _pem(about: Mapping[str, Any], name: str, folder: Path) -> str:
    """A certificate or key: the field with `-data`, else the file; empty if there is neither."""
    data = about.get(f"{name}-data")
    if data:
        try:
            return base64.b64decode("".join(str(data).split()), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise AccessError(f"{name}-data is no PEM in base64") from error
    return _text(folder / str(about[name])) if about.get(name) else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AccessError(f"{path} cannot be read: {error}") from error


@contextlib.contextmanager
def _file(text: str) -> Iterator[str]:
    """A file that only we can read and that is gone afterwards: `ssl` takes no text."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        yield file.name
