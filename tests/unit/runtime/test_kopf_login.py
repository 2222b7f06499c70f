"""kopf connects as the rest of the operator does."""

import asyncio
import json
import ssl
from pathlib import Path

import kopf
import pytest

from bayplan.runtime.kopf_login import login


def test_kopf_has_our_access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same server, credentials, proxy and trust; equal when nothing has changed."""
    cluster = {"server": "https://kube:6443", "proxy-url": "http://p:1"}
    body = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {**cluster, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "u", "user": {"token": "abc"}}],
    }
    file = tmp_path / "config"
    file.write_text(json.dumps(body))
    monkeypatch.setenv("KUBECONFIG", str(file))
    found = asyncio.run(login())

    assert ("https://kube:6443", "http://p:1") == (found.server, found.proxy_url)
    assert {"Authorization": "Bearer abc"} == found.as_http_headers()
    assert ssl.CERT_NONE == found.as_ssl_context().verify_mode
    assert asyncio.run(login()) == found

    file.write_text("")

    with pytest.raises(kopf.LoginError, match="no context is chosen"):
        asyncio.run(login())
