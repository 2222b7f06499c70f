"""Why a Pool does not buy: the first thing that hinders it, with the remedy."""

from collections.abc import Callable, Mapping
from typing import Any

from bayplan.model.node_pools import node_class_of
from bayplan.model.untyped import mapping, sequence
from bayplan.reconcile.pool import quiet
from bayplan.reconcile.pool.facts import Facts
from bayplan.reconcile.pool.quiet import Problem

_MOST_GROUPS = 5  # in one sentence


def hindrance(facts: Facts) -> Problem | None:
    """What keeps the Pool from buying, or from telling what it would buy; None if nothing does.

    With mode Advise it hinders nothing that others may disrupt the nodes.
    """
    for check in _CHECKS:
        found = check(facts)
        if found is not None:
            return found
    return unquiet(facts) if facts.buys else None


def unquiet(facts: Facts) -> Problem | None:
    """Why Karpenter may touch the nodes of the Pool's NodePool."""
    node_pool = facts.hands.node_pool
    return None if node_pool is None else quiet.problem(node_pool, facts.pool.name)


def _invalid(facts: Facts) -> Problem | None:
    if not facts.pool.problems:
        return None
    first, more = facts.pool.problems[0], len(facts.pool.problems) - 1
    others = f" ({more} more fields are wrong.)" if more else ""
    return Problem("InvalidSpec", f"{first.field}: {first.message}.{others}")


def _without_karpenter(facts: Facts) -> Problem | None:
    if not facts.referred or facts.hands.served:
        return None
    return Problem(
        "KarpenterMissing",
        f"NodePool {facts.referred} cannot be looked up: the cluster does not serve "
        "karpenter.sh/v1. Install Karpenter 1.1 or later, or remove spec.nodePoolRef to be advised "
        "on the nodes that exist.",
    )


def _unlisted(facts: Facts) -> Problem | None:
    if not facts.referred or facts.hands.synced:
        return None
    return Problem(
        "Listing",
        "The objects of Karpenter have not been listed yet. If this stays, let the operator list "
        "nodepools and nodeclaims (chart value pool.enabled).",
    )


def _absent(facts: Facts) -> Problem | None:
    if not facts.referred or facts.hands.node_pool is not None:
        return None
    flying = facts.counts.requested + facts.counts.launched + facts.counts.registered
    lost = f" {_nodes(flying)} on the way to it will not stay." if flying else ""
    return Problem(
        "NodePoolMissing",
        f"NodePool {facts.referred} does not exist.{lost} Create it, or correct "
        "spec.nodePoolRef.name.",
    )


def _unread(facts: Facts) -> Problem | None:
    return Problem("NodePoolInvalid", facts.hands.unread) if facts.hands.unread else None


def _leaving(facts: Facts) -> Problem | None:
    metadata = mapping(mapping(facts.hands.node_pool).get("metadata"))
    if metadata.get("deletionTimestamp") is None:
        return None
    return Problem(
        "NodePoolDeleting",
        f"NodePool {facts.referred} is being deleted, and its nodes go with it. Nothing more is "
        "bought through it. Name another in spec.nodePoolRef.name, or delete the Pool.",
    )


def _unclassed(facts: Facts) -> Problem | None:
    hands = facts.hands
    if hands.node_pool is None or not hands.followed:
        return None
    _, kind, name = node_class_of(hands.node_pool)
    called = f"{kind} {name}"
    if hands.node_class is None:
        return Problem(
            "NodeClassMissing",
            f"{called}, which NodePool {facts.referred} names, does not exist: Karpenter deletes "
            "every claim. Create it, or correct spec.template.spec.nodeClassRef.",
        )
    told = _not_ready(hands.node_class)
    if told is None:
        return None
    return Problem(
        "NodeClassNotReady",
        f"{called}, which NodePool {facts.referred} names, is not Ready{told}: Karpenter deletes "
        "every claim. Mend it; its own status says what is wrong.",
    )


def _not_ready(node_class: Mapping[str, Any]) -> str | None:
    """What a node class says that is not ready; None if it is, or says nothing about it."""
    for one in map(mapping, sequence(mapping(node_class.get("status")).get("conditions"))):
        if one.get("type") == "Ready" and one.get("status") == "False":
            message = str(one.get("message") or "")[:300].rstrip(".")
            return f" ({message})" if message else ""
    return None


def _nodes(number: int) -> str:
    return "1 node" if number == 1 else f"{number} nodes"


def _undescribed(facts: Facts) -> Problem | None:
    hands = facts.hands
    if not facts.pool.groups_tag or hands.groups is not None:
        return None
    if not hands.groups_problem:
        return Problem("Listing", "AWS has not described the Auto Scaling groups yet.")
    return Problem(
        "GroupsUnknown",
        f"AWS does not describe the Auto Scaling groups: {hands.groups_problem}. Mend that; it is "
        "tried again every minute.",
    )


def _ungrouped(facts: Facts) -> Problem | None:
    groups, tag = facts.hands.groups, facts.pool.groups_tag
    if groups is None or groups.fit or groups.unfit:
        return None
    return Problem(
        "GroupsMissing",
        f"No Auto Scaling group has the tag {tag} with the value {facts.pool.name}. Tag the groups "
        "that the Pool may buy through, or correct spec.autoScalingGroups.tag.",
    )


def unfit_groups(facts: Facts) -> Problem | None:
    """The groups that nothing is bought through, each with its reason."""
    groups = facts.hands.groups
    if groups is None or not groups.unfit:
        return None
    named = " ".join(map(str, groups.unfit[:_MOST_GROUPS]))
    more = len(groups.unfit) - _MOST_GROUPS
    others = f" {more} more groups are unfit." if more > 0 else ""
    return Problem(groups.unfit[0].reason, f"{named}{others}")


def _no_fit_group(facts: Facts) -> Problem | None:
    groups, found = facts.hands.groups, unfit_groups(facts)
    if groups is None or groups.fit or found is None:
        return None
    return Problem("GroupsUnfit", f"No group of the Pool is fit. {found.message}")


_CHECKS: tuple[Callable[[Facts], Problem | None], ...] = (
    _invalid,
    _without_karpenter,
    _unlisted,
    _absent,
    _unread,
    _leaving,
    _unclassed,
    _undescribed,
    _ungrouped,
    _no_fit_group,
)
