"""Volumes that are made where a pod will run: chosen, waited for, bound, given back."""

from dataclasses import replace

import msgspec

from bayplan.cluster import decode
from bayplan.cluster.volumes import StorageClass, Volume, VolumeClaim
from bayplan.cluster.wire import Seen
from bayplan.model import wording
from bayplan.model.nodes import ZONE
from bayplan.model.pods import Phase
from bayplan.scheduler import inbox, volume_binding
from tests.builders import NOON, make_constraints, make_node, make_pod, make_term
from tests.unit.scheduler.test_loop import Scene

LAZY = StorageClass(waits=True, provisioner="ebs")
UNMADE = VolumeClaim("", "gp3", "Pending")


def claimed(*zones: str, claims: tuple[str, ...] = ("data",)) -> Scene:
    """A node n0, n1 … in each zone, and a pod that waits with claims of a lazy class."""
    scene = Scene()
    for index, zone in enumerate(zones):
        scene.node(f"n{index}", zone=zone)
    scene.see("StorageClass", "gp3", LAZY, "")
    for claim in claims:
        put(scene, claim)
    scene.see("Pod", "db", make_pod("db", constraints=make_constraints(claims=claims)))
    return scene


def put(scene: Scene, name: str = "data", claim: VolumeClaim = UNMADE) -> None:
    """A new sight of one claim."""
    scene.version += 1
    seen = Seen("default", name, f"uid-{name}", scene.version, claim)
    scene.cache.upsert("PersistentVolumeClaim", seen)


def chosen(scene: Scene) -> list[tuple[str, str, str]]:
    return [(one.claim, one.uid, one.node) for one in scene.notes.selected]


def carried_out(scene: Scene) -> str:
    """The choice is stored; says the node."""
    [wanted] = scene.notes.selected
    scene.notes.selected.clear()
    put(scene, wanted.claim, replace(UNMADE, selected=wanted.node))
    return wanted.node


def test_the_node_is_written_and_the_pod_not_bound() -> None:
    """Each claim that waits learns the node of its pod, which autoscalers are told nothing of."""
    scene = claimed("z0", claims=("data", "logs"))
    scene.look()

    assert [("data", "uid-data", "n0"), ("logs", "uid-logs", "n0")] == chosen(scene)
    assert ([], []) == (scene.notes.bound, scene.notes.marked)


def test_a_choice_stands_while_the_volume_is_made() -> None:
    """Looking again chooses no other node, though another has become the better one."""
    scene = claimed("z0", "z1")
    scene.look()
    node = carried_out(scene)
    other = {"n0": "n1", "n1": "n0"}[node]
    scene.see("Pod", "load", make_pod("load", other, cpu=3000))
    scene.look()

    assert ([], []) == (scene.notes.selected, scene.notes.bound)
    assert [node] == [one.funnel.nearest.node for one in scene.loop.plan.refused]  # type: ignore[union-attr]


def test_it_is_bound_when_the_volume_is() -> None:
    """The volume says where; one whose claim has it but is not bound yet waits a moment more."""
    scene = claimed("z0", "z1")
    scene.look()
    carried_out(scene)
    zone = (make_term(**{ZONE: "z1"}),)
    scene.see("PersistentVolume", "v1", Volume(zone, "ebs", "vol-1"), "")
    put(scene, claim=VolumeClaim("v1", "gp3", "Pending"))
    scene.look()
    early = list(scene.notes.bound)
    put(scene, claim=VolumeClaim("v1", "gp3", "Bound"))
    scene.look()

    assert [] == early
    assert ["n1"] == [one.node for one in scene.notes.bound]
    assert [] == scene.notes.selected


def test_later_pods_do_not_take_its_room() -> None:
    """What is chosen is not bound, and yet nothing that comes later gets in its way."""
    scene = claimed("z0")
    large = make_pod("db", cpu=3000, constraints=make_constraints(claims=("data",)))
    scene.see("Pod", "db", large)
    scene.look()
    carried_out(scene)
    scene.see("Pod", "late", make_pod("late", cpu=3000, created_at=NOON))
    scene.look()

    assert [] == scene.notes.bound


def test_a_node_that_is_given_back_is_avoided_for_a_while() -> None:
    """30 s, then twice that, 300 s at most; another node is chosen meanwhile."""
    scene = claimed("z0", "z1")
    paused = []
    for _ in range(6):
        scene.see("Node", "n1", replace(scene.cache.state.nodes["n1"], unschedulable=True), "")
        scene.look()
        assert "n0" == carried_out(scene)
        put(scene)
        scene.look()
        until = scene.loop.volume_binding.look_at(scene.clock.wall)
        assert until is not None
        paused.append(until - scene.clock.wall)
        scene.clock.wall = until - 1
        scene.look()
        assert [] == scene.notes.selected
        scene.clock.wall = until

    assert [30, 60, 120, 240, 300, 300] == paused

    put(scene, claim=replace(UNMADE, selected="n0"))
    put(scene)
    scene.see("Node", "n1", replace(scene.cache.state.nodes["n1"], unschedulable=False), "")
    scene.look()

    assert "n1" == carried_out(scene)


def test_time_alone_tries_a_node_again() -> None:
    """Nothing rings when a pause is over; the loop looks by itself."""
    scene = claimed("z0")
    scene.look()
    carried_out(scene)
    put(scene)
    scene.look()
    scene.clock.wall += volume_binding.FIRST_PAUSE_SECONDS
    scene.loop.cycle(inbox.Batch(frozenset(), placement=False))

    assert [("data", "uid-data", "n0")] == chosen(scene)


def test_it_is_told_what_the_pod_waits_for() -> None:
    """Not a lack of room: the volume, and the node for which it is made."""
    scene = claimed("z0")
    scene.look()
    assert scene.loop.plan is not None
    [refused] = scene.loop.plan.refused

    assert refused.funnel.making
    assert "volume data is being made for node n0" == wording.sentence(refused.funnel)
    assert {} == scene.loop.plan.placements


def test_pods_of_ours_with_such_claims_are_not_born_placed() -> None:
    """They are made without a node, and get it as any pod does; with bound claims they are born."""
    for claim, node in ((UNMADE, ""), (VolumeClaim("v1", "gp3", "Bound"), "n0")):
        scene = Scene()
        scene.node("n0")
        scene.see("StorageClass", "gp3", LAZY, "")
        scene.see("PersistentVolume", "v1", Volume((), "ebs", "vol-1"), "")
        put(scene, claim=claim)
        mounts = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
        container = {"name": "db", "image": "db:1"}
        scene.service(
            "db", replicas=1, template={"spec": {"volumes": mounts, "containers": [container]}}
        )
        scene.look()
        [(planned, body)] = scene.notes.created.values()

        assert (node, node or None) == (planned.node, body["spec"].get("nodeName"))

        scene.seen_as_created()
        scene.look()

        assert [("data", "uid-data", "n0")] * (not node) == chosen(scene)


def test_who_only_watches_chooses_nothing() -> None:
    """In the mode Observe no claim is touched."""
    scene = Scene(acts=False)
    scene.node("n0")
    scene.see("StorageClass", "gp3", LAZY, "")
    put(scene)
    scene.see("Pod", "db", make_pod("db", constraints=make_constraints(claims=("data",))))
    scene.look()

    assert [] == scene.notes.selected


def test_a_claim_of_two_pods_gets_one_node() -> None:
    """A volume is made for one node; the second pod follows the claim."""
    scene = claimed("z0", "z1")
    scene.see("Pod", "db2", make_pod("db2", constraints=make_constraints(claims=("data",))))
    scene.look()

    assert 1 == len(scene.notes.selected)


def test_an_instance_with_a_volume_of_its_own() -> None:
    """It waits for its claim, is made without a node, and mounts the claim; the claim rings."""
    scene = Scene()
    scene.node("n0")
    scene.see("StorageClass", "gp3", LAZY, "")
    template = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    service = scene.service("db", replicas=1, volumeClaimTemplates=[template])
    scene.look()
    early = dict(scene.notes.created)
    scene.bell.silence()
    put(scene, "data-db-0", replace(UNMADE, service="db"))
    rang = list(scene.bell.keys)
    scene.look()
    [(planned, body)] = scene.notes.created.values()

    assert {} == early
    assert ["data-db-0"] == [act.body["metadata"]["name"] for act in scene.notes.outcomes[0].claims]  # type: ignore[union-attr]
    assert [service.key] == rang
    assert ("db-0", "", ("data-db-0",)) == (planned.name, planned.node, planned.constraints.claims)
    assert [{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}}] == body["spec"][
        "volumes"
    ]

    scene.seen_as_created()
    scene.look()

    assert [("data-db-0", "uid-data-db-0", "n0")] == chosen(scene)


def test_whose_a_claim_is() -> None:
    """Label, owners and being deleted are read from the stored claim."""
    body = {
        "metadata": {
            "name": "data-db-0",
            "namespace": "default",
            "uid": "u",
            "labels": {"bayplan.dev/service": "db"},
            "annotations": {"volume.kubernetes.io/selected-node": "n1"},
            "ownerReferences": [{"kind": "LongService", "name": "db", "uid": "uid-db"}],
            "deletionTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"storageClassName": "gp3"},
        "status": {"phase": "Pending"},
    }
    raw = msgspec.Raw(msgspec.json.encode(body))
    claim = decode.KINDS["PersistentVolumeClaim"].decode(raw).value

    owners = frozenset({"uid-db"})
    assert VolumeClaim("", "gp3", "Pending", "n1", True, "db", owners) == claim


def test_one_pod_at_a_time_is_born_placed() -> None:
    """Of a ReadWriteOncePod claim that a stranger uses nobody is; when he is gone it is bound."""
    scene = Scene()
    scene.node("n0")
    scene.see("PersistentVolume", "v1", Volume((), "ebs", "vol-1"), "")
    put(scene, claim=VolumeClaim("v1", "gp3", "Bound", alone=True))
    stranger = make_pod("stranger", "n-other", constraints=make_constraints(claims=("data",)))
    scene.see("Node", "n-other", make_node("n-other", unschedulable=True), "")
    scene.see("Pod", "stranger", stranger)
    mounts = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    container = {"name": "db", "image": "db:1"}
    scene.service(
        "db", replicas=1, template={"spec": {"volumes": mounts, "containers": [container]}}
    )
    scene.look()
    [(planned, body)] = scene.notes.created.values()

    assert ("", None) == (planned.node, body["spec"].get("nodeName"))

    scene.seen_as_created()
    scene.look()
    told = [one.message for one in scene.notes.marked]
    scene.see("Pod", "stranger", replace(stranger, phase=Phase.SUCCEEDED))
    scene.look()

    assert ["ReadWriteOncePod claim in use data by pod stranger" in one for one in told] == [True]
    assert ["n0"] == [one.node for one in scene.notes.bound]
