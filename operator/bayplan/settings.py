"""All settings of the operator, each with its unit in its name; read once, at the start.

`__main__` fills them from the command line and from `BAYPLAN_…` variables. The core never imports
this module: it gets the values that it needs.
"""

import enum
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pydantic

from bayplan.cloud import prices
from bayplan.model import requirements
from bayplan.model.nodes import Node
from bayplan.notifications import receivers


class Mode(enum.Enum):
    ACT = "Act"
    OBSERVE = "Observe"  # plans, metrics and explanations; no write but the lease


def _knob(default: object, words: str, **bounds: float) -> Any:
    return pydantic.Field(default=default, description=words, **bounds)  # type: ignore[call-overload]


class Settings(pydantic.BaseModel):
    """The settings; the defaults suit one operator per cluster. See docs/reference/settings.md."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    mode: Mode = _knob(
        Mode.ACT, "Act, or Observe: plan, measure and explain, and write only the lease."
    )
    kubeconfig: Path | None = _knob(
        None, "Kubeconfig; by default $KUBECONFIG, the pod's own account, or ~/.kube/config."
    )
    node_selector: str = _knob(
        "", "Labels of the nodes to fill, as key=value,key!=value,key,!key; empty means all nodes."
    )
    namespace: str = _knob(
        "",
        "Serve only this namespace; pods of others still count on nodes. Empty means all.",
    )
    identity: str = _knob(
        "",
        "Name in the lease; a restarted process with the same name goes on at once. By default "
        "$HOSTNAME.",
    )
    lease_namespace: str = _knob("default", "Namespace of the lease.")
    lease_name: str = _knob("bayplan", "Name of the lease; only its holder writes.")
    lease_duration_seconds: float = _knob(
        15, "If the holder is silent for this long, another replica may take over.", gt=0
    )
    lease_renew_deadline_seconds: float = _knob(
        10, "A holder that cannot renew the lease for this long stops writing.", gt=0
    )
    lease_retry_seconds: float = _knob(2, "Pause between two tries to get the lease.", gt=0)
    stuck_after_seconds: float = _knob(
        60, "If the main loop hangs for this long, it loses the lease and fails liveness.", gt=0
    )
    most_skew_seconds: float = _knob(
        5, "While this clock differs more from the API server's, nothing is decided.", gt=1
    )
    writes_in_flight: int = _knob(48, "Most writes under way at the same time.", ge=1, le=1024)
    relist_seconds: float = _knob(
        300, "How often both kinds are listed completely, in case a watch lost an event.", gt=0
    )
    status_interval_seconds: float = _knob(
        1, "An object gets at most one status write in this time.", ge=0
    )
    dry_runs_per_second: float = _knob(20, "Most dry runs of templates in a second.", gt=0)
    notifications_file: Path | None = _knob(
        None,
        "YAML file with the `receivers` of notifications, each with name, url and keyFile.",
    )
    pools: bool = _knob(
        False,
        "Serve Pools: watch Karpenter's NodePools and NodeClaims, and buy nodes for Pools with "
        "mode Buy or BuyAndConsolidate. For the whole cluster only, so not with --namespace.",
    )
    karpenter_metrics: str = _knob(
        "",
        "URL of Karpenter's metrics, for prices and stock; by default the port http-metrics of the "
        "Service with label app.kubernetes.io/name=karpenter.",
    )
    prices_file: Path | None = _knob(
        None,
        "JSON or CSV file with the price of instance types in dollars an hour, for pools whose "
        "prices Karpenter's metrics do not tell.",
    )
    metrics_port: int = _knob(
        9090, "Port of /metrics and /readyz; 0 means any free port.", ge=0, le=65535
    )
    liveness_port: int = _knob(8080, "Port of /healthz; 0 means none.", ge=0, le=65535)
    listen_address: str = _knob(
        "0.0.0.0",  # noqa: S104  a pod's probes and scrapes come from outside
        "Address of both ports.",
    )
    log_format: Literal["text", "json"] = _knob("text", "Format of log lines.")
    log_level: Literal["debug", "info", "warning", "error"] = _knob("info", "Lowest level to log.")
    shutdown_seconds: float = _knob(
        5, "Time after SIGTERM to finish writes and to release the lease.", gt=0
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

    @pydantic.model_validator(mode="after")
    def _pools_are_of_the_cluster(self) -> "Settings":
        """A Pool buys for the pods of all namespaces."""
        if self.pools and self.namespace:
            raise ValueError(
                "--pools needs the whole cluster, because a Pool belongs to no namespace: leave"
                " out --namespace, or --pools"
            )
        return self

    @pydantic.field_validator("karpenter_metrics")
    @classmethod
    def _address_is_one(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and not (parts.scheme in {"http", "https"} and parts.hostname):
            raise ValueError(
                f"{url!r} is not a URL; write http://HOST:8080/metrics, or leave it empty to find"
                " Karpenter's Service"
            )
        return url

    @pydantic.field_validator("prices_file")
    @classmethod
    def _prices_are_readable(cls, path: Path | None) -> Path | None:
        if path is not None:
            try:
                prices.from_file(path)
            except OSError as error:
                raise ValueError(f"{path}: {error.strerror}") from error
        return path

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
    """A label selector (`a=b,c!=d,e,!f`) as a term.

    `in (…)` is not supported: for a list of alternatives put a common label on the nodes.
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


# Nodes that are never ours: no user's pod runs on a control plane, and a Fargate node is made for a
# single pod.
_NOT_OURS = requirements.Term(
    labels=(
        ("node-role.kubernetes.io/control-plane", requirements.requirement("DoesNotExist")),
        ("eks.amazonaws.com/compute-type", requirements.requirement("NotIn", ["fargate"])),
    )
)


def is_ours(node: Node, term: requirements.Term) -> bool:
    """Whether Bayplan fills this node."""
    return _NOT_OURS.matches(node.labels, node.name) and term.matches(node.labels, node.name)
