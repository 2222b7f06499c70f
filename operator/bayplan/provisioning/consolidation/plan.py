"""Turns the optimiser's answer into a plan: who leaves, which nodes are given back, what moves.

The answer is one of a moment ago: what has changed since is seen here. Nodes are given back in
groups, each of which stands for itself: it is worth what it costs, and all its pods have found room
by the real filters, together with those of the groups before it.
"""

from collections.abc import Iterable, Sequence

from bayplan.model.departures import Move, Vacating
from bayplan.optimizer.consolidation.holding import Consolidated
from bayplan.provisioning.consolidation.blocked import blocked
from bayplan.provisioning.consolidation.drafts import LEAST_SAVING, Draft, drafts
from bayplan.provisioning.consolidation.pods import SortedPods
from bayplan.provisioning.consolidation.proof import Proven, Prover
from bayplan.provisioning.consolidation.question import counts
from bayplan.provisioning.consolidation.ranks import ranks
from bayplan.provisioning.consolidation.scene import (
    HOUR,
    Asked,
    Group,
    Plan,
    Scene,
    with_margin,
)

_PART = 3, 1000  # of what the nodes cost must be saved at least
_FINE = 1_000_000


def plan(asked: Asked, answer: Consolidated, scene: Scene) -> Plan:
    """The plan of an answer in the scene of now; `asked` may be some seconds old."""
    nodes = tuple(node for node in scene.nodes if counts(node, scene))
    pods = SortedPods.of(scene, nodes)
    departures = _departures(asked, answer, pods)
    made = drafts(asked, answer, scene, pods, departures)
    worth = sorted((one for one in made if one.worth(scene.terms.horizon_seconds)), key=_dearness)
    kept = zip(asked.nodes, answer.keep.tolist(), strict=True)
    given_back = frozenset(node.name for node, stays in kept if not stays)
    prover = Prover(scene, given_back, asked.guests)
    proven = prover.proven(_within(worth, scene.most_moves))
    # What found no room may find it once those that are too many have left.
    unproven = frozenset() if pods.surplus else proven.unproven
    if not _enough(proven.drafts, scene, sum(scene.price(node) or 0 for node in nodes)):
        proven = prover.proven([one for one in proven.drafts if one.free])
    groups = tuple(_group(one, proven, scene) for one in proven.drafts)
    first = [each.node for group in groups for each in group.vacatings]
    return Plan(
        departures=departures,
        ranks=ranks(asked, answer, scene.ranks, first),
        groups=groups,
        given_back=given_back,
        blocked=() if scene.leavers_only else blocked(pods, prover, proven),
        unproven=unproven,
    )


def _departures(asked: Asked, answer: Consolidated, pods: SortedPods) -> dict[str, dict[str, int]]:
    """By uid: node -> how many leave; none of a service that has fewer too many by now."""
    found: dict[str, dict[str, int]] = {}
    for k, row in enumerate(asked.rows):
        if row.owner:
            there = found.setdefault(row.owner, {})
            for at in answer.leave[:, k].nonzero()[0].tolist():
                name = asked.nodes[at].name
                there[name] = there.get(name, 0) + int(answer.leave[at, k])
    return {
        uid: there
        for uid, there in found.items()
        if there and sum(there.values()) <= pods.surplus[uid]
    }


def _enough(made: Iterable[Draft], scene: Scene, price: int) -> bool:
    """Whether drafts are worth it together, beside the moves that were made for the same pods.

    Each plan for the same pods mends the one before. If a mend had only to pay for itself, ever
    smaller ones would move ever more pods. `price` is that of all nodes, in microdollars an hour.
    """
    drafts_ = [one for one in made if not one.free]
    if sum(one.saving for one in drafts_) < max(LEAST_SAVING, price * _PART[0] // _PART[1]):
        return False
    horizon = scene.terms.horizon_seconds
    saved = sum(one.saving * max(horizon - one.empties_in, 0) for one in drafts_)
    return saved >= with_margin(sum(one.cost for one in drafts_) + scene.spent) * HOUR


def _dearness(draft: Draft) -> tuple[int, str]:
    """What it costs for each dollar an hour that it saves."""
    return draft.cost * _FINE // max(draft.saving, 1), min(node.name for node in draft.nodes)


def _within(wanted: Iterable[Draft], most_moves: int | None) -> Sequence[Draft]:
    """Drafts with at most so many moves; what has more than are left is passed over."""
    found, left = [], most_moves
    for one in wanted:
        if left is None or len(one.moves) <= left:
            found.append(one)
            left = None if left is None else left - len(one.moves)
    return found


def _group(draft: Draft, proven: Proven, scene: Scene) -> Group:
    return Group(
        vacatings=tuple(
            Vacating(
                node=node.name,
                uid=node.uid,
                price=scene.price(node) or 0,
                moves=tuple(
                    Move(
                        pod=pod.key,
                        uid=pod.uid,
                        owner=pod.owner.uid if pod.owner is not None else "",
                        kind=scene.kinds(pod),
                        target=proven.targets[pod.key],
                    )
                    for pod in draft.moves
                    if pod.node == node.name
                ),
            )
            for node in draft.nodes
        ),
        orders=draft.orders,
        saving=draft.saving,
        cost=draft.cost,
        empties_in=draft.empties_in,
    )
