"""What a cluster's objects say, as numbers: fill and cost of nodes, services, runs, what waits.

Counted here from the stored objects and with none of the operator's code but quantities and
prices, so that the demo does not merely repeat what the operator believes.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bayplan import units
from bayplan.cloud import catalogue, prices
from bayplan.model.nodes import PRICE

Object = Mapping[str, Any]
RESOURCES = ("cpu", "memory", "pods")
_INSTANCE_TYPE = "node.kubernetes.io/instance-type"
_ZONE = "topology.kubernetes.io/zone"
_JOB, _RUN, _ATTEMPT = "bayplan.dev/job", "bayplan.dev/run", "bayplan.dev/attempt"


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """One node: amounts by resource (milli-CPU, bytes, counts) asked for and to be had."""

    name: str
    instance_type: str
    zone: str
    requested: Mapping[str, int]
    allocatable: Mapping[str, int]
    price: prices.Price

    @property
    def pods(self) -> int:
        return self.requested["pods"]


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """A resource of which something finds no room, with the operator's sentence why."""

    kind: str
    name: str
    tasks: int
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """The last finished run of a job, and how many there were."""

    job: str
    runs: int
    run: str
    outcome: str
    reason: str
    exit_code: int | None
    attempts: int
    node: str


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """Services and runs in numbers."""

    ready: int
    desired: int
    succeeded: int
    failed: int
    running: int


def nodes(stored: Iterable[Object], pods: Iterable[Object]) -> list[Node]:
    """Every node with what the pods on it ask for; pods that have ended ask for nothing."""
    asked: dict[str, dict[str, int]] = {}
    for pod in pods:
        where = pod["spec"].get("nodeName")
        if where and not has_ended(pod):
            sums = asked.setdefault(where, dict.fromkeys(RESOURCES, 0))
            for resource, amount in request(pod).items():
                sums[resource] += amount
    return [
        _node(one, asked.get(one["metadata"]["name"], dict.fromkeys(RESOURCES, 0)))
        for one in sorted(stored, key=lambda one: str(one["metadata"]["name"]))
    ]


def request(pod: Object) -> dict[str, int]:
    """What a pod of the example asks for: it has containers and nothing beside them."""
    sums = {"cpu": 0, "memory": 0, "pods": 1}
    for container in pod["spec"]["containers"]:
        requests = container.get("resources", {}).get("requests", {})
        sums["cpu"] += units.cpu_milli(requests.get("cpu", "0"))
        sums["memory"] += units.memory_bytes(requests.get("memory", "0"))
    return sums


def has_ended(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}


def unplaced(pods: Iterable[Object]) -> int:
    """How many pods exist without a node."""
    return sum(not pod["spec"].get("nodeName") and not has_ended(pod) for pod in pods)


def used(of: Iterable[Node]) -> list[Node]:
    """Nodes that hold anything, the costliest first."""
    holding = [node for node in of if node.pods]
    return sorted(holding, key=lambda node: (-node.price.microdollars_per_hour, node.name))


def cpu_requested(of: Iterable[Node]) -> int:
    return sum(node.requested["cpu"] for node in of)


def percent(resource: str, of: Sequence[Node]) -> int:
    """Requested of allocatable on these nodes together, rounded down; 0 of none."""
    whole = sum(node.allocatable[resource] for node in of)
    return sum(node.requested[resource] for node in of) * 100 // whole if whole else 0


def microdollars_per_hour(of: Iterable[Node]) -> int:
    return sum(node.price.microdollars_per_hour for node in of)


def dollars(microdollars: int) -> str:
    """Text with cents, rounded half up: 1234567 is `$1.23`."""
    cents = (microdollars + 5_000) // 10_000
    return f"${cents // 100}.{cents % 100:02}"


def price_sources(of: Iterable[Node]) -> list[str]:
    return sorted({node.price.source for node in of})


def waiting(jobs: Iterable[Object], services: Iterable[Object]) -> list[Waiting]:
    """Everything whose status says that tasks find no room."""
    found = []
    for kind, objects in (("BatchJob", jobs), ("LongService", services)):
        for one in objects:
            placement = one.get("status", {}).get("placement")
            if placement:
                tasks, message = placement.get("pendingTasks", 0), placement.get("message", "")
                found.append(Waiting(kind, one["metadata"]["name"], tasks, message))
    return sorted(found, key=lambda one: (one.kind, one.name))


def counts(jobs: Iterable[Object], services: Iterable[Object]) -> Counts:
    """Services by instances, runs by the counters in each job's status."""
    states = [one.get("status", {}) for one in jobs]
    sums = [state.get("statistics", {}) for state in states]
    live = list(services)
    return Counts(
        ready=sum(one.get("status", {}).get("readyReplicas", 0) for one in live),
        desired=sum(one["spec"].get("replicas", 1) for one in live),
        succeeded=sum(each.get("successes", 0) for each in sums),
        failed=sum(each.get("failures", 0) for each in sums),
        running=sum(state.get("running", 0) for state in states),
    )


def last_runs(jobs: Iterable[Object]) -> list[Run]:
    """The newest finished run of each job that has one, by job."""
    found = []
    for job in jobs:
        history = job.get("status", {}).get("history", [])
        if history:
            run = history[0]
            found.append(
                Run(
                    job=job["metadata"]["name"],
                    runs=job["status"].get("statistics", {}).get("runs", 0),
                    run=run["run"],
                    outcome=run["outcome"],
                    reason=run.get("reason", ""),
                    exit_code=run.get("exitCode"),
                    attempts=run.get("attempts", 0),
                    node=run.get("node", ""),
                )
            )
    return sorted(found, key=lambda run: run.job)


def exit_codes(pods: Iterable[Object]) -> dict[tuple[str, str], dict[int, int]]:
    """Exit codes of attempts that have ended: (job, run) -> attempt -> code."""
    found: dict[tuple[str, str], dict[int, int]] = {}
    for pod in pods:
        labels = pod["metadata"].get("labels", {})
        for container in pod.get("status", {}).get("containerStatuses", []):
            ended = container.get("state", {}).get("terminated")
            if ended and _JOB in labels:
                codes = found.setdefault((labels[_JOB], labels[_RUN]), {})
                codes[int(labels[_ATTEMPT])] = ended["exitCode"]
    return found


def asked_run(job: Object, token: str) -> Object | None:
    """The finished run that the run-now `token` led to; None as long as there is none."""
    handled = job.get("status", {}).get("handledTokens", [])
    if job["metadata"].get("annotations", {}).get("bayplan.dev/run-now") != token or not handled:
        return None
    history = job["status"].get("history", [])
    return next((run for run in history if run["run"] == handled[0]), None)


def _price(labels: Mapping[str, str], instance_type: str) -> prices.Price:
    """What the node says of itself, else the model."""
    said = labels.get(PRICE)
    if said is None:
        return prices.modelled(catalogue.load()[instance_type])
    return prices.Price(prices.microdollars(said), f"node label {PRICE}")


def _node(stored: Object, requested: Mapping[str, int]) -> Node:
    labels = stored["metadata"].get("labels", {})
    allocatable = stored["status"]["allocatable"]
    instance_type = labels[_INSTANCE_TYPE]
    return Node(
        name=stored["metadata"]["name"],
        instance_type=instance_type,
        zone=labels.get(_ZONE, ""),
        requested=requested,
        allocatable={name: units.amount(name, allocatable[name]) for name in RESOURCES},
        price=_price(labels, instance_type),
    )
