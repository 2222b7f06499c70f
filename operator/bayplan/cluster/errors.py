"""What can go wrong between us and the API server, sorted by what the caller does next.

    ClusterError
    ├── Unavailable        no answer, 401, 408, 429, 5xx   → the same request again, later
    ├── Gone               410, in stream or over HTTP      → list again
    ├── Conflict           409, 412; another uid (422), a spent budget (429): look again
    │   └── AlreadyExists  409 to a CREATE                  → if it is ours, it has succeeded
    ├── NotFound           404                              → it does not exist: forget it
    ├── Rejected           every other 4xx                  → a condition; again after a back-off
    │   └── WebhookSilent  500 of a webhook that is down    → the same
    ├── Held               a write of its sort was refused  → not sent; tried again with that write
    └── LeaseLost          we may no longer write           → the process ends

This is the only tree; no code catches an exception of the HTTP library outside `transport`.
"""

from typing import Any

import msgspec

SPENT = "DisruptionBudget"  # the reason of a `Conflict` when a budget allows no disruption now
_WEBHOOK = "failed calling webhook"  # k8s.io/apiserver, admission/plugin/webhook/errors
_LONGEST_MESSAGE = 2048  # characters; a server's sentence about one object is shorter


class ClusterError(Exception):
    """`status` is the HTTP code (0: no answer); `reason` and `message` are the server's words."""

    def __init__(self, message: str = "", *, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.message = message[:_LONGEST_MESSAGE]
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        return self.message or f"{self.reason} {self.status or 'no answer'}".strip()


class Unavailable(ClusterError):  # noqa: N818  the tree names outcomes, not exceptions
    """No answer, or not now. It is unknown whether a write was carried out."""

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 0,
        reason: str = "",
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, status=status, reason=reason)
        self.retry_after_seconds = retry_after_seconds


class Gone(ClusterError):  # noqa: N818
    """The resourceVersion or continue token is too old for the server."""


class Conflict(ClusterError):  # noqa: N818
    """The object is not as we thought: another version, another uid, or a spent budget."""


class AlreadyExists(Conflict):
    """The name of a CREATE is taken."""


class NotFound(ClusterError):  # noqa: N818
    """The object does not exist, or its namespace does not."""


class Rejected(ClusterError):  # noqa: N818
    """The server understood and refuses: admission, quota, validation or rights."""


class WebhookSilent(Rejected):
    """No fault of what was written: a webhook that has to judge it cannot be called."""


class Held(ClusterError):  # noqa: N818
    """Not sent, because the server has refused a write of the same sort."""


class LeaseLost(ClusterError):  # noqa: N818
    """We no longer have the right to write."""


class _Cause(msgspec.Struct):
    reason: str | None = None
    field: str | None = None


class _Details(msgspec.Struct):
    causes: list[_Cause] | None = None
    retry_after_seconds: int | None = msgspec.field(default=None, name="retryAfterSeconds")


class _Status(msgspec.Struct):
    message: str | None = None
    reason: str | None = None
    code: int | None = None
    details: _Details | None = None


_decode_status = msgspec.json.Decoder(_Status).decode


def of(status: int, body: bytes = b"", retry_after_seconds: float | None = None) -> ClusterError:
    """The error for an HTTP answer of this status (400 or more).

    If the body is no Status object, the first words of the body become the message.
    """
    said = _said(body)
    if retry_after_seconds is None and said.details is not None:
        retry_after_seconds = said.details.retry_after_seconds
    causes = (said.details.causes if said.details is not None else None) or []
    words: dict[str, Any] = {
        "message": said.message or "",
        "reason": said.reason or "",
        "status": status,
    }
    match status:
        case 404:
            return NotFound(**words)
        case 409 if said.reason == "AlreadyExists":
            return AlreadyExists(**words)
        case 409 | 412:
            return Conflict(**words)
        case 422 if any(cause.field == "metadata.uid" for cause in causes):
            # A patch that names a uid met another object: this is a 422, while a delete answers
            # 409.
            return Conflict(**words)
        case 410:
            return Gone(**words)
        case 429 if any(cause.reason == SPENT for cause in causes):
            return Conflict(**{**words, "reason": SPENT})
        # 401: the transport has renewed the credentials already; the server may accept them later.
        case 401 | 408 | 429:
            return Unavailable(**words, retry_after_seconds=retry_after_seconds)
    # A webhook that does not answer causes a 500; only writes that it judges have to wait for it.
    silent = _WEBHOOK in words["message"]
    if status < 500 or silent:  # noqa: PLR2004  4xx and 5xx, as in HTTP
        return (WebhookSilent if silent else Rejected)(**words)
    return Unavailable(**words, retry_after_seconds=retry_after_seconds)


def of_event(body: bytes) -> ClusterError:
    """The error that an ERROR event of a watch carries; without a code it counts as a 500."""
    return of(_said(body).code or 500, body)


def _said(body: bytes) -> _Status:
    try:
        return _decode_status(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Status(message=body[:_LONGEST_MESSAGE].decode(errors="replace").strip())
