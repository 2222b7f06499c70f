"""What a product with two operators more says of them, as JSON: a program of `test_operators`."""

import json
import sys
from collections.abc import Collection
from typing import Any

from bayplan.api import compiled_rules, names, placement_rules, pod_builder
from bayplan.api.resource import Resource, parse_resource
from bayplan.cli.importers.reading import Note, Taking, constraint
from bayplan.cli.lint import structural
from bayplan.cluster.pods import pod_from_dict
from bayplan.model.constraints import PlaceConstraint
from bayplan.model.nodes import ZONE
from bayplan.model.pods import Pod
from bayplan.model.reasons import Reason
from bayplan.model.workloads import Waiting
from bayplan.placement.solve import Policy, solve
from bayplan.provisioning import demand
from bayplan.reconcile.longservice import drift
from tests.builders import NOON, make_node, make_pod, make_snapshot
from tools import reference

NODES = [
    make_node("a1", zone="east-1"),
    make_node("a2", zone="east-2"),
    make_node("b1", zone="west-1"),
    make_node("c1"),
]
PEERS = {names.SERVICE: "web", names.TEMPLATE_HASH: "h"}


def service(operator: str = "", value: str = "", key: str = "zone") -> Resource:
    """A stored LongService of 5 with one constraint, or none."""
    wanted = {"key": key, "operator": operator, **({"value": value} if value else {})}
    return parse_resource(
        {
            "apiVersion": "bayplan.dev/v1alpha1",
            "kind": "LongService",
            "metadata": {"namespace": "default", "name": "web", "uid": "u1", "generation": 1},
            "spec": {
                "replicas": 5,
                "placement": {"constraints": [wanted] if operator else []},
                "template": {"spec": {"containers": [{"name": "main", "image": "x"}]}},
            },
        }
    )


def known(label: str) -> Collection[str]:
    return ["east-1", "east-2", "west-1"] if label == ZONE else []


def pod_of(made: Resource, **more: Any) -> dict[str, Any]:
    blueprint = pod_builder.blueprint(made, revision="h", values=known)
    return blueprint.pod("web-1", labels=PEERS, annotations={}, environment={}, **more)


def placed(made: Resource) -> dict[str, int]:
    """Pods by the zone in which five of them land."""
    kind = demand.class_of(pod_from_dict(pod_of(service())), rules_of(made))
    keys = tuple(("default", f"web-{index}") for index in range(5))
    plan = solve(make_snapshot(*NODES), [Waiting(kind, keys)], NOON, Policy())
    zones = {node.name: node.labels.get(ZONE, "") for node in NODES}
    found: dict[str, int] = {}
    for node in plan.placements.values():
        found[zones[node]] = found.get(zones[node], 0) + 1
    return found


def rules_of(made: Resource) -> Any:
    return placement_rules.rules(made, "h")


def refused(made: Resource) -> list[str]:
    """Why nodes refuse a sixth pod of it."""
    kind = demand.class_of(pod_from_dict(pod_of(service())), rules_of(made))
    keys = tuple(("default", f"web-{index}") for index in range(9000))
    plan = solve(make_snapshot(*NODES), [Waiting(kind, keys)], NOON, Policy())
    refusals = plan.refused[0].funnel.refusals
    return sorted({one.detail for one in refusals if one.reason is Reason.CONSTRAINT})


def stripped(made: Resource) -> bool:
    """Whether the packer sees the pod as if nothing had been compiled into it."""
    stored = pod_from_dict(pod_of(made)).constraints
    plain = pod_from_dict(pod_of(service())).constraints
    return compiled_rules.stripped(stored, rules_of(made)) == plain != stored


def drifted(made: Resource, *where: str) -> list[str]:
    pods = [make_pod(f"web-{at}", node, created_at=NOON + at) for at, node in enumerate(where)]
    nodes = {node.name: node for node in NODES}
    wanted = placement_rules.constraints(made)
    return [pod.name for pod in drift.drifted(pods, nodes, wanted, len(pods))]


def movable(made: Resource) -> list[PlaceConstraint]:
    return drift.movable(placement_rules.constraints(made))


def bought(made: Resource) -> tuple[bool, int]:
    """Whether its pods are tied to others, and how many of them one node may hold."""
    pod: Pod = pod_from_dict(pod_of(service()))
    group = Waiting(demand.class_of(pod, rules_of(made)), (("default", "web-1"),))
    (row,), _ = demand.demand_rows([group], ("east-1",), {})
    return row.tied, row.per_node


def linted(operator: str, value: str, **more: Any) -> list[str]:
    wanted = {"key": "zone", "operator": operator, **({"value": value} if value else {})}
    spec = {
        **more,
        "placement": {"constraints": [wanted]},
        "template": {"spec": {"containers": [{"name": "main", "image": "x"}]}},
    }
    body = {
        "apiVersion": "bayplan.dev/v1alpha1",
        "kind": "LongService",
        "metadata": {"name": "web"},
        "spec": spec,
    }
    return [one.message for one in structural.faults("LongService", body)]


def imported(*triple: str) -> dict[str, str] | None:
    notes: list[Note] = []
    return constraint(Taking("app", {}, notes), "constraints", list(triple))


def main() -> None:
    begins, together, pairs = service("BeginsWith", "east"), service("BeginsWith"), service("Pair")
    affinity = pod_of(begins)["spec"]["affinity"]["nodeAffinity"]
    beside = pod_of(together)["spec"]["affinity"]["podAffinity"]
    place = pod_of(pairs, places=[1])
    found = {
        "placed": {
            "begins": placed(begins),
            "together": sorted(placed(together).values()),
            "pairs": placed(pairs),
        },
        "refused": {"begins": refused(begins), "pairs": refused(pairs)},
        "compiled": {
            "begins": affinity[compiled_rules.HARD]["nodeSelectorTerms"],
            "together": [one["topologyKey"] for one in beside[compiled_rules.HARD]],
            "pairs": place["metadata"]["labels"][names.PLACE],
        },
        "caps": [cap.places for cap in placement_rules.caps(pairs)],
        "stripped": [stripped(begins), stripped(together)],
        "drifted": {
            "begins": drifted(begins, "a1", "b1", "a2", "c1"),
            "together": drifted(together, "a1", "a1", "b1"),
            "pairs": drifted(pairs, "a1", "a1", "a1", "b1"),
        },
        "movable": [
            len(drift.movable(placement_rules.constraints(one))) for one in (begins, together)
        ],
        "bought": {"begins": bought(begins), "pairs": bought(service("Pair", key="hostname"))},
        "problems": [
            [one.field, one.message]
            for made in (service("Pair", "2"), service("BeginsWith", "a b"))
            for one in made.problems
        ],
        "linted": [*linted("Pair", "2"), *linted("BeginsWith", "a b"), *linted("Begin", "")],
        "per node": [
            linted(operator, value, mode="PerNode")
            for operator, value in (("BeginsWith", "east"), ("BeginsWith", ""), ("Pair", ""))
        ],
        "imported": imported("@zone", "BEGINS", "east"),
        "documented": [reference.placement(), reference.fields("longservices", "LongService")],
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
