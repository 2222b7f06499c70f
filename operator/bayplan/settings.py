"""Every knob of the operator, with its unit in its name. Frozen: read once at the start.

`__main__` fills it from the command line and from `BAYPLAN_…` variables; the core never imports
it, what it needs is passed down.
"""

import enum
from pathlib import Path
from typing import Any, Literal

import pydantic

from bayplan.model import requirements
from bayplan.model.nodes import Node
from bayplan.notifications import receivers


class Mode(enum.Enum):
    ACT = "Act"
    OBSERVE = "Observe"  # plans, metrics and explanations; no write but the lease


def _knob(default: object, words: str, **bounds: float) -> Any:
    return pydantic.Field(default=default, description=words, **bounds)  # type: ignore[call-overload]


class Settings(pydantic.BaseModel):
    """Defaults suit one operator per cluster; see docs/reference/settings.md."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    mode: Mode = _knob(
        Mode.ACT, "Act, or Observe: plans, metrics and explanations, no write but the lease."
    )
    kubeconfig: Path | None = _knob(
        None, "Kubeconfig file; else $KUBECONFIG, else the pod's own account, else ~/.kube/config."
    )
    node_selector: str = _knob(
        "", "Labels of the nodes to fill, as key=value,key!=value,key,!key; empty: all."
    )
    namespace: str = _knob(
        "",
        "Serve this one namespace; pods of others still count on the nodes. Empty: all namespaces.",
    )
    identity: str = _knob(
        "",
        "Name in the lease; a restarted process of the same name goes on at once. Else $HOSTNAME.",
    )
    lease_namespace: str = _knob("default", "Namespace of the lease.")
    lease_name: str = _knob("bayplan", "Name of the lease; one holder writes.")
    lease_duration_seconds: float = _knob(
        15, "After this long without a sign of the holder another may take over.", gt=0
    )
    lease_renew_deadline_seconds: float = _knob(
        10, "A holder that could not renew for this long stops writing.", gt=0
    )
    lease_retry_seconds: float = _knob(2, "Pause between two tries of the lease.", gt=0)
    stuck_after_seconds: float = _knob(
        60, "A main loop silent for this long loses the lease and fails liveness.", gt=0
    )
    most_skew_seconds: float = _knob(
        5, "Nothing is decided while this clock is further from the API server's.", gt=1
    )
    writes_in_flight: int = _knob(48, "Writes under way at once, at most.", ge=1, le=1024)
    relist_seconds: float = _knob(
        300, "How often both kinds are listed whole, in case a watch lost something.", gt=0
    )
    status_interval_seconds: float = _knob(
        1, "At most one status write per object in this time.", ge=0
    )
    dry_runs_per_second: float = _knob(
        20, "How many templates a second the API server is asked about, at most.", gt=0
    )
    notifications_file: Path | None = _knob(
        None,
        "YAML file of `receivers`, each name, url and keyFile: where notifications of jobs go.",
    )
    metrics_port: int = _knob(
        9090, "Port of /metrics and /readyz; 0: any free one.", ge=0, le=65535
    )
    liveness_port: int = _knob(8080, "Port of /healthz; 0: none.", ge=0, le=65535)
    listen_address: str = _knob(
        "0.0.0.0",  # noqa: S104  a pod's probes and scrapes come from outside
        "Address of both ports.",
    )
    log_format: Literal["text", "json"] = _knob("text", "Form of log lines.")
    log_level: Literal["debug", "info", "warning", "error"] = _knob("info", "Least level logged.")
    shutdown_seconds: float = _knob(
        5, "From SIGTERM to the end: writes under way finish, the lease is released.", gt=0
    )

    @pydantic.model_validator(mode="after")
    def _lease_times_leave_room(self) -> "Settings":
        """A holder must have stopped writing before another may begin."""
        if not (
            self.lease_retry_seconds
            < self.lease_renew_deadline_seconds
            < self.lease_duration_seconds
        ):
            raise ValueError(
                "lease times must rise: --lease-retry-seconds < --lease-renew-deadline-seconds"
                " < --lease-duration-seconds"
            )
        return self

    @pydantic.field_validator("namespace")
    @classmethod
    def _namespace_is_one(cls, name: str) -> str:
        plain = name.replace("-", "a")
        if name and not (plain.isascii() and plain.isalnum() and name == name.lower()):
            raise ValueError(
                f"{name!r} is not the name of one namespace; run one operator for each, or leave it"
                " empty for all"
            )
        return name

    @pydantic.field_validator("notifications_file")
    @classmethod
    def _receivers_are_readable(cls, path: Path | None) -> Path | None:
        if path is not None:
            receivers.read(path)
        return path

    @pydantic.field_validator("node_selector")
    @classmethod
    def _selector_is_readable(cls, text: str) -> str:
        node_term(text)
        return text


def node_term(selector: str) -> requirements.Term:
    """Read a label selector (`a=b,c!=d,e,!f`) as a term.

    Set-based `in (…)` is not read here: a list of alternatives belongs on the nodes as one label.
    """
    wanted: list[tuple[str, requirements.Requirement]] = []
    for part in filter(None, (piece.strip() for piece in selector.split(","))):
        if "!=" in part:
            key, value = part.split("!=", 1)
            wanted.append((key.strip(), requirements.requirement("NotIn", [value.strip()])))
        elif "=" in part:
            key, value = part.replace("==", "=", 1).split("=", 1)
            wanted.append((key.strip(), requirements.requirement("In", [value.strip()])))
        elif part.startswith("!"):
            wanted.append((part[1:].strip(), requirements.requirement("DoesNotExist")))
        elif "(" in part or " " in part:
            raise ValueError(f"{part!r} is not of the form key=value, key!=value, key or !key")
        else:
            wanted.append((part, requirements.requirement("Exists")))
    return requirements.Term(labels=tuple(wanted))


# Nodes that no selector makes ours: nothing of a user's runs on a control plane, and a Fargate
# node holds exactly the one pod it was made for.
_NOT_OURS = requirements.Term(
    labels=(
        ("node-role.kubernetes.io/control-plane", requirements.requirement("DoesNotExist")),
        ("eks.amazonaws.com/compute-type", requirements.requirement("NotIn", ["fargate"])),
    )
)


def is_ours(node: Node, term: requirements.Term) -> bool:
    """Whether this node is one that Bayplan fills."""
    return _NOT_OURS.matches(node.labels, node.name) and term.matches(node.labels, node.name)
