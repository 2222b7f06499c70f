"""Auto Scaling groups through which Bayplan must not buy, each with the reason and the remedy.

A Pool needs to know what the next instance will be, and that nobody else takes instances away:
AZRebalance, scale-in and the Cluster Autoscaler terminate nodes with running pods.
"""

from collections.abc import Callable, Iterable, Mapping

from bayplan.api.names import POOL
from bayplan.model.groups import Group, PoolGroups, UnfitGroup
from bayplan.model.node_claims import Offering
from bayplan.model.nodes import Node
from bayplan.reconcile.pool.quiet import Problem

REBALANCE = "AZRebalance"
AUTOSCALER = "k8s.io/cluster-autoscaler/enabled"


def judged(groups: Iterable[Group], nodes: Mapping[str, Node], pool: str) -> PoolGroups:
    """The groups of a Pool, the fit ones and the others; `nodes` are by provider id.

    Of two groups with the same type, zone and capacity type the first by name is fit.
    """
    found: list[UnfitGroup] = []
    fit: list[Group] = []
    offerings: dict[Offering, Group] = {}
    types: dict[str, Group] = {}  # the first of each
    for group in sorted(groups, key=lambda one: one.name):
        fault = (
            _fault(group) or _mislabelled(group, nodes, pool) or _beside(group, offerings, types)
        )
        if fault is None:
            fit.append(group)
            offerings[group.offering] = group
            types.setdefault(group.types[0], group)
        else:
            found.append(UnfitGroup(group.name, fault.reason, fault.message))
    return PoolGroups(tuple(fit), tuple(found))


def _fault(group: Group) -> Problem | None:
    return next((fault for check in _CHECKS if (fault := check(group)) is not None), None)


def _untemplated(group: Group) -> Problem | None:
    if group.template:
        return None
    return Problem("NoLaunchTemplate", "it has no launch template; give it one.")


def _leaving(group: Group) -> Problem | None:
    return Problem("Deleting", "it is being deleted.") if group.deleting else None


def _sized(group: Group) -> Problem | None:
    if group.by_attributes:
        return Problem(
            "SeveralSizes",
            (
                "its instance types are chosen by requirements; name one type, or several of the "
                "same size."
            ),
        )
    if not group.types:
        return Problem("NoInstanceType", "its launch template names no instance type; name one.")
    if group.unknown:
        return Problem(
            "UnknownType",
            f"nothing is known of the instance type {group.unknown[0]}; use another type.",
        )
    if len(group.sizes) > 1:
        return Problem(
            "SeveralSizes",
            (
                f"its instance types ({', '.join(group.types[:5])}) differ in CPUs or memory; use "
                "one type, or types of the same size."
            ),
        )
    if group.weighted:
        return Problem(
            "Weighted", "its instance types have weights; remove them, so that it counts nodes."
        )
    return None


def _markets(group: Group) -> Problem | None:
    if group.spot is not None:
        return None
    return Problem("SeveralMarkets", "it launches spot and on demand; make a group for each.")


def _zoned(group: Group) -> Problem | None:
    if len(group.zones) == 1:
        return None
    return Problem(
        "SeveralZones",
        f"it has {len(group.zones)} zones; make a group for each zone, so that Bayplan can choose.",
    )


def _rebalanced(group: Group) -> Problem | None:
    if REBALANCE in group.suspended:
        return None
    return Problem(
        "Rebalances",
        f"its process {REBALANCE} is not suspended, and may end instances with pods; suspend it.",
    )


def _unprotected(group: Group) -> Problem | None:
    if group.protects:
        return None
    return Problem(
        "Unprotected",
        "its new instances are not protected from scale-in; set NewInstancesProtectedFromScaleIn.",
    )


def _autoscaled(group: Group) -> Problem | None:
    if AUTOSCALER not in group.tags:
        return None
    return Problem(
        "AutoscalerToo",
        f"its tag {AUTOSCALER} lets the Cluster Autoscaler change it; remove that tag.",
    )


_CHECKS: tuple[Callable[[Group], Problem | None], ...] = (
    _leaving,
    _untemplated,
    _sized,
    _markets,
    _zoned,
    _rebalanced,
    _unprotected,
    _autoscaled,
)


def _mislabelled(group: Group, nodes: Mapping[str, Node], pool: str) -> Problem | None:
    """A node of the group shows that its user data does not say of which Pool it is."""
    for instance in group.instances:
        node = nodes.get(instance.provider_id)
        if node is None or instance.going:
            continue
        if node.labels.get(POOL) != pool:
            return Problem(
                "LabelMissing",
                (
                    f"its node {node.name} lacks the label {POOL}={pool}; let its user data set "
                    "that label, and replace the node."
                ),
            )
        if not any(taint.key == POOL and taint.value == pool for taint in node.taints):
            return Problem(
                "TaintMissing",
                (
                    f"its node {node.name} lacks the taint {POOL}={pool}:NoSchedule; let its user "
                    "data set that taint, and replace the node."
                ),
            )
    return None


def _beside(
    group: Group, offerings: Mapping[Offering, Group], types: Mapping[str, Group]
) -> Problem | None:
    """What a group is beside groups that are fit, by what they sell and by type."""
    same, alike = offerings.get(group.offering), types.get(group.types[0])
    if same is not None:
        return Problem(
            "Doubled",
            f"group {same.name} has the same type, zone and capacity type; raise the size of that "
            "group, and delete this one.",
        )
    if alike is not None and (group.labels, group.taints) != (alike.labels, alike.taints):
        return Problem(
            "LabelsDiffer",
            f"group {alike.name} has the same type, and its tags name other labels or taints; make "
            "them alike, or make another Pool.",
        )
    return None
