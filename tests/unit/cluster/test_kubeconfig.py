"""Where the API server is and who we are: what kubectl reads in a kubeconfig, and in a pod."""

import asyncio
import base64
import dataclasses
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from kubernetes.client import Configuration
from kubernetes.config import load_kube_config

from bayplan.cluster import credential_plugins, kubeconfig
from bayplan.cluster.credential_plugins import AccessError
from bayplan.cluster.kubeconfig import Access
from tests.certificates import authority

V1 = "client.authentication.k8s.io/v1"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def jwt(ends: float) -> str:
    """An id token that ends then; nobody looks at its signature."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": ends}).encode()).decode().rstrip("=")
    return f"e30.{claims}.x"


def written(
    file: Path,
    user: dict[str, Any] | None = None,
    *,
    context: str = "c",
    current: str = "c",
    **cluster: Any,
) -> Path:
    """A kubeconfig with one context."""
    about = {"server": "https://kube:6443/", **cluster}
    body = {
        "current-context": current,
        "contexts": [{"name": context, "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": about}],
        "users": [{"name": "u", "user": user}],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(body))
    return file


def read(file: Path | str | None, context: str | None = None, **more: Any) -> Access:
    return asyncio.run(kubeconfig.access(str(file) if file else None, context, **more))


def test_in_the_clear(tmp_path: Path) -> None:
    """Over a network credentials are not sent without TLS, as with kubectl."""
    user = {"token": "abc"}
    found = read(written(tmp_path / "config", user, server="http://kube:8080"))
    here = read(written(tmp_path / "config", user, server="http://127.0.0.1:8080"))

    assert (None, "Bearer abc") == (found.authorization(), here.authorization())


@pytest.mark.parametrize(
    ("server", "excepted", "expected"),
    [
        ("https://kube:6443", "", "http://p:1"),
        ("https://kube:6443", "kube", ""),
        ("https://10.1.2.3:6443", "10.2.0.0/16,kube", "http://p:1"),
        ("https://10.1.2.3:6443", "kube, 10.1.0.0/16", ""),
        ("https://127.0.0.1:6443", "", ""),
        ("https://[::1]:6443", "", ""),
        ("https://localhost:6443", "", ""),
    ],
)
def test_proxy_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str, excepted: str, expected: str
) -> None:
    """$HTTPS_PROXY counts except for this machine and for what $NO_PROXY names, as for kubectl."""
    monkeypatch.setenv("HTTPS_PROXY", "p:1")
    monkeypatch.setenv("NO_PROXY", excepted)

    assert expected == read(written(tmp_path / "config", server=server)).proxy


def test_no_secret_is_shown(tmp_path: Path) -> None:
    """Neither by the values that hold it, nor by a message about a broken file."""
    user = {"token": "secret", "client-key-data": encoded("secret")}
    broken = tmp_path / "broken"
    broken.write_text("a: 1\ntoken: secret: x\n")

    assert "secret" not in repr(read(written(tmp_path / "config", user)))

    with pytest.raises(AccessError, match=r"is no YAML, line 2$") as raised:
        read(broken)

    assert raised.value.__cause__ is None


def plugin(folder: Path, script: str) -> str:
    """An exec plugin in shell; its path."""
    file = folder / "plugin"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(file)


def printing(status: dict[str, str]) -> str:
    answer = {"apiVersion": V1, "kind": "ExecCredential", "status": status}
    return f"cat <<'EOF'\n{json.dumps(answer)}\nEOF"


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({"token": "abc"}, "Bearer abc"),
        ({"tokenFile": "token"}, "Bearer from file"),
        ({"token": "abc", "tokenFile": "token"}, "Bearer from file"),
        ({"username": "a", "password": "b"}, f"Basic {encoded('a:b')}"),
        ({"username": "", "password": ""}, None),
        ({}, None),
        (None, None),
    ],
)
def test_who_we_are(tmp_path: Path, user: dict[str, Any] | None, expected: str | None) -> None:
    """Tokens, files with tokens beside the kubeconfig, passwords, and nobody."""
    (tmp_path / "token").write_text("from file\n")

    assert expected == read(written(tmp_path / "config", user)).authorization()


def test_a_token_file_is_read_again(tmp_path: Path) -> None:
    """Its token is rotated while we run."""
    (tmp_path / "token").write_text("one")
    found = read(written(tmp_path / "config", {"tokenFile": "token"}))
    (tmp_path / "token").write_text("two")

    assert "Bearer two" == found.authorization()

    (tmp_path / "token").write_text("")

    with pytest.raises(AccessError, match="is empty"):
        found.authorization()


def test_the_cluster(tmp_path: Path) -> None:
    """Server, name in the certificate, proxy, and whether the certificate is checked."""
    more = {"tls-server-name": "kube", "proxy-url": "http://p:1", "insecure-skip-tls-verify": True}
    found = read(written(tmp_path / "config", {}, **more))

    assert ("https://kube:6443", "kube", "http://p:1") == (
        found.server, found.server_name, found.proxy,
    )  # fmt: skip
    assert not found.tls().verify_flags & ssl.VERIFY_X509_STRICT
    assert ssl.CERT_NONE == found.tls().verify_mode
    assert ssl.CERT_REQUIRED == read(written(tmp_path / "other")).tls().verify_mode


@pytest.mark.parametrize("data", [True, False])
def test_certificates(tmp_path: Path, *, data: bool) -> None:
    """Authority, our certificate and its key: as data, or as files beside the kubeconfig."""
    pem, key = authority("127.0.0.1")
    fields = {"certificate-authority": pem, "client-certificate": pem, "client-key": key}
    for field, text in fields.items():
        (tmp_path / field).write_text(text)
    given = {
        (f"{field}-data" if data else field): (encoded(text) if data else field)
        for field, text in fields.items()
    }
    trusted = {key: text for key, text in given.items() if key.startswith("certificate")}
    user = {key: text for key, text in given.items() if key not in trusted}
    found = read(written(tmp_path / "config", user, **trusted))

    assert (pem, pem, key) == (found.authority, found.certificate, found.key)
    assert 1 == found.tls().cert_store_stats()["x509"]
    assert found.digest != read(written(tmp_path / "config", {}, **trusted)).digest


def test_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of $KUBECONFIG's files the first that has a name counts, and files may be absent."""
    one = written(tmp_path / "a/one", {"token": "first"}, current="")
    two = written(tmp_path / "b/two", {"token": "second"}, context="d", current="d")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'absent'}:{one}:{two}")

    assert "Bearer first" == read(None).authorization()
    assert "Bearer first" == read(None, "c").authorization()
    assert "Bearer second" == read(two).authorization()


def test_in_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without $KUBECONFIG its own service account counts; with one, that."""
    (tmp_path / "token").write_text("sa")
    (tmp_path / "ca.crt").write_text(authority("ca")[0])
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    found = read(None, account=tmp_path)

    assert ("https://[fd00::1]:443", "Bearer sa") == (found.server, found.authorization())

    monkeypatch.setenv("KUBECONFIG", str(written(tmp_path / "config", {"token": "mine"})))

    assert "Bearer mine" == read(None, account=tmp_path).authorization()


def test_exec_plugin(tmp_path: Path) -> None:
    """A plugin gets its arguments, variables and the cluster; we get its token and its end."""
    script = (
        'test "$1$V" = ab && echo "$KUBERNETES_EXEC_INFO" | grep -q kube:6443 || exit 9\n'
        + printing({"token": "fresh", "expirationTimestamp": "1970-01-01T00:16:40Z"})
    )
    plugin(tmp_path / ".", script)
    asked = {
        "apiVersion": V1, "command": "./plugin", "args": ["a"],
        "env": [{"name": "V", "value": "b"}], "provideClusterInfo": True,
    }  # fmt: skip
    found = read(written(tmp_path / "config", {"exec": asked}))

    assert ("Bearer fresh", 1000.0) == (found.authorization(), found.expires_at)


def test_a_plugin_beside_a_kubeconfig_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a slash it is the kubeconfig's neighbour, never a program of $PATH."""
    plugin(tmp_path, printing({"token": "mine"}))
    written(tmp_path / "config", {"exec": {"apiVersion": V1, "command": "./plugin"}})
    monkeypatch.chdir(tmp_path)

    assert "Bearer mine" == read("config").authorization()


def test_a_plugin_learns_the_authority(tmp_path: Path) -> None:
    """Also where the kubeconfig has it in a file."""
    (tmp_path / "ca").write_text("the authority")
    script = f'echo "$KUBERNETES_EXEC_INFO" | grep -q {encoded("the authority")} || exit 9\n'
    asked = {
        "apiVersion": V1, "command": plugin(tmp_path, script + printing({"token": "t"})),
        "provideClusterInfo": True,
    }  # fmt: skip
    file = written(tmp_path / "config", {"exec": asked}, **{"certificate-authority": "ca"})

    assert "Bearer t" == read(file).authorization()


def test_a_plugin_that_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a terminal its words are shown while it waits: they say how to log in."""
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    script = "echo 'open the page' >&2\n" + printing({"token": "t"})
    asked = {"apiVersion": V1, "command": plugin(tmp_path, script)}
    read(written(tmp_path / "config", {"exec": asked}))

    assert "open the page\n" == capsys.readouterr().err


def test_a_plugin_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody can log in it has its time, and no more."""
    monkeypatch.setattr(credential_plugins, "_MOST_SECONDS", 0.2)
    asked = {"apiVersion": V1, "command": "sleep", "args": ["60"], "interactiveMode": "Never"}

    with pytest.raises(AccessError, match=r"sleep took more than 0\.2 s"):
        read(written(tmp_path / "config", {"exec": asked}))


def test_exec_plugin_with_a_certificate(tmp_path: Path) -> None:
    """A plugin may give a certificate with its key instead of a token."""
    pem, key = authority("127.0.0.1")
    script = printing({"clientCertificateData": pem, "clientKeyData": key})
    asked = {"apiVersion": V1, "command": plugin(tmp_path, script)}
    found = read(written(tmp_path / "config", {"exec": asked}))

    assert (None, pem, key) == (found.authorization(), found.certificate, found.key)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"command": "/nowhere/plugin", "installHint": "get it"}, "No such file.*; get it"),
        ({"command": "false"}, "false ended with 1"),
        ({"command": "true"}, "no ExecCredential"),
        ({"command": "true", "interactiveMode": "Always"}, "no terminal"),
        ({}, "command are needed"),
    ],
)
def test_a_plugin_that_gives_nothing(tmp_path: Path, asked: dict[str, Any], words: str) -> None:
    """The reason is told; the library before this one went on without credentials."""
    user = {"exec": {"apiVersion": V1, **asked}}

    with pytest.raises(AccessError, match=words):
        read(written(tmp_path / "config", user))


def test_openid(tmp_path: Path) -> None:
    """An id token is used until it ends, and then refreshed at its issuer."""
    fresh = jwt(5e9)
    forms: list[dict[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        if request.path.endswith("openid-configuration"):
            return web.json_response({"token_endpoint": f"http://{request.host}/token"})
        forms.append({key: str(value) for key, value in (await request.post()).items()})
        return web.json_response({"id_token": fresh})

    async def refreshed(issuer: str) -> Access:
        config = {"id-token": jwt(1), "refresh-token": "r", "client-id": "i"}
        config["idp-issuer-url"] = issuer
        user = {"auth-provider": {"name": "oidc", "config": config}}
        return await kubeconfig.access(str(written(tmp_path / "config", user)))

    assert f"Bearer {fresh}" == asyncio.run(served(handler, refreshed)).authorization()
    assert [{"grant_type": "refresh_token", "refresh_token": "r", "client_id": "i"}] == forms

    good = {"auth-provider": {"name": "oidc", "config": {"id-token": fresh}}}
    found = read(written(tmp_path / "config", good))

    assert (f"Bearer {fresh}", 5e9) == (found.authorization(), found.expires_at)


async def served(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ask: Callable[[str], Awaitable[Access]],
) -> Access:
    """What is answered while a server on loopback has this handler."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        return await ask(f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1, 2]", "is no kubeconfig"),
        ("a: [", "is no YAML"),
        ("", "no context is chosen"),
        ("current-context: x", "no context 'x'"),
        ("current-context: x\ncontexts: [{name: x, context: {cluster: k}}]", "no cluster 'k'"),
        (
            (
                "{current-context: x, contexts: [{name: x, context: {cluster: k, user: u}}], "
                "clusters: [{name: k, cluster: {server: 'https://k'}}]}"
            ),
            "no user 'u'",
        ),
    ],
)
def test_a_broken_file(tmp_path: Path, text: str, words: str) -> None:
    """What is wrong is told, and never by a traceback."""
    (tmp_path / "config").write_text(text)

    with pytest.raises(AccessError, match=words):
        read(tmp_path / "config")


@pytest.mark.parametrize(
    ("user", "cluster", "words"),
    [
        ({"auth-provider": {"name": "gcp"}}, {}, "gcp.*use an exec plugin"),
        ({"auth-provider": {"name": "oidc"}}, {}, "no refresh-token; log in"),
        ({"client-certificate": "absent"}, {}, "absent cannot be read"),
        ({}, {"certificate-authority-data": "%"}, "no PEM in base64"),
        ({}, {"server": ""}, "has no server"),
        ({}, {"proxy-url": "socks5://p:1"}, "proxy is socks5"),
        ({"as": "eve"}, {}, "acts as somebody else"),
    ],
)
def test_a_broken_entry(
    tmp_path: Path, user: dict[str, Any], cluster: dict[str, Any], words: str
) -> None:
    """Fields that cannot be used are named."""
    with pytest.raises(AccessError, match=words):
        read(written(tmp_path / "config", user, **cluster))


USERS = [{"token": "abc"}, {"tokenFile": "token"}, {"username": "a", "password": "b"}, {}]
CLUSTERS = [
    {},
    {"insecure-skip-tls-verify": True},
    {"tls-server-name": "x"},
    {"proxy-url": "http://p:1"},
]


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("more", CLUSTERS)
def test_the_library_of_kubernetes_reads_the_same(
    tmp_path: Path, user: dict[str, Any], more: dict[str, Any]
) -> None:
    """An independent reader of the same files."""
    (tmp_path / "token").write_text("from file")
    pem, key = authority("127.0.0.1")
    signed = {"client-certificate-data": encoded(pem), "client-key-data": encoded(key)}
    trusted = {"certificate-authority-data": encoded(pem), **more}
    file = written(tmp_path / "config", {**user, **signed}, **trusted)
    theirs = Configuration()
    load_kube_config(str(file), client_configuration=theirs)
    ours = read(file)

    def content(name: str | None) -> str:
        return Path(name).read_text() if name else ""

    expected = Access(
        server=theirs.host,
        authority=content(theirs.ssl_ca_cert),
        insecure=not theirs.verify_ssl,
        server_name=theirs.tls_server_name or "",
        proxy=theirs.proxy or "",
        certificate=content(theirs.cert_file),
        key=content(theirs.key_file),
        fixed="".join(theirs.api_key.values()),
    )
    said = ours.authorization() or ""

    assert expected == dataclasses.replace(ours, fixed=said, token_file=None)
