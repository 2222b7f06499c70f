"""Pool as read: defaults, strictness, amounts; and what a Pool means for the pods of a workload."""

from typing import Any

import pytest

from bayplan.api import names, pod_builder
from bayplan.api.pool import PoolSpec
from bayplan.api.pool_resource import PoolResource, parse_pool
from bayplan.api.pool_status import PoolStatus
from bayplan.api.resource import Resource, parse_resource
from tests.cluster.test_crds_on_server import ACCEPTED, REFUSED_POOLS


def pool(**spec: Any) -> PoolResource:
    metadata = {"name": "batch", "uid": "u1", "generation": 3, "resourceVersion": "17"}
    return parse_pool({"kind": "Pool", "metadata": metadata, "spec": spec})


def test_defaults() -> None:
    """A Pool that says nothing advises about all nodes and has no limits."""
    spec = pool().spec

    assert spec is not None
    assert (None, "Advise", False, 10) == (spec.node_pool_ref, spec.mode, spec.default, spec.weight)
    assert {"nodes": None, "cpu": None, "memory": None, "dollars_per_hour": None} == (
        spec.limits.model_dump()
    )
    assert {
        "alternatives": 5,
        "maximum_premium_percent": 15,
        "launch_seconds": 30,
        "headroom": {"cpu": "0", "memory": "0"},
        "fallback": {"to": "Karpenter", "after_seconds": 120},
    } == spec.buying.model_dump()
    assert 60 == spec.retirement.empty_seconds
    assert {
        "horizon_seconds": 3600,
        "move_microdollars": 2000,
        "minimum_node_age_seconds": 600,
        "minimum_stay_seconds": 1800,
        "maximum_draining": "10%",
        "maximum_moves_per_hour": 600,
        "batch_wait_seconds": 1800,
        "windows": (),
        "deletion_cost": False,
    } == spec.consolidation.model_dump()


def test_what_is_stored_is_read() -> None:
    """Metadata, the spec in camelCase, and the status as it is."""
    body = {
        "metadata": {"name": "batch", "uid": "u1", "generation": 3, "resourceVersion": "17"},
        "spec": {"nodePoolRef": {"name": "np"}, "mode": "Buy", "retirement": {"emptySeconds": 5}},
        "status": {"nodes": 4},
    }
    read = parse_pool(body)

    assert ("batch", "u1", 3, "17") == (read.name, read.uid, read.generation, read.resource_version)
    assert {"nodes": 4} == read.status
    assert read.spec is not None
    assert read.spec.node_pool_ref is not None
    assert ("np", "Buy", 5) == (
        read.spec.node_pool_ref.name,
        read.spec.mode,
        read.spec.retirement.empty_seconds,
    )


@pytest.mark.parametrize(
    ("dollars", "micro"),
    [(None, None), (300, 300_000_000), ("2.50", 2_500_000), ("0.000001", 1), (0, 0)],
)
def test_dollars_are_exact(dollars: object, micro: int | None) -> None:
    """A whole number or decimal text, as microdollars."""
    spec = pool(limits={"dollarsPerHour": dollars}).spec

    assert spec is not None
    assert micro == spec.limits.microdollars_per_hour


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        ({"mode": "Sell"}, "spec.mode", "'Advise', 'Buy' or 'BuyAndConsolidate'"),
        ({"weight": "10"}, "spec.weight", "valid integer"),
        ({"limits": {"dollarsPerHour": 2.5}}, "spec.limits.dollarsPerHour", "valid string"),
        ({"limits": {"cpu": "many"}}, "spec.limits.cpu", "is not a quantity; write digits"),
        ({"limits": {"cpu": "-1"}}, "spec.limits.cpu", "must not be negative"),
        ({"limits": {"memory": "1500m"}}, "spec.limits.memory", "part of a byte"),
        ({"limits": {"memory": "99999999Ei"}}, "spec.limits.memory", "is too large"),
        ({"buying": {"headroom": {"cpu": "x"}}}, "spec.buying.headroom.cpu", "not a quantity"),
        ({"buying": {"launchSeconds": 9}}, "spec.buying.launchSeconds", "greater than or equal"),
    ],
)
def test_what_cannot_be_read_has_its_field(spec: dict[str, Any], field: str, words: str) -> None:
    """The Pool stays known by its name; it has no spec that anybody could act on."""
    read = pool(**spec)

    assert ("batch", None) == (read.name, read.spec)
    assert [field] == [one.field for one in read.problems]
    assert words in read.problems[0].message


@pytest.mark.parametrize(
    ("mode", "buys", "consolidates"),
    [("Advise", False, False), ("Buy", True, False), ("BuyAndConsolidate", True, True)],
)
def test_a_mode_includes_the_modes_before_it(mode: str, buys: bool, consolidates: bool) -> None:
    """Whoever consolidates also buys."""
    spec = pool(mode=mode, nodePoolRef={"name": "np"}).spec

    assert spec is not None
    assert (buys, consolidates) == (spec.buys, spec.consolidates)


@pytest.mark.parametrize(
    ("stated", "nodes", "most"),
    [
        ("10%", 109, 11),
        ("10%", 110, 11),
        ("5%", 10, 1),
        ("0%", 50, 0),
        ("100%", 50, 50),
        (3, 50, 3),
        (0, 50, 0),
    ],
)
def test_how_many_nodes_drain_at_once(stated: object, nodes: int, most: int) -> None:
    """A percentage is rounded up, as in the budgets of a NodePool."""
    spec = pool(consolidation={"maximumDraining": stated}).spec

    assert spec is not None
    assert most == spec.consolidation.draining_nodes(nodes)


CONSOLIDATION = [
    *((value, True) for kind, path, value in ACCEPTED if (kind, path) == ("Pool", "consolidation")),
    *((value, False) for path, value, part in REFUSED_POOLS
      if path == "consolidation" and "unknown field" not in part),
]  # fmt: skip


@pytest.mark.parametrize(("value", "good"), CONSOLIDATION)
def test_the_operator_judges_consolidation_as_the_api_server_does(
    value: dict[str, Any], good: bool
) -> None:
    """What the schema refuses is a problem of this field too, for a definition that is older."""
    read = pool(consolidation=value)

    assert good == (read.spec is not None)
    assert all(one.field.startswith("spec.consolidation.") for one in read.problems)


NIGHT = {"schedule": "0 22 * * *", "durationSeconds": 60}


@pytest.mark.parametrize(
    ("reason", "window", "field", "words"),
    [
        ("InvalidTimeZone", {"timeZone": "Europe/Nowhere"}, "timeZone", "Europe/Nowhere"),
        ("InvalidSchedule", {"schedule": "0 22 31 2 *"}, "schedule", "never due"),
        ("InvalidSchedule", {"schedule": "0 24 * * *"}, "schedule", "hour field '24'"),
    ],
)
def test_a_window_that_cannot_open_is_a_problem(
    reason: str, window: dict[str, Any], field: str, words: str
) -> None:
    """Its form is right, so that only the operator can tell."""
    [problem] = pool(consolidation={"windows": [NIGHT, {**NIGHT, **window}]}).problems

    assert (reason, f"spec.consolidation.windows[1].{field}") == (problem.reason, problem.field)
    assert words in problem.message


def test_how_many_nodes_drain_has_a_remedy() -> None:
    """Whoever reads the condition knows what to write."""
    [problem] = pool(consolidation={"maximumDraining": "many"}).problems

    assert "write 3 or 10%" in problem.message


def test_an_empty_object_is_read() -> None:
    """Nothing in a stored body is relied on."""
    assert PoolResource(name="", generation=0, spec=PoolSpec()) == parse_pool({})


def test_a_status_is_written_in_camel_case() -> None:
    """What is not known is left out."""
    status = PoolStatus.model_validate(
        {
            "nodes": 2,
            "dollars_per_hour": "1.50",
            "claims": {"requested": 1, "refused": 0},
            "unavailable": [
                {"type": "m7i.large", "zone": "a", "capacityType": "spot", "until": 60,
                 "refusals": 2}
            ],
            "next": ["buy 1×m7i.large in a for 3 tasks"],
        }
    )  # fmt: skip

    assert {
        "nodes": 2,
        "dollarsPerHour": "1.50",
        "claims": {"requested": 1, "refused": 0},
        "unavailable": [
            {"type": "m7i.large", "zone": "a", "capacityType": "spot",
             "until": "1970-01-01T00:01:00Z", "refusals": 2}
        ],
        "next": ["buy 1×m7i.large in a for 3 tasks"],
    } == status.wire()  # fmt: skip


TOLERATION = {
    "key": names.POOL, "operator": "Equal", "value": "batch", "effect": "NoSchedule"
}  # fmt: skip


def workload(kind: str = "BatchJob", pool: str | None = None, **pod: Any) -> Resource:
    placement = {} if pool is None else {"placement": {"pool": pool}}
    template = {"spec": {"containers": [{"name": "main", "image": "x"}], **pod}}
    metadata = {"namespace": "ns", "name": "r", "uid": "u1", "generation": 1}
    return parse_resource(
        {"kind": kind, "metadata": metadata, "spec": {**placement, "template": template}}
    )


def built(made: Resource, **more: Any) -> dict[str, Any]:
    pod = pod_builder.blueprint(made, **more).pod("r-1", labels={}, annotations={}, environment={})
    return dict(pod["spec"])


@pytest.mark.parametrize("kind", ["BatchJob", "LongService"])
def test_a_pool_is_a_node_selector_and_a_toleration(kind: str) -> None:
    """Beside what the template says itself, which is not changed."""
    other = {"key": "gpu", "operator": "Exists"}
    made = workload(kind, "batch", nodeSelector={"a": "b"}, tolerations=[other])
    before = made.spec.template if made.spec is not None else {}
    spec = built(made)

    assert {"a": "b", names.POOL: "batch"} == spec["nodeSelector"]
    assert [other, TOLERATION] == spec["tolerations"]
    assert {"a": "b"} == before["spec"]["nodeSelector"]
    assert [other] == before["spec"]["tolerations"]


def test_what_the_template_says_already_is_not_said_twice() -> None:
    """The same selector and toleration in the template are taken as they are."""
    made = workload("BatchJob", "batch", nodeSelector={names.POOL: "batch"},
                    tolerations=[TOLERATION])  # fmt: skip

    assert () == made.problems
    assert [TOLERATION] == built(made)["tolerations"]


@pytest.mark.parametrize("value", ["other", "", 5])
def test_two_pools_are_a_clear_problem(value: object) -> None:
    """The template asks for one Pool and `placement.pool` for another: no node has both."""
    made = workload("LongService", "batch", nodeSelector={names.POOL: value})
    [problem] = made.problems

    assert ("InvalidSpec", "spec.placement.pool") == (problem.reason, problem.field)
    assert "no node is in two Pools; remove one of them" in problem.message


def test_a_default_pool_is_only_tolerated() -> None:
    """By who names no Pool; whoever names one is told nothing of the default."""
    free, asked = workload(), workload(pool="mine")

    assert "nodeSelector" not in built(free, default_pool="batch")
    assert [TOLERATION] == built(free, default_pool="batch")["tolerations"]
    assert "tolerations" not in built(free)
    assert built(asked) == built(asked, default_pool="batch")


def test_a_default_pool_restarts_nothing() -> None:
    """Neither `placement.pool` nor a default Pool is in the name of the template."""
    plain, asked = workload("LongService"), workload("LongService", "batch")
    kept = pod_builder.blueprint(plain)
    tolerant = pod_builder.blueprint(plain, default_pool="batch")

    assert plain.template_hash == asked.template_hash
    assert (kept.labels, kept.peers) == (tolerant.labels, tolerant.peers)
