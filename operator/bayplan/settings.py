"""Every knob of the operator, with its unit in its name. Frozen: read once at the start.

`__main__` fills it from the command line and from `BAYPLAN_…` variables; the core never imports
it, what it needs is passed down.
"""

import enum
from pathlib import Path

import pydantic

from bayplan.model import node as nodes_
from bayplan.model import requirement


class Mode(enum.Enum):
    ACT = "Act"
    OBSERVE = "Observe"  # plans, metrics and explanations; no write but the lease


class Settings(pydantic.BaseModel):
    """Defaults suit one operator per cluster; see docs/reference/settings.md."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    mode: Mode = Mode.ACT
    kubeconfig: Path | None = None
    node_selector: str = ""
    identity: str = ""
    lease_namespace: str = "default"
    lease_name: str = "bayplan"
    lease_duration_seconds: float = pydantic.Field(default=15, gt=0)
    lease_renew_deadline_seconds: float = pydantic.Field(default=10, gt=0)
    lease_retry_seconds: float = pydantic.Field(default=2, gt=0)
    stuck_after_seconds: float = pydantic.Field(default=60, gt=0)
    writes_in_flight: int = pydantic.Field(default=48, ge=1, le=1024)
    relist_seconds: float = pydantic.Field(default=300, gt=0)
    status_interval_seconds: float = pydantic.Field(default=1, ge=0)
    dry_runs_per_second: float = pydantic.Field(default=20, gt=0)
    metrics_port: int = pydantic.Field(default=9090, ge=0, le=65535)
    liveness_port: int = pydantic.Field(default=8080, ge=0, le=65535)
    listen_address: str = "0.0.0.0"  # noqa: S104  a pod's probes and scrapes come from outside
    log_format: str = pydantic.Field(default="text", pattern="^(text|json)$")
    log_level: str = pydantic.Field(default="info", pattern="^(debug|info|warning|error)$")
    shutdown_seconds: float = pydantic.Field(default=5, gt=0)

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

    @pydantic.field_validator("node_selector")
    @classmethod
    def _selector_is_readable(cls, text: str) -> str:
        node_term(text)
        return text


def node_term(selector: str) -> requirement.Term:
    """Read a label selector (`a=b,c!=d,e,!f`) as a term.

    Set-based `in (…)` is not read here: a list of alternatives belongs on the nodes as one label.
    """
    wanted: list[tuple[str, requirement.Requirement]] = []
    for part in filter(None, (piece.strip() for piece in selector.split(","))):
        if "!=" in part:
            key, value = part.split("!=", 1)
            wanted.append((key.strip(), requirement.requirement("NotIn", [value.strip()])))
        elif "=" in part:
            key, value = part.replace("==", "=", 1).split("=", 1)
            wanted.append((key.strip(), requirement.requirement("In", [value.strip()])))
        elif part.startswith("!"):
            wanted.append((part[1:].strip(), requirement.requirement("DoesNotExist")))
        elif "(" in part or " " in part:
            raise ValueError(
                f"--node-selector: {part!r} is not of the form key=value, key!=value, key or !key"
            )
        else:
            wanted.append((part, requirement.requirement("Exists")))
    return requirement.Term(labels=tuple(wanted))


# Nodes that no selector makes ours: nothing of a user's runs on a control plane, and a Fargate
# node holds exactly the one pod it was made for.
_NOT_OURS = requirement.Term(
    labels=(
        ("node-role.kubernetes.io/control-plane", requirement.requirement("DoesNotExist")),
        ("eks.amazonaws.com/compute-type", requirement.requirement("NotIn", ["fargate"])),
    )
)


def is_ours(node: nodes_.Node, term: requirement.Term) -> bool:
    """Whether this node is one that Bayplan fills."""
    return _NOT_OURS.matches(node.labels, node.name) and term.matches(node.labels, node.name)
