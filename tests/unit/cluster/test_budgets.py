"""What PodDisruptionBudgets allow, as their selectors and statuses tell."""

from typing import Any

import pytest

from bayplan.cluster import cache, decode, wire
from bayplan.model import state
from bayplan.model.budgets import Allowance
from bayplan.model.pods import Pod
from tests.builders import make_pod
from tests.double.bell import Bell
from tests.double.bodies import encoded

KIND = "PodDisruptionBudget"
OWNER = {"kind": "LongService", "name": "web", "uid": "web", "controller": True}


def budget(
    selector: Any, allowed: int = 1, name: str = "b", version: int = 10, **metadata: Any
) -> dict[str, Any]:
    return {
        "kind": KIND,
        "metadata": {
            "name": name, "namespace": "default", "uid": f"uid-{name}", "generation": 2,
            "resourceVersion": str(version), **metadata,
        },
        "spec": {"selector": selector, "maxUnavailable": 1},
        "status": {"disruptionsAllowed": allowed, "observedGeneration": 2},
    }  # fmt: skip


def known(*bodies: dict[str, Any]) -> cache.Cache:
    found = cache.Cache(state.State(), Bell())
    for body in bodies:
        found.upsert(KIND, decode.KINDS[KIND].decode(wire.Raw(encoded(body))))
    return found


def asked(*bodies: dict[str, Any], **more: Any) -> Allowance | None:
    pod: Pod = make_pod("p", "n1", labels={"app": "web", "tier": "front"}, **more)
    return known(*bodies).budgets.allowed(pod)


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "web", "tier": "back"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["x", "web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}, True),
        ({}, True),
        (None, False),
    ],
)
def test_selectors(selector: Any, matches: bool) -> None:
    """By Kubernetes' rules; an empty selector is for every pod of the namespace."""
    assert (Allowance(1, "default/b") if matches else None) == asked(budget(selector))


def test_another_namespace() -> None:
    """A budget is for pods of its own namespace."""
    assert asked(budget({}), namespace="other") is None


def test_a_status_that_is_late_allows_nothing() -> None:
    """As the Eviction API has it."""
    late = budget({"matchLabels": {"app": "web"}}, 3)
    late["status"]["observedGeneration"] = 1
    new = budget({}, 3)
    del new["status"]

    assert Allowance(0, "default/b") == asked(late) == asked(new)


def test_two_budgets_allow_nothing() -> None:
    """The Eviction API refuses such pods for ever: both are named."""
    two = (budget({}, 3), budget({"matchLabels": {"app": "web"}}, 3, "a"))

    assert Allowance(0, "default/a, default/b") == asked(*two)


def test_the_own_budget_of_a_service() -> None:
    """It does not count for the instances of its service, which are replaced first."""
    own = budget({"matchLabels": {"app": "web"}}, 0, ownerReferences=[OWNER])

    assert asked(own, owner_uid="web") is None
    assert Allowance(0, "default/b") == asked(own, owner_uid="other", owner_kind="ReplicaSet")


def test_it_changes_and_goes() -> None:
    """A new selector, a new status, the end."""
    pod = make_pod("p", "n1", labels={"app": "web"})
    found = known(
        budget({"matchLabels": {"app": "other"}}),
        budget({"matchLabels": {"app": "web"}}, 2, version=11),
    )
    assert Allowance(2, "default/b") == found.budgets.allowed(pod)
    found.delete(KIND, ("default", "b"), "uid-b", 12)

    assert found.budgets.allowed(pod) is None
    assert {} == found.budgets._by_label  # noqa: SLF001  nothing is left behind


def test_it_is_still_a_child() -> None:
    """What our services own is known as before, with the budget or without."""
    own = budget({}, ownerReferences=[OWNER], annotations={"bayplan.dev/digest": "d"})
    children = known(own).children("web")

    assert ["d"] == [one.digest for one in children.values()]
