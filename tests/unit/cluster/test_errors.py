"""An answer's error says what its receiver does next."""

import json
from typing import Any

import pytest

from bayplan.cluster import errors


def status(code: int, reason: str = "", **details: Any) -> bytes:
    said = {"kind": "Status", "code": code, "reason": reason, "message": "m", "details": details}
    return json.dumps(said).encode()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (status(400), errors.Rejected),
        (status(401), errors.Unavailable),
        (status(403, "Forbidden"), errors.Rejected),
        (status(404), errors.NotFound),
        (status(405), errors.Rejected),
        (status(408), errors.Unavailable),
        (status(409, "AlreadyExists"), errors.AlreadyExists),
        (status(409, "Conflict"), errors.Conflict),
        (status(410, "Expired"), errors.Gone),
        (status(412), errors.Conflict),
        (status(413), errors.Rejected),
        (status(422, "Invalid"), errors.Rejected),
        (status(422, "Invalid", causes=[{"field": "metadata.uid"}]), errors.Conflict),
        (status(429), errors.Unavailable),
        (status(429, causes=[{"reason": "DisruptionBudget"}]), errors.Conflict),
        (status(500), errors.Unavailable),
        (status(503), errors.Unavailable),
        (status(504), errors.Unavailable),
    ],
)
def test_sorted(body: bytes, kind: type[errors.ClusterError]) -> None:
    """By the status code, and by the cause where one code means two things."""
    code = json.loads(body)["code"]

    assert kind is type(errors.of(code, body))
    assert "m" == str(errors.of(code, body))
    assert code == errors.of(code, body).status


def test_a_webhook_that_does_not_answer() -> None:
    """A 500 for those whom it judges alone: a refusal, which slows down nobody else's writes."""
    words = 'Internal error occurred: failed calling webhook "v.example.com": connection refused'
    body = json.dumps({"kind": "Status", "code": 500, "message": words}).encode()
    error = errors.of(500, body)

    assert (errors.WebhookSilent, 500, words) == (type(error), error.status, str(error))
    assert isinstance(error, errors.Rejected)


@pytest.mark.parametrize(
    "body", [b"", b"<html>Bad Gateway</html>", b"\xff\xfe", b"[1]", b'{"code":"x"}']
)
def test_no_status_object(body: bytes) -> None:
    """Whatever stands between us and the API server may answer anything."""
    error = errors.of(502, body)

    assert errors.Unavailable is type(error)
    assert str(error)


def test_retry_after() -> None:
    """The header counts, else the Status' own word."""
    said = status(429, retryAfterSeconds=3)
    by_header, by_status = errors.of(429, said, 7.0), errors.of(429, said)

    assert isinstance(by_header, errors.Unavailable)
    assert isinstance(by_status, errors.Unavailable)
    assert (7.0, 3) == (by_header.retry_after_seconds, by_status.retry_after_seconds)


def test_event() -> None:
    """An ERROR event carries its code in the object; without one it is the server's fault."""
    assert errors.Gone is type(errors.of_event(status(410)))
    assert errors.Unavailable is type(errors.of_event(b"{}"))


def test_message_is_bounded() -> None:
    """What a server says is kept, but not all of a page."""
    assert len(errors.of(500, b"x" * 100_000).message) <= 2048
