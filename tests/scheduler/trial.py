"""One cluster before both judges: each pair of pod and node, each placement, and the end.

Rounds of `solve` follow one another, as cycles do, until nothing more lands; a claim gets its
volume between them. kube-scheduler's filters are asked before, at each placement and after.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.scheduler import volumes
from tests.scheduler.dice import Dice
from tests.scheduler.judge import Judge, Refusals
from tests.scheduler.ours import Key, Moment, Reasons

Cluster = dict[str, Any]

GIVEN_UP = "a claim's chosen node is given up"
UNLABELLED = "a namespaceSelector is met by namespaces without labels"
FRACTIONS = "requests of fractions of a milli-CPU"
_MOST_ROUNDS = 30
# What hangs on the order in which pods came; at its moment each of them was asked.
_ORDERED = ("PodTopologySpread", "node(s) didn't match pod affinity rules")


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the two do not agree. `node` is empty where it is about all of them."""

    what: str  # refused, accepted, placed, left over, end state, raised
    pod: str = ""
    node: str = ""
    ours: Reasons = frozenset()
    theirs: Refusals = field(default_factory=dict)
    told: str = ""
    facts: frozenset[str] = frozenset()  # of its pod: GIVEN_UP and so on

    def __str__(self) -> str:
        mine = ", ".join(sorted(f"{reason.value} {detail}".strip() for reason, detail in self.ours))
        other = ", ".join(f"{plugin}: {message}" for plugin, message in sorted(self.theirs.items()))
        said = f"{self.what}: {self.pod} {self.node} {self.told}".strip()
        return f"{said} | Bayplan: {mine or 'yes'} | kube-scheduler: {other or 'yes'}"


@dataclass(slots=True)
class Trial:
    """What was judged, and where the answers differ."""

    pairs: int = 0
    placements: int = 0
    rounds: int = 0
    differences: list[Difference] = field(default_factory=list)


def tried(
    judge: Judge, cluster: Cluster, blind: Callable[[Cluster], None] = lambda _: None
) -> Trial:
    """Ask both about a cluster. `blind` takes away what Bayplan shall not see: a planted fault."""
    found = Trial()
    now = copy.deepcopy(cluster)
    blind(now)
    steps: list[dict[str, Any]] = []
    expected: list[Any] = []  # what to hold against the outcome of the step there

    def look(moment: Moment) -> None:
        steps.append({"judge": []})
        expected.append(_pairs(moment))

    bound: set[str] = set()
    moment = Moment.of(now)
    look(moment)
    facts = {
        GIVEN_UP: moment.given_up(),
        UNLABELLED: _unlabelled(cluster),
        FRACTIONS: _fractions(cluster),
    }
    while found.rounds < _MOST_ROUNDS:
        found.rounds += 1
        try:
            plan, groups, choices = moment.plan()
        except Exception as error:  # noqa: BLE001  whatever it is, it is a finding
            told = f"{type(error).__name__}: {error}"
            found.differences.append(Difference("raised", told=told))
            break
        for group in groups:
            landed = [{"pod": "/".join(key), "node": node} for key, node in group]
            steps.append({"place": landed})
            expected.append(None)
        if not (groups or choices):
            break
        bound |= {"/".join(key) for key in plan.placements}
        after = _bound(now, dict(plan.placements), choices)
        after["pods"] = _unbound(cluster, bound, groups)
        if any(after.values()):
            steps.append({"put": after})
            expected.append(None)
        moment = Moment.of(now)
    if found.rounds > 1:
        look(moment)
        steps.append({"recheck": sorted(bound)})
        expected.append(None)
    _compare(found, steps, expected, judge.ask(cluster, steps))
    _left_over(found, moment)
    found.differences = [
        replace(one, facts=frozenset(fact for fact, pods in facts.items() if one.pod in pods))
        for one in found.differences
    ]
    return found


def _unlabelled(cluster: Cluster) -> frozenset[str]:
    """Pods with a required term of affinity whose namespaceSelector asks for absence alone."""
    found: set[str] = set()
    for pod in cluster["pods"]:
        for kind in ("podAffinity", "podAntiAffinity"):
            wanted = pod["spec"].get("affinity", {}).get(kind, {})
            for term in wanted.get("requiredDuringSchedulingIgnoredDuringExecution", ()):
                asked = term.get("namespaceSelector", {})
                absent = [one["operator"] for one in asked.get("matchExpressions", ())]
                if absent and "matchLabels" not in asked and {*absent} <= {"NotIn", "DoesNotExist"}:
                    found.add(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}")
    return frozenset(found)


def _fractions(cluster: Cluster) -> frozenset[str]:
    return frozenset(
        f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        for pod in cluster["pods"]
        for one in pod["spec"]["containers"]
        if str(one.get("resources", {}).get("requests", {}).get("cpu", "")).endswith(("u", "n"))
    )


@dataclass(slots=True)
class _Pairs:
    """Our side: pod -> nodes that refuse it and why; the nodes that are ours."""

    refused: dict[str, dict[str, Reasons]]
    nodes: tuple[str, ...]


def _pairs(moment: Moment) -> _Pairs:
    refused: dict[str, dict[str, Reasons]] = {}
    for group in moment.waiting:
        answer = moment.refused(group)
        refused |= {"/".join(key): answer for key in group.keys}
    return _Pairs(refused, tuple(node.name for node in moment.snapshot.nodes))


def _compare(
    found: Trial, steps: list[dict[str, Any]], expected: list[Any], outcomes: list[dict[str, Any]]
) -> None:
    for step, mine, outcome in zip(steps, expected, outcomes, strict=True):
        if isinstance(mine, _Pairs):
            _compare_pairs(found, mine, outcome.get("refused", {}))
        elif "place" in step:
            found.placements += len(step["place"])
            nodes = {one["pod"]: one["node"] for one in step["place"]}
            for pod, refusals in outcome.get("stuck", {}).items():
                difference = Difference("placed", pod, nodes[pod], theirs=refusals)
                found.differences.append(difference)
        elif "recheck" in step:
            for pod, nodes in outcome.get("refused", {}).items():
                for node, refusals in nodes.items():
                    lasting = {
                        plugin: message
                        for plugin, message in refusals.items()
                        if plugin not in _ORDERED and message not in _ORDERED
                    }
                    if lasting:
                        found.differences.append(Difference("end state", pod, node, theirs=lasting))


def _compare_pairs(
    found: Trial, mine: _Pairs, theirs: Mapping[str, Mapping[str, Refusals]]
) -> None:
    for pod, answer in mine.refused.items():
        other = theirs.get(pod, {})
        for node in mine.nodes:
            found.pairs += 1
            if (node in answer) is not (node in other):
                what = "refused" if node in answer else "accepted"
                reasons, refusals = answer.get(node, frozenset()), other.get(node, {})
                found.differences.append(Difference(what, pod, node, reasons, refusals))


def _left_over(found: Trial, moment: Moment) -> None:
    """At the end nobody waits whom one of our nodes would take."""
    for group in moment.waiting:
        answer = moment.refused(group)
        for node in moment.snapshot.nodes:
            if node.name not in answer:
                pod = "/".join(group.keys[0])
                found.differences.append(Difference("left over", pod, node.name))
                break


def _unbound(
    cluster: Cluster, bound: set[str], groups: list[list[tuple[Key, str]]]
) -> list[dict[str, Any]]:
    """Those of the pods that have landed which wait for a volume: without a node, as before."""
    waiting = {"/".join(key) for group in groups for key, _ in group} - bound
    return [
        pod
        for pod in cluster["pods"]
        if f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" in waiting
    ]


def _bound(now: Cluster, placements: dict[Key, str], choices: dict[Key, str]) -> Cluster:
    """Pods are on their nodes, claims have volumes for theirs; returns volumes and claims."""
    nodes = {node["metadata"]["name"]: node for node in now["nodes"]}
    classes = {one["metadata"]["name"]: one for one in now.get("storageClasses", ())}
    for pod in now["pods"]:
        node = placements.get((pod["metadata"]["namespace"], pod["metadata"]["name"]))
        if node is not None:
            pod["spec"]["nodeName"] = node
            pod["status"] = {"phase": "Running"}
    made: Cluster = {}
    for index, claim in enumerate(now.get("pvcs", ())):
        key = claim["metadata"]["namespace"], claim["metadata"]["name"]
        node = choices.get(key)
        if node is None:
            continue
        provisioner = classes[claim["spec"]["storageClassName"]]["provisioner"]
        volume, bound = volumes.provisioned(Dice(index), claim, nodes[node], provisioner)
        now.setdefault("pvs", []).append(volume)
        now["pvcs"][index] = bound
        made.setdefault("pvs", []).append(volume)
        made.setdefault("pvcs", []).append(bound)
    return made
