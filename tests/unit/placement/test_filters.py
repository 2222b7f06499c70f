"""Which nodes refuse, one reason at a time, with its detail."""

import pytest

from bayplan.model import requirements, snapshot
from bayplan.model.nodes import ZONE, Node, Taint
from bayplan.model.pods import Claim, HostPort, Pod, PodTerm, Toleration
from bayplan.model.reasons import Reason, Refusal
from bayplan.model.workloads import PodClass
from bayplan.placement.solve import Policy, solve
from tests.builders import (
    NOON,
    make_class,
    make_constraints,
    make_node,
    make_pod,
    make_snapshot,
    make_state,
    make_term,
    make_vector,
    make_waiting,
)

Thing = Node | Pod | snapshot.DaemonSet


def refusals(kind: PodClass, *things: Thing, **more: frozenset[str]) -> list[Refusal]:
    """The funnel of one task of this class, which must find no room."""
    plan = solve(make_snapshot(*things), [make_waiting(kind, **more)], NOON, Policy())
    return list(plan.refused[0].funnel.refusals)


def node_of(kind: PodClass, *things: Thing) -> str | None:
    plan = solve(make_snapshot(*things), [make_waiting(kind)], NOON, Policy())
    return plan.placements.get(("default", "w-0"))


TAINTED = Taint("dedicated", "ml")


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (make_node(ready=False), Refusal(Reason.NOT_READY)),
        (make_node(unschedulable=True), Refusal(Reason.CORDONED)),
        (make_node(deleting=True), Refusal(Reason.LEAVING)),
        (make_node(taints=(Taint("karpenter.sh/disrupted"),)), Refusal(Reason.LEAVING)),
        (make_node(taints=(TAINTED,)), Refusal(Reason.TAINT, "dedicated")),
        (make_node(pods=0), Refusal(Reason.TOO_BIG, "pods")),
        (make_node(cpu=50), Refusal(Reason.TOO_BIG, "cpu")),
    ],
)
def test_a_plain_task_is_refused(node: Node, expected: Refusal) -> None:
    """What is wrong with the node alone, in one word."""
    assert [expected] == refusals(make_class(100), node)


def test_leaving_nodes_refuse_also_who_tolerates_everything() -> None:
    """A toleration of every taint opens a dedicated node, never one that is about to go."""
    kind = make_class(tolerations=(Toleration("", "Exists"),))
    leaving = make_node("a", taints=(Taint("ToBeDeletedByClusterAutoscaler"),))

    assert "b" == node_of(kind, leaving, make_node("b", taints=(TAINTED,)))


def test_a_node_is_charged_to_its_first_reason() -> None:
    """Cordoned, tainted and too small: only cordoned is counted."""
    node = make_node(cpu=10, unschedulable=True, taints=(TAINTED,))

    assert [Refusal(Reason.CORDONED)] == refusals(make_class(), node)


def test_avoided_nodes_cool_down() -> None:
    """A node that refused one of these tasks lately is not asked again yet."""
    assert [Refusal(Reason.COOLING)] == refusals(make_class(), make_node(), avoid=frozenset({"n1"}))


def test_node_selector_and_affinity() -> None:
    """The selector's label is named; affinity holds when any term does."""
    selector = make_class(selector={"disk": "ssd"})
    affinity = make_class(affinity=(make_term(disk="ssd"), make_term(disk="nvme")))

    assert [Refusal(Reason.SELECTOR, "disk")] == refusals(selector, make_node())
    assert [Refusal(Reason.AFFINITY)] == refusals(affinity, make_node(labels={"disk": "hdd"}))
    assert "n1" == node_of(affinity, make_node(labels={"disk": "nvme"}))


def test_affinity_to_a_name() -> None:
    """A match field on metadata.name names the node; an empty term matches none."""
    named = requirements.Term(name=requirements.requirement("In", ["b"]))

    assert "b" == node_of(make_class(affinity=(named,)), make_node("a"), make_node("b"))
    assert [Refusal(Reason.AFFINITY)] == refusals(
        make_class(affinity=(requirements.Term(never=True),)), make_node()
    )


@pytest.mark.parametrize(
    ("wanted", "taken", "expected"),
    [
        (HostPort(80), HostPort(80), [Refusal(Reason.HOST_PORT, "80")]),
        (HostPort(80), HostPort(80, "UDP"), None),
        (HostPort(80, ip="10.0.0.1"), HostPort(80, ip="10.0.0.2"), None),
        (
            HostPort(80, ip="10.0.0.1"),
            HostPort(80),
            [Refusal(Reason.HOST_PORT, "80")],
        ),
    ],
)
def test_host_ports_collide_by_port_protocol_and_address(
    wanted: HostPort, taken: HostPort, expected: list[Refusal] | None
) -> None:
    """Two pods share a port only with another protocol or address."""
    holder = make_pod("p", "n1", constraints=make_constraints(host_ports=(taken,)))
    kind = make_class(host_ports=(wanted,))
    if expected is None:
        assert "n1" == node_of(kind, make_node(), holder)
    else:
        assert expected == refusals(kind, make_node(), holder)


def test_pods_that_run_keep_their_anti_affinity() -> None:
    """A newcomer stays out of the zone of a pod that shuns it, whatever the newcomer says."""
    shy = make_pod(
        "shy",
        "a",
        constraints=make_constraints(pod_anti_affinity=(PodTerm(make_term(app="web"), ZONE),)),
    )
    nodes = make_node("a", zone="z1"), make_node("b", zone="z1")
    kind = make_class(labels={"app": "web"})

    assert [Refusal(Reason.ANTI_AFFINITY, ZONE, 2)] == refusals(kind, *nodes, shy)
    assert "c" == node_of(kind, *nodes, make_node("c", zone="z2"), shy)
    assert "a" == node_of(make_class(labels={"app": "db"}), *nodes, shy)


def test_affinity_wants_company_or_itself() -> None:
    """Without a peer a pod waits, unless it is the first of its own kind."""
    term = PodTerm(make_term(app="db"), ZONE)
    lonely = make_class(labels={"app": "web"}, pod_affinity=(term,))
    first = make_class(labels={"app": "db"}, pod_affinity=(term,))
    node = make_node(zone="z")

    assert [Refusal(Reason.POD_AFFINITY, ZONE)] == refusals(lonely, node)
    assert "n1" == node_of(first, node)
    assert [Refusal(Reason.POD_AFFINITY, ZONE)] == refusals(first, make_node())


def test_terms_look_into_their_namespaces() -> None:
    """A term without namespaces means its pod's own; others are named or all."""
    peer = make_pod("peer", "n1", namespace="other", labels={"app": "db"})
    node = make_node(zone="z")

    def kind(**more: object) -> PodClass:
        term = PodTerm(make_term(app="db"), ZONE, **more)  # type: ignore[arg-type]
        return make_class(pod_affinity=(term,))

    assert None is node_of(kind(), node, peer)
    assert "n1" == node_of(kind(namespaces=frozenset({"other"})), node, peer)
    assert "n1" == node_of(kind(all_namespaces=True), node, peer)


def test_company_must_match_all_terms_at_once() -> None:
    """Two terms are met by one pod that both select, not by a pod for each."""
    terms = (
        PodTerm(make_term(tier="1"), ZONE, frozenset({"other"})),
        PodTerm(make_term(app="db"), ZONE, frozenset({"default", "other"})),
    )
    kind = make_class(pod_affinity=terms)
    node = make_node(zone="z")
    db = make_pod("db", "n1", labels={"app": "db", "tier": "1"})
    tier = make_pod("tier", "n1", namespace="other", labels={"tier": "1"})
    both = make_pod("both", "n1", namespace="other", labels={"app": "db", "tier": "1"})

    assert None is node_of(kind, node, db, tier)
    assert "n1" == node_of(kind, node, both)


def make_claimed(*claims: Claim, limit: int | None = None) -> snapshot.Snapshot:
    book = make_state(
        make_node("a", zone="z1"),
        make_node("b", zone="z2"),
        make_pod("p", "a", constraints=make_constraints(claims=("used",))),
    )
    for claim in claims:
        book.claims[("default", claim.name)] = claim
    if limit is not None:
        book.attach_limits = {"a": {"ebs": limit}, "b": {"ebs": limit}}
    return book.snapshot()


def test_volumes_bind_pods_to_their_zone() -> None:
    """A bound volume's terms decide; without any the pod may go anywhere."""
    there = Claim("data", terms=(make_term(**{"topology.kubernetes.io/zone": "z2"}),))
    waiting = [make_waiting(make_class(claims=("data",)))]

    assert "b" in solve(make_claimed(there), waiting, NOON, Policy()).placements.values()
    plan = solve(make_claimed(Claim("data", missing=True)), waiting, NOON, Policy())
    assert (Refusal(Reason.VOLUME_MISSING, "data", 2),) == plan.refused[0].funnel.refusals
    plan = solve(make_claimed(), waiting, NOON, Policy())
    said = "data: there is no such claim"
    assert (Refusal(Reason.VOLUME_MISSING, said, 2),) == plan.refused[0].funnel.refusals


@pytest.mark.parametrize("gone", [{"ready": False}, {"unschedulable": True}, None])
def test_a_volume_being_made_binds_its_pod_to_the_chosen_node(gone: dict[str, bool] | None) -> None:
    """Other nodes refuse it, as long as the chosen one could still take the pod."""
    claim = Claim("data", unbound=True, selected="b")
    book = make_state(make_node("a"), make_node("b", cpu=50), make_node("c"))
    book.claims["default", "data"] = claim
    waiting = [make_waiting(make_class(claims=("data",)))]
    [refused] = solve(book.snapshot(), waiting, NOON, Policy()).refused

    assert Refusal(Reason.VOLUME_NODE, "data", 2) in refused.funnel.refusals

    if gone is None:
        book.drop_node("b")
    else:
        book.set_node(make_node("b", cpu=50, **gone))

    assert () == solve(book.snapshot(), waiting, NOON, Policy()).refused


def test_a_node_attaches_so_many_volumes() -> None:
    """One volume counts once a node: where it is attached already it takes no further place."""
    used = Claim("used", driver="ebs", handle="vol-1")
    same = Claim("same", driver="ebs", handle="vol-1")
    new = Claim("new", driver="ebs", handle="vol-2")
    frozen = make_claimed(used, same, new, limit=1)

    def place(claim: str) -> str | None:
        kind = make_class(claims=(claim,), selector={ZONE: "z1"})
        plan = solve(frozen, [make_waiting(kind)], NOON, Policy())
        return plan.placements.get(("default", "w-0"))

    assert ("a", None) == (place("same"), place("new"))
    both = [make_waiting(make_class(claims=(name,)), 1, name) for name in ("new", "same")]
    plan = solve(frozen, both, NOON, Policy())
    assert {("default", "new-0"): "b", ("default", "same-0"): "a"} == plan.placements


def test_room_is_kept_for_daemonsets_to_come() -> None:
    """The node that has its DaemonSet pod takes what the other has to keep room for."""
    agent = snapshot.DaemonSet("kube-system", "agent", "ds", make_vector(300))
    there = make_pod("agent-a", "a", 100, owner_uid="ds", owner_kind="DaemonSet")
    kind = make_class(800)

    assert [Refusal(Reason.RESOURCES, "cpu")] == refusals(kind, make_node("b", 1000), agent)
    assert "a" == node_of(kind, make_node("a", 1000), make_node("b", 1000), agent, there)


def test_a_daemonset_that_never_fits_keeps_nothing() -> None:
    """It would only keep others off; beside what belongs to the node it is judged by itself."""
    agent = snapshot.DaemonSet("kube-system", "agent", "ds", make_vector(40_000))
    small = snapshot.DaemonSet("kube-system", "small", "ds2", make_vector(600))
    there = make_pod("other", "n1", 500, owner_uid="ds3", owner_kind="DaemonSet")
    busy = make_pod("busy", "n1", 500)

    assert "n1" == node_of(make_class(800), make_node(cpu=1000), agent)
    assert "n1" == node_of(make_class(500), make_node(cpu=1000), small, there)
    assert [Refusal(Reason.RESOURCES, "cpu")] == refusals(
        make_class(300), make_node(cpu=1000), small, busy
    )


def test_the_more_important_of_two_daemonsets_has_the_room() -> None:
    """What is kept is kept for those that will run."""
    first = snapshot.DaemonSet("kube-system", "a", "ds", make_vector(700))
    second = snapshot.DaemonSet("kube-system", "b", "ds2", make_vector(400), priority=9)

    assert "n1" == node_of(make_class(600), make_node(cpu=1000), first, second)


def test_daemonsets_that_stay_away_keep_nothing() -> None:
    """No room is kept where the DaemonSet's selector or a taint keeps it away."""
    elsewhere = snapshot.DaemonSet(
        "kube-system", "gpu", "ds", make_vector(900), make_constraints(selector={"gpu": "yes"})
    )
    tolerant = make_class(800, tolerations=(Toleration("", "Exists"),))

    assert "n1" == node_of(make_class(800), make_node(cpu=1000), elsewhere)
    agent = snapshot.DaemonSet("kube-system", "agent", "ds", make_vector(300))
    assert "n1" == node_of(tolerant, make_node(cpu=1000, taints=(TAINTED,)), agent)
