"""What the nodes in use cost, and what no nodes of the present kinds could cost less than."""

from typing import Any

from bayplan.model.snapshot import Snapshot
from bayplan.optimizer.problem import Budget
from bayplan.optimizer.purchase import purchase
from bayplan.provisioning import appraisal
from bayplan.provisioning.prices import price_of

_MICRO = 1_000_000


def live_cost(snapshot: Snapshot, seconds: float) -> dict[str, Any]:
    """As the gauges of the operator tell it. The optimiser works for so many seconds.

    `costMicrodollarsPerHour` is None if the price of a node in use is not known; `nodesInUse`
    counts the nodes with pods other than DaemonSets'.
    """
    demand = appraisal.movable(snapshot, snapshot.nodes)
    in_use = [
        node
        for node in snapshot.nodes
        if any(not pod.resident for pod in snapshot.pods_on(node.name))
    ]
    unknown = sorted(node.name for node in in_use if price_of(node) is None)
    found: dict[str, Any] = {
        "nodesInUse": len(in_use),
        "costMicrodollarsPerHour": None if unknown else sum(price_of(node) or 0 for node in in_use),
        "boundMicrodollarsPerHour": None,
        "gapPercent": None,
        "nodesOfUnknownPrice": unknown,
    }
    asked = appraisal.appraisal(snapshot, demand, price_of)
    if asked is None:
        return found
    bound = purchase(asked.question, Budget.of_work(seconds)).bound
    if bound <= 0:
        return found
    gap = round(100 * (asked.cost - bound) / bound, 2)
    return {**found, "boundMicrodollarsPerHour": bound, "gapPercent": gap}


def sentence(told: dict[str, Any]) -> str:
    """The cost in words; empty if no node is in use."""
    count, unknown = told["nodesInUse"], told["nodesOfUnknownPrice"]
    if not count:
        return ""
    nodes = "node in use costs" if count == 1 else f"{count} nodes in use cost"
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        return (
            f"What the {nodes} is not known: {unknown[0]}{more} of an unknown "
            "type has no label eks-node-viewer/instance-price"
        )
    cost = f"The {nodes} ${told['costMicrodollarsPerHour'] / _MICRO:,.3f} an hour"
    bound = told["boundMicrodollarsPerHour"]
    if bound is None:
        return cost
    return (
        f"{cost}; no nodes of these kinds hold their pods for less than ${bound / _MICRO:,.3f} "
        f"(gap {told['gapPercent']:.1f} %)"
    )
