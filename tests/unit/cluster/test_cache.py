"""The newest sight of everything, what we count on beside it, and who is to look at a change."""

from collections.abc import Mapping
from typing import Any

import pytest

from bayplan.api.resource import Resource
from bayplan.cluster import budgets, decode, owned, policies
from bayplan.model import requirements, resources, snapshot
from bayplan.model.budgets import Budget
from bayplan.model.children import Child
from bayplan.model.nodes import Taint
from bayplan.model.pods import Owner, Phase
from tests.unit.cluster.held import OWNER, WEB, Held


def make_child(
    name: str, parents: list[str], version: int = 10, generation: int = 1, **more: Any
) -> dict[str, Any]:
    """A stored BatchJob that names these as its parents."""
    return {
        "kind": "BatchJob",
        "metadata": {
            "namespace": "default",
            "name": name,
            "uid": f"uid-{name}",
            "generation": generation,
            "resourceVersion": str(version),
        },
        "spec": {
            "template": {"spec": {"containers": [{"name": "main"}]}},
            "parents": [{"name": parent} for parent in parents],
        },
        **more,
    }


def service(version: int = 10, generation: int = 1, **more: Any) -> Mapping[str, Any]:
    return {
        "kind": "LongService",
        "metadata": {
            "name": "web", "namespace": "default", "uid": "uid-web", "generation": generation,
            "resourceVersion": str(version), **more,
        },
        "spec": {},
        "status": {"observed": version},
    }  # fmt: skip


class TestOneNamespace:
    """An operator of one namespace: pods of others take room and are nobody's to touch."""

    def held(self) -> Held:
        held = Held()
        held.cache.namespace = "mine"
        return held

    def test_others_pods_are_load(self) -> None:
        """They count on their node; they are not bound, not anybody's and ring nobody."""
        held = self.held()
        held.node()
        held.pod(name="placed", node="n1", cpu=300)
        held.pod(name="waits")

        assert [("default", "placed")] == list(held.cache.state.on_node["n1"])
        assert {} == held.cache.state.unplaced
        assert {} == held.cache.state.by_owner
        assert [] == held.bell.keys

    def test_others_pods_are_not_asked_about(self) -> None:
        """Why they do not start is not ours to read: the answer would be that we may not."""
        held = self.held()
        held.pod(name="placed", node="n1")

        assert 0 == held.cache.silent_pods.count

    def test_others_daemons_keep_their_owner(self) -> None:
        """Whose daemon a pod is says whether one is still to come on its node."""
        held = self.held()
        held.pod(node="n1", owner=Owner("DaemonSet", "agent", "u1"))

        assert ["u1"] == list(held.cache.state.by_owner)

    def test_others_resources_are_not_taken_in(self) -> None:
        """Whoever delivers more than was asked for is not heard."""
        held = self.held()
        held.cache.put_resource(service())

        assert {} == held.cache.resources


class TestPods:
    def test_rings_its_owner(self) -> None:
        """A pod's event marks its owner; another kind of owner is nobody we know."""
        held = Held()
        held.pod(owner=None, name="a")
        held.pod(owner=Owner("ReplicaSet", "x", "1"), name="b")

        assert [] == held.bell.keys

        held.pod()

        assert [WEB] == held.bell.keys

    def test_same_again_is_silent(self) -> None:
        """An event that changes nothing we read rings nobody."""
        held = Held()
        held.pod(10, node="n1")
        held.bell.silence()
        held.pod(11, node="n1")

        assert ([], 0) == (held.bell.keys, held.bell.placement)
        assert "11" == held.cache.state.pods["default", "p1"].resource_version

    @pytest.mark.parametrize(
        ("after", "frees"),
        [
            ({"node": "n1", "phase": Phase.SUCCEEDED}, True),
            ({"node": "n1", "cpu": 50}, True),
            ({"node": "n1", "ready": True}, False),
            ({"node": "n1", "deleted_at": 5}, False),
        ],
    )
    def test_free_room_rings_placement(self, after: dict[str, Any], frees: bool) -> None:
        """Only what frees room makes those look who wait for room."""
        held = Held()
        held.pod(10, node="n1")
        held.bell.silence()
        held.pod(11, **after)

        assert frees == (held.bell.placement > 0)

    def test_end_rings_placement_once(self) -> None:
        """A finished pod that changes or is deleted frees nothing any more."""
        held = Held()
        held.pod(10, node="n1", phase=Phase.FAILED, finalizers=("a",))
        held.bell.silence()
        held.pod(11, node="n1", phase=Phase.FAILED)
        held.gone("Pod", "p1")

        assert ([WEB, WEB], 0) == (held.bell.keys, held.bell.placement)

    def test_waiting_pod_rings_placement(self) -> None:
        """An unplaced pod of ours is to be placed; one of another scheduler is not."""
        held = Held()
        held.pod(scheduler="default-scheduler", name="a")

        assert 0 == held.bell.placement

        held.pod(name="b")

        assert 1 == held.bell.placement

    def test_never_back(self) -> None:
        """An older version never replaces a newer one, nor anything a deletion."""
        held = Held()
        held.pod(12, node="n1")

        assert not held.pod(11)
        assert not held.pod(12)
        assert held.gone("Pod", "p1", 15)
        assert not held.pod(14)
        assert not held.pod(16)  # the same uid: it is dead, whatever its version
        assert not held.pod(9, uid="zeroth")
        assert held.pod(17, uid="second")

    def test_older_deletion(self) -> None:
        """The deletion of a former pod of that name does not touch the present one."""
        held = Held()
        held.pod(20, uid="second")

        assert not held.cache.delete("Pod", ("default", "p1"), "uid-p1", 15)
        assert ("default", "p1") in held.cache.state.pods

    def test_retain(self) -> None:
        """What a list does not hold has left, unless it is newer than the list."""
        held = Held()
        for version, name in ((10, "a"), (11, "b"), (31, "c")):
            held.pod(version, name)

        assert 1 == held.cache.retain("Pod", {("default", "a")}, 30)
        assert {"a", "c"} == {name for _, name in held.cache.state.pods}


class TestNodes:
    @pytest.mark.parametrize(
        "change",
        [
            {"ready": False},
            {"unschedulable": True},
            {"deleting": True},
            {"uid": "another"},
            {"taints": (Taint("karpenter.sh/disrupted"),)},
        ],
    )
    def test_rings_owners(self, change: dict[str, Any]) -> None:
        """Readiness, cordon, taints, identity: whose pods are there has to look."""
        held = Held()
        held.node()
        held.pod(node="n1")
        held.bell.silence()
        held.node(11, **change)

        assert [WEB] == held.bell.keys
        assert held.bell.placement

    def test_heartbeat_is_silent(self) -> None:
        """A heartbeat rings nobody and leaves the nodes' version alone."""
        held = Held()
        held.node()
        held.bell.silence()
        before = held.cache.state.nodes_version
        held.node(11)

        assert (before, 0) == (held.cache.state.nodes_version, held.bell.placement)

    def test_room_rings_placement_only(self) -> None:
        """More room is news for those who wait, not for those who run there."""
        held = Held()
        held.node()
        held.pod(node="n1")
        held.bell.silence()
        held.node(11, labels={"new": "label"})

        assert [] == held.bell.keys
        assert held.bell.placement

    def test_gone(self) -> None:
        """A node that goes rings for the pods that it leaves behind."""
        held = Held()
        held.node()
        held.pod(node="n1")
        held.bell.silence()
        held.cache.delete("Node", ("", "n1"), "", 50)

        assert [WEB] == held.bell.keys


class TestResources:
    def test_echo(self) -> None:
        """The echo of our own status rings nobody; its version and status are known."""
        held = Held()
        held.cache.put_resource(service(10))
        held.bell.silence()
        held.cache.put_resource(service(11))

        assert [] == held.bell.keys
        assert "11" == held.cache.resources[WEB].resource_version
        assert {"observed": 11} == held.cache.resources[WEB].status

    @pytest.mark.parametrize(
        "change",
        [
            {"generation": 2},
            {"annotations": {"bayplan.dev/run-now": "1"}},
            {"labels": {"team": "a"}},
            {"deletionTimestamp": "2026-11-23T06:00:00Z"},
            {"uid": "second"},
        ],
    )
    def test_changes_ring(self, change: dict[str, Any]) -> None:
        """A new generation, annotation, label, deletion or identity rings."""
        held = Held()
        held.cache.put_resource(service(10))
        held.bell.silence()
        held.cache.put_resource(service(11, **change))

        assert [WEB] == held.bell.keys

    def test_family(self) -> None:
        """A parent's status rings its children; its edit and its end also theirs."""
        held = Held()
        for name, parents in (("a", []), ("b", ["a"]), ("c", ["b"])):
            held.cache.put_resource(make_child(name, parents))
        held.bell.silence()
        held.cache.put_resource(make_child("a", [], version=11, status={"running": 1}))
        told = set(held.bell.keys)
        held.bell.silence()
        held.cache.put_resource(make_child("a", [], version=12, generation=2))
        edited = set(held.bell.keys)
        held.bell.silence()
        held.cache.drop_resource(("BatchJob", "default", "a"), "uid-a")

        assert {("BatchJob", "default", "b")} == told
        assert {("BatchJob", "default", name) for name in "abc"} == edited == set(held.bell.keys)

    def test_late_delivery(self) -> None:
        """A late delivery neither takes the status back nor revives what was deleted."""
        held = Held()
        held.cache.put_resource(service(12))
        held.cache.put_resource(service(11, generation=2))

        assert 1 == held.cache.resources[WEB].generation

        held.cache.drop_resource(WEB, "uid-web")
        held.cache.put_resource(service(11))

        assert {} == held.cache.resources

    def test_drop(self) -> None:
        """Only the resource of that uid goes; it rings, so that what is left is looked after."""
        held = Held()
        held.cache.put_resource(service())
        held.bell.silence()
        held.cache.drop_resource(WEB, "uid-other")

        assert held.cache.by_uid("uid-web") is not None

        held.cache.drop_resource(WEB, "uid-web")

        assert held.cache.by_uid("uid-web") is None
        assert [WEB] == held.bell.keys

    def test_doubt(self) -> None:
        """What answered 404 leaves, and comes back unchanged when a list still shows it."""
        held = Held()
        held.cache.put_resource(service())
        held.cache.doubt_resource(WEB, "uid-other")
        kept = dict(held.cache.resources)
        held.cache.doubt_resource(WEB, "uid-web")

        assert [WEB] == list(kept)
        assert {} == held.cache.resources

        held.bell.silence()
        held.cache.put_resource(service())

        assert [WEB] == list(held.cache.resources) == held.bell.keys

    def test_synced(self) -> None:
        """Synced is when every kind has been listed once, the custom ones too."""
        held = Held()
        for kind in decode.KINDS:
            assert not held.cache.synced
            held.cache.sync(kind)

        assert held.cache.synced


class TestChildren:
    CHILD = Child("Service", "web", "uid-child")

    def test_known_by_owner(self) -> None:
        """A child is known by its owner's uid until it is being deleted."""
        held = Held()
        held.put("Service", "web", owned.Owned(OWNER, self.CHILD))

        assert {("Service", "web"): self.CHILD} == held.cache.children("uid-web")

        held.put("Service", "web", owned.Owned(OWNER, self.CHILD, deleting=True), 11)

        assert {} == held.cache.children("uid-web")

        held.bell.silence()
        held.gone("Service", "web")

        assert [WEB] == held.bell.keys

    def test_foreign(self) -> None:
        """Another's or nobody's object of our name is foreign; it rings when it goes."""
        held = Held()
        held.cache.put_resource(service())
        web = held.cache.resources[WEB]
        another = budgets.Stored(Budget("default", "web", requirements.Term()), None)
        held.put("PodDisruptionBudget", "web", another)
        held.put("Service", "web", owned.Owned(OWNER, self.CHILD))

        assert frozenset({("PodDisruptionBudget", "web")}) == held.cache.foreign(web)
        assert 2 == len(held.cache.foreign(Resource("LongService", "default", "web", "another")))

        held.bell.silence()
        held.gone("PodDisruptionBudget", "web")

        assert frozenset() == held.cache.foreign(web)
        assert [WEB] == held.bell.keys

    def test_changes_hands(self) -> None:
        """A child that gets another owner rings for both."""
        held = Held()
        other = Owner("LongService", "other", "uid-other")
        held.put("Service", "web", owned.Owned(OWNER, self.CHILD))
        held.bell.silence()
        held.put("Service", "web", owned.Owned(other, self.CHILD), 11)

        assert {} == held.cache.children("uid-web")
        assert {WEB, ("LongService", "default", "other")} == set(held.bell.keys)


class TestAdmission:
    def test_namespace(self) -> None:
        """A namespace that is being deleted rings for all that is in it."""
        held = Held()
        held.cache.put_resource(service())
        held.put("Namespace", "default", policies.Namespace({}), 10, "")
        held.bell.silence()
        held.put("Namespace", "default", policies.Namespace({}, deleting=True), 11, "")

        assert {"default"} == held.cache.namespaces_deleting
        assert ([WEB], ["default"]) == (held.bell.keys, held.bell.namespaces)

        held.cache.delete("Namespace", ("", "default"), "", 12)

        assert set() == held.cache.namespaces_deleting

    @pytest.mark.parametrize(
        ("hard", "used", "rings"),
        [("10", "5", False), ("10", "6", False), ("10", "4500m", True), ("11", "5", True)],
    )
    def test_quota(self, hard: str, used: str, rings: bool) -> None:
        """A quota that fills up is no news; one that has room again is."""
        held = Held()
        held.put("ResourceQuota", "q", policies.Quota({"cpu": "10"}, {"cpu": "5"}))
        held.bell.silence()
        held.put("ResourceQuota", "q", policies.Quota({"cpu": hard}, {"cpu": used}), 11)

        assert (["default"] if rings else []) == held.bell.namespaces

    def test_limit_range_and_priorities(self) -> None:
        """A LimitRange rings when it comes, changes and goes; priorities are known by name."""
        held = Held()
        held.put("LimitRange", "l", b"{}")
        held.gone("LimitRange", "l")
        held.put("PriorityClass", "high", policies.Priority(1000), 10, "")

        assert ["default", "default"] == held.bell.namespaces
        assert 1000 == held.cache.defaults.priority("high")


def test_daemonsets() -> None:
    """A DaemonSet's room is known until it goes, and asked for again when it changes."""
    held = Held()
    daemon = snapshot.DaemonSet("default", "d", "uid-d", resources.Vector({"cpu": 5}))
    held.put("DaemonSet", "d", daemon)
    held.bell.silence()
    held.put("DaemonSet", "d", daemon, 11)

    assert ({"uid-d": daemon}, 0) == (held.cache.state.daemonsets, held.bell.placement)

    held.gone("DaemonSet", "d")

    assert ({}, 1) == (held.cache.state.daemonsets, held.bell.placement)
