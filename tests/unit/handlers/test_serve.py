"""kopf beside the operator: what it is started with, and that its end is told."""

import threading
from typing import Any

import kopf
import pytest

from bayplan.handlers import serve


def test_kopf_need_not_look_for_the_users_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """65532 in the image is in no /etc/passwd and has no $USER: asked for it, kopf would end."""
    given: dict[str, Any] = {}
    ended = threading.Event()

    async def operator(**options: Any) -> None:
        given.update(options)

    monkeypatch.setattr(kopf, "operator", operator)
    server = serve.Server(kopf.OperatorRegistry(), on_death=lambda _: ended.set())
    server.start()

    assert ended.wait(10)
    assert given["identity"]
    assert given["standalone"]
