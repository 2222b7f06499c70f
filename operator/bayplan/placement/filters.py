"""Which nodes refuse a class, and for which reason.

Every filter returns the nodes that refuse and a detail; `solve` takes the nodes that no filter
refuses, and the funnel charges each node to the first reason that holds, in the order of
`model.reasons`. What depends on nodes alone is computed once per `nodes_version`. Constraints that
also bind the pods of the class to each other become rules (`placement.rules`), which are kept while
the class is placed. Resources are not here: `fill.fit` counts them, `explain` words them.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from bayplan.model import requirements
from bayplan.model.pods import Constraints, PodTerm, Spread
from bayplan.model.reasons import Reason
from bayplan.model.workloads import PodClass, Waiting
from bayplan.placement import constraints, volumes
from bayplan.placement.node_table import NodeTable, Refusing, Verdict
from bayplan.placement.occupancy import Namespaces, Occupancy
from bayplan.placement.rules import Cap, Even, Rule, Together

BoolVector = npt.NDArray[np.bool_]
IntVector = npt.NDArray[np.int64]


def of_nodes(kind: PodClass, table: NodeTable) -> Verdict:
    """The verdict of nodes alone; it stays the same until a node changes."""
    wanted = kind.constraints
    plain = kind.plain
    key = (wanted.selector, wanted.affinity, wanted.tolerations, kind.placement.constraints, plain)
    known = table.verdicts.get(key)
    if known is not None:
        return known
    named = bool(wanted.affinity) and all(
        term.name != requirements.ANYTHING for term in wanted.affinity or ()
    )
    leaving = table.leaving_for_plain(wanted.tolerations, named=named) if plain else table.leaving()
    refusing = (
        *leaving,
        *_tainted(wanted, table),
        *_missing_selector(wanted, table),
        *_missing_affinity(wanted, table),
        *constraints.of_nodes(kind.placement, table),
    )
    open_ = np.ones(len(table.nodes), dtype=np.bool_)
    for refusal in refusing:
        open_ &= ~refusal.nodes
    return table.remember(key, Verdict(refusing, open_))


def of_the_moment(
    waiting: Waiting, occupancy: Occupancy, *, awaited: bool = False
) -> Iterator[Refusing]:
    """Refusals that depend on which pods are where now.

    Pods that are `awaited` have their room on a node even while it is held for a task.
    """
    kind = waiting.kind
    if waiting.avoid:
        yield from _cooling(waiting, occupancy)
    if occupancy.held and not awaited:
        yield from _held(waiting, occupancy)
    yield from constraints.company(kind, occupancy)
    yield from volumes.refusing(kind, occupancy)
    for port in kind.constraints.host_ports:
        yield Refusing(Reason.HOST_PORT, str(port.port), occupancy.with_port(port))
    if kind.constraints.pod_affinity:
        yield from _affinity(kind, occupancy)
    yield from _anti_affinity(kind, occupancy)


def wishes(kind: PodClass, among: BoolVector, occupancy: Occupancy) -> list[Rule]:
    """ScheduleAnyway as rules over these nodes alone: `solve` keeps them as long as it can."""
    return [
        _even(constraint, among, kind, occupancy)
        for constraint in kind.constraints.spread
        if not constraint.hard
    ]


def rules(kind: PodClass, open_: BoolVector, waiting: int, occupancy: Occupancy) -> list[Rule]:
    """Rules that bind the pods of the class to each other; `open_` nodes could take a pod."""
    wanted = kind.constraints
    everywhere = np.ones(len(occupancy.table.nodes), dtype=np.bool_)
    found = constraints.rules(kind, open_, waiting, occupancy)
    found += [
        _even(constraint, everywhere, kind, occupancy)
        for constraint in wanted.spread
        if constraint.hard
    ]
    found += [
        _even(constraint, everywhere, kind, occupancy, awaited=True)
        for constraint in wanted.spread
        if constraint.hard and _awaits(kind.namespace, constraint.selector, occupancy)
    ]
    if wanted.claims or wanted.disks:
        found += volumes.rules(kind, occupancy)
    labels = dict(kind.labels)
    if wanted.host_ports:
        each = occupancy.table.each()
        none = np.zeros(len(each.values), dtype=np.int64)
        ports = str(wanted.host_ports[0].port)
        found.append(Cap(Reason.HOST_PORT, ports, each, none, limit=1))
    for term in wanted.pod_anti_affinity:
        if not term.weight and _meets(term, kind.namespace, kind.namespace, labels, occupancy):
            domains = occupancy.table.domains(term.topology_key)
            counts = domains.sums(
                occupancy.peers(
                    occupancy.reach(term, kind.namespace),
                    term.selector,
                    terminating=True,
                    awaited=True,
                )
            )
            found.append(
                Cap(
                    Reason.ANTI_AFFINITY,
                    term.topology_key,
                    domains,
                    counts,
                    limit=1,
                    exempt=True,
                )
            )
    joint = _joint(kind, occupancy)
    if joint is not None and _selected(joint, kind.namespace, labels):
        near = _near(kind, occupancy.peers(*joint, terminating=True), occupancy)
        if not any(counts.any() for counts in near.values()):
            # The first of a series may go anywhere: it goes where room is kept for others of them.
            coming = occupancy.peers(*joint, terminating=True, awaited=True)
            for key, counts in _near(kind, coming, occupancy).items():
                domains = occupancy.table.domains(key)
                found.append(Together(Reason.POD_AFFINITY, key, domains, counts))
    return found


def _tainted(wanted: Constraints, table: NodeTable) -> Iterator[Refusing]:
    for key, nodes in table.untolerated(wanted.tolerations).items():
        yield Refusing(Reason.TAINT, key, nodes)


def _missing_selector(wanted: Constraints, table: NodeTable) -> Iterator[Refusing]:
    for label, value in wanted.selector:
        yield Refusing(Reason.SELECTOR, label, ~table.equal(label, value))


def _missing_affinity(wanted: Constraints, table: NodeTable) -> Iterator[Refusing]:
    if wanted.affinity is not None:
        yield Refusing(Reason.AFFINITY, "", ~table.matching_any(wanted.affinity))


def _cooling(waiting: Waiting, occupancy: Occupancy) -> Iterator[Refusing]:
    rows = [
        occupancy.snapshot.rows[name] for name in waiting.avoid if name in occupancy.snapshot.rows
    ]
    nodes = np.zeros(len(occupancy.table.nodes), dtype=np.bool_)
    nodes[rows] = True
    yield Refusing(Reason.COOLING, "", nodes)


def _held(waiting: Waiting, occupancy: Occupancy) -> Iterator[Refusing]:
    nodes = np.zeros(len(occupancy.table.nodes), dtype=np.bool_)
    lasts = waiting.lasts
    for row, hold in occupancy.held.items():
        over_by_then = lasts is not None and lasts <= hold.spare
        nodes[row] = hold.waiting is not waiting and not over_by_then
    yield Refusing(Reason.HELD, "", nodes)


def _near(kind: PodClass, peers: IntVector, occupancy: Occupancy) -> dict[str, IntVector]:
    """Topology key of a required affinity -> peers per domain; 0 on nodes without the key.

    If no key has any peers, a pod that matches its own affinity may go anywhere, as the first of a
    series (kubernetes/pkg/scheduler/framework/plugins/interpodaffinity, satisfyPodAffinity).
    """
    keys = {term.topology_key for term in kind.constraints.pod_affinity if not term.weight}
    return {key: occupancy.table.domains(key).sums(peers) for key in sorted(keys)}


def _joint(kind: PodClass, occupancy: Occupancy) -> tuple[Namespaces, requirements.Term] | None:
    """What one pod must match to be near the class: Kubernetes asks for all terms at once."""
    terms = [term for term in kind.constraints.pod_affinity if not term.weight]
    if not terms:
        return None
    namespaces: Namespaces = None
    for term in terms:
        near = occupancy.reach(term, kind.namespace)
        if near is not None:
            namespaces = near if namespaces is None else namespaces & near
    labels = tuple(pair for term in terms for pair in term.selector.labels)
    return namespaces, requirements.Term(labels, never=any(term.selector.never for term in terms))


def _affinity(kind: PodClass, occupancy: Occupancy) -> Iterator[Refusing]:
    joint = _joint(kind, occupancy)
    if joint is None:
        return
    near = _near(kind, occupancy.peers(*joint, terminating=True), occupancy)
    like = _selected(joint, kind.namespace, dict(kind.labels))
    first = like and not any(counts.any() for counts in near.values())
    for key, counts in near.items():
        domains = occupancy.table.domains(key)
        flags = np.ones(len(counts), dtype=np.bool_) if first else counts > 0
        yield Refusing(Reason.POD_AFFINITY, key, ~domains.of_nodes(flags))


def _anti_affinity(kind: PodClass, occupancy: Occupancy) -> Iterator[Refusing]:
    """Domains of pods that the class shuns, and of pods that shun the class."""
    shunned: dict[str, BoolVector] = {}  # topology key -> nodes
    for key, pods in _shunned(kind, occupancy):
        domains = occupancy.table.domains(key)
        nodes = domains.of_nodes(domains.sums(pods) > 0)
        shunned[key] = shunned[key] | nodes if key in shunned else nodes
    for key in sorted(shunned):
        yield Refusing(Reason.ANTI_AFFINITY, key, shunned[key])


def _shunned(kind: PodClass, occupancy: Occupancy) -> Iterator[tuple[str, IntVector]]:
    """(topology key, [N] number of pods whose domains the class must avoid)."""
    labels = dict(kind.labels)
    for term in kind.constraints.pod_anti_affinity:
        if not term.weight and not _meets(term, kind.namespace, kind.namespace, labels, occupancy):
            near = occupancy.reach(term, kind.namespace)
            shunned = occupancy.peers(near, term.selector, terminating=True, awaited=True)
            yield term.topology_key, shunned
    for namespace, terms in occupancy.averse:
        for term in terms:
            if _meets(term, namespace, kind.namespace, labels, occupancy):
                yield term.topology_key, occupancy.snapshot.bearers((namespace, terms))
    for other in (*occupancy.averse_landed, *occupancy.awaited.values()):
        for term in other.aversions:
            if _meets(term, other.kind.namespace, kind.namespace, labels, occupancy):
                yield term.topology_key, other.nodes


def _meets(
    term: PodTerm, own: str, namespace: str, labels: dict[str, str], occupancy: Occupancy
) -> bool:
    """Whether a term of a pod in namespace `own` selects pods of this namespace and labels."""
    return _selected((occupancy.reach(term, own), term.selector), namespace, labels)


def _selected(
    joint: tuple[Namespaces, requirements.Term], namespace: str, labels: dict[str, str]
) -> bool:
    namespaces, selector = joint
    return (namespaces is None or namespace in namespaces) and selector.matches(labels)


def _awaits(namespace: str, wanted: requirements.Term, occupancy: Occupancy) -> bool:
    """Whether room is kept for a pod of this namespace that the selector matches."""
    return any(
        other.kind.namespace == namespace and wanted.matches(other.labels)
        for other in occupancy.awaited.values()
    )


def _even(
    constraint: Spread,
    among: BoolVector,
    kind: PodClass,
    occupancy: Occupancy,
    *,
    awaited: bool = False,
) -> Even:
    """A topology spread as a rule: domains and counts over the nodes that Kubernetes looks at.

    With `awaited` it also counts pods for which room is kept, so that the skew still lets them
    come.
    """
    table, wanted = occupancy.table, kind.constraints
    domains = table.domains(constraint.topology_key)
    eligible = among & _counting(constraint, wanted, table)
    if constraint.hard:  # a wish looks only at nodes that could be used
        eligible = np.append(eligible, _counting(constraint, wanted, table.around))
    own = frozenset({kind.namespace})
    peers = occupancy.peers(own, constraint.selector, terminating=False, awaited=awaited)
    peers = peers[: len(eligible)]
    return Even(
        Reason.SPREAD,
        constraint.topology_key,
        domains,
        domains.sums(np.where(eligible, peers, 0)),
        skew=constraint.max_skew,
        least=constraint.min_domains,
        known=domains.sums(eligible.astype(np.int64)) > 0,
        grows=constraint.selector.matches(dict(kind.labels)),
    )


def _counting(constraint: Spread, wanted: Constraints, table: NodeTable) -> BoolVector:
    """[N]: nodes that a topology spread looks at: with every key, and as its policies ask."""
    counting = np.ones(len(table.nodes), dtype=np.bool_)
    for other in wanted.spread:
        if other.hard is constraint.hard:
            counting &= table.domains(other.topology_key).codes >= 0
    if constraint.honour_affinity:
        for label, value in wanted.selector:
            counting &= table.equal(label, value)
        if wanted.affinity is not None:
            counting &= table.matching_any(wanted.affinity)
    if constraint.honour_taints:
        for nodes in table.untolerated(wanted.tolerations).values():
            counting &= ~nodes
    return counting
