"""`placement` as rules for the packer and as fields of pods: both say the same."""

from collections.abc import Collection
from typing import Any

import pytest

from bayplan.api import compiled_rules, names, placement_rules, pod_builder
from bayplan.api.resource import Resource, parse_resource
from bayplan.api.validation import problems
from bayplan.cluster import pods
from bayplan.model import requirements
from bayplan.model.nodes import HOSTNAME, INSTANCE_TYPE, REGION, ZONE
from bayplan.model.pods import Constraints
from bayplan.model.workloads import EXCLUSIVE, FREELY, Strategy

HARD = "requiredDuringSchedulingIgnoredDuringExecution"
VALUES = {ZONE: ["a", "b", "c"], INSTANCE_TYPE: ["m5.large", "m4.large"]}
PEERS = {names.SERVICE: "web", names.TEMPLATE_HASH: "h"}


def known(label: str) -> Collection[str]:
    return VALUES.get(label, ())


def constrained(*wanted: tuple[str, str, str | None], **more: Any) -> Resource:
    """A stored LongService of 3 with these constraints; `pod` adds to its template."""
    constraints = [
        {"key": key, "operator": operator, **({"value": value} if value else {})}
        for key, operator, value in wanted
    ]
    pod = {"containers": [{"name": "main", "image": "x"}], **more.pop("pod", {})}
    metadata = {"namespace": "ns", "name": more.pop("name", "web"), "uid": "u1", "generation": 1}
    spec = {
        "replicas": 3,
        "placement": {"constraints": constraints, **more},
        "template": {"spec": pod},
    }
    return parse_resource({"kind": "LongService", "metadata": metadata, "spec": spec})


def compiled(made: Resource, **more: Any) -> dict[str, Any]:
    task = {"labels": PEERS, "annotations": {}, "environment": {}, **more}
    return pod_builder.blueprint(made, revision="h", values=known).pod("web-1", **task)


def decoded(made: Resource) -> Constraints:
    return pods.pod_from_dict(compiled(made)).constraints


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (("zone", "Like", "[ab]"), {"operator": "In", "values": ["a", "b"]}),
        (("zone", "Like", "z"), {"operator": "Exists"}),
        (("zone", "Unlike", "[ab]"), {"operator": "NotIn", "values": ["a", "b"]}),
        (("zone", "Is", "a"), {"operator": "In", "values": ["a"]}),
        (("zone", "Cluster", "z"), {"operator": "In", "values": ["z"]}),
    ],
)
def test_labels_of_nodes_become_node_affinity(
    wanted: tuple[str, str, str], expected: dict[str, Any]
) -> None:
    """In and NotIn over what is known; a pattern that nothing known matches asks for the label."""
    affinity = compiled(constrained(wanted))["spec"]["affinity"]["nodeAffinity"][HARD]
    expression = {"key": ZONE, **expected}

    assert [{"matchExpressions": [expression]}] == affinity["nodeSelectorTerms"]


def test_unlike_what_nobody_is_shuts_nothing_out() -> None:
    """NotIn needs values; without any there is nothing to say."""
    assert "affinity" not in compiled(constrained(("zone", "Unlike", "z")))["spec"]


def test_every_alternative_of_the_template_is_narrowed() -> None:
    """The template's node terms are alternatives: ours holds in each."""
    terms = [
        {"matchExpressions": [{"key": "pool", "operator": "In", "values": [pool]}]} for pool in "xy"
    ]
    pod = {"affinity": {"nodeAffinity": {HARD: {"nodeSelectorTerms": terms}}}}
    made = constrained(("zone", "Is", "a"), pod=pod)
    found = compiled(made)["spec"]["affinity"]["nodeAffinity"][HARD]["nodeSelectorTerms"]

    assert [["pool", ZONE]] * 2 == [
        [one["key"] for one in term["matchExpressions"]] for term in found
    ]


def test_between_pods() -> None:
    """Unique keeps peers apart, Cluster together, GroupBy even; peers are of the same template."""
    made = constrained(
        ("hostname", "Unique", None), ("region", "Cluster", None), ("zone", "GroupBy", "3")
    )
    spec = compiled(made)["spec"]
    selector = {"labelSelector": {"matchLabels": PEERS}}

    assert [{**selector, "topologyKey": HOSTNAME}] == (spec["affinity"]["podAntiAffinity"][HARD])
    assert [{**selector, "topologyKey": REGION}] == spec["affinity"]["podAffinity"][HARD]
    assert [
        {
            **selector,
            "maxSkew": 1,
            "minDomains": 3,
            "topologyKey": ZONE,
            "whenUnsatisfiable": "DoNotSchedule",
        }
    ] == spec["topologySpreadConstraints"]


def test_the_templates_own_spread_stands() -> None:
    """The API server takes one hard spread a label: the template's."""
    own = {"maxSkew": 2, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule"}
    made = constrained(("zone", "GroupBy", None), pod={"topologySpreadConstraints": [own]})

    assert [own] == compiled(made)["spec"]["topologySpreadConstraints"]


def test_a_place_is_chosen_for_each_max_per() -> None:
    """The pod bears its place and avoids peers that have the same one."""
    made = constrained(("hostname", "MaxPer", "2"), ("zone", "MaxPer", "5"))
    pod = compiled(made, places=[1, 4])
    first, second = pod["spec"]["affinity"]["podAntiAffinity"][HARD]

    assert ("1", "4") == tuple(
        pod["metadata"]["labels"][label] for label in (names.PLACE, f"{names.PLACE}-1")
    )
    assert {**PEERS, names.PLACE: "1"} == first["labelSelector"]["matchLabels"]
    assert {**PEERS, f"{names.PLACE}-1": "4"} == second["labelSelector"]["matchLabels"]
    assert [HOSTNAME, ZONE] == [first["topologyKey"], second["topologyKey"]]
    assert "affinity" not in compiled(made)["spec"]


def test_exclusive_is_on_the_pod() -> None:
    """The label for the packer, and anti-affinity to other workloads for everybody else."""
    pod = compiled(constrained(strategy="Exclusive"))
    terms = pod["spec"]["affinity"]["podAntiAffinity"][HARD]

    assert "true" == pod["metadata"]["labels"][EXCLUSIVE]
    assert {HOSTNAME} == {term["topologyKey"] for term in terms}
    assert 2 == len(terms)


def test_rules_count_what_is_compiled() -> None:
    """The packer's rules select by the labels that pods bear."""
    found = placement_rules.rules(constrained(("hostname", "Unique", None), strategy="Spread"), "h")

    assert found.peers.matches(PEERS)
    assert not found.peers.matches({**PEERS, names.TEMPLATE_HASH: "older"})
    assert found.mates.matches({names.SERVICE: "web", names.TEMPLATE_HASH: "older"})
    assert (Strategy.SPREAD, 3) == (found.strategy, found.instances)
    assert FREELY == placement_rules.rules(constrained(), "h")


@pytest.mark.parametrize(
    "pod",
    [
        {},
        {
            "affinity": {
                "nodeAffinity": {
                    HARD: {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["a"]}]}
                        ]
                    }
                },
                "podAntiAffinity": {
                    HARD: [
                        {
                            "labelSelector": {"matchLabels": {"app": "x"}},
                            "topologyKey": HOSTNAME,
                        }
                    ]
                },
            }
        },
    ],
)
def test_what_was_compiled_is_taken_off_again(pod: dict[str, Any]) -> None:
    """Stripped, a pod's constraints are those of its template alone."""
    every = [
        ("zone", "Like", "[ab]"),
        ("instance-type", "Unlike", "m4.*"),
        ("region", "Unlike", "none"),
        ("zone", "Is", "a"),
        ("hostname", "Unique", None),
        ("zone", "Cluster", None),
        ("rack", "GroupBy", None),
    ]
    plain, made = constrained(pod=pod), constrained(*every, pod=pod)

    assert decoded(plain) == compiled_rules.stripped(
        decoded(made), placement_rules.rules(made, "h")
    )
    assert decoded(plain) != decoded(made)


def test_a_pod_of_former_rules_keeps_what_it_says() -> None:
    """Node terms that end otherwise than today's rules stay: others read them too."""
    before, after = constrained(("zone", "Is", "a")), constrained(("zone", "Is", "b"))

    assert decoded(before) == compiled_rules.stripped(
        decoded(before), placement_rules.rules(after, "h")
    )


def test_the_hash_is_the_templates_alone() -> None:
    """Placing otherwise restarts nothing."""
    assert constrained().template_hash == constrained(("zone", "Is", "a")).template_hash


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (("zone", "Like", "("), "no regular expression"),
        (("zone", "Unlike", "(?=a)"), "no regular expression"),
        (("zone", "Like", None), "must be a regular expression"),
        (("zone", "MaxPer", "many"), "whole number"),
        (("zone", "GroupBy", "0"), "whole number"),
    ],
)
def test_values_that_cannot_be_read(wanted: tuple[str, str, str | None], expected: str) -> None:
    """A value that no node could ever pass is the spec's problem, with its field."""
    made = constrained(wanted)
    assert made.spec is not None
    (found,) = problems(made.kind, made.spec)

    assert ("InvalidSpec", "spec.placement.constraints[0].value") == (found.reason, found.field)
    assert expected in found.message


def test_a_long_name_is_counted_by_the_label_that_its_pods_have() -> None:
    """What is compiled selects the very label that reconcile writes, also when the name is cut."""
    name = "x" * 62 + ".y-and-more"
    [term] = placement_rules.rules(
        constrained(("hostname", "Unique", None), name=name), "h"
    ).peers.labels[:1]

    assert (names.SERVICE, requirements.requirement("In", [names.owner_value(name)])) == term
    assert len(names.owner_value(name)) <= 63
