"""Instances with identity: ordinals, claims that stay, never two pods of one ordinal."""

from dataclasses import replace
from typing import Any

import pytest

from bayplan.api import names, pod_builder
from bayplan.model import requirements
from bayplan.model.pods import Claim, Ending, Phase
from bayplan.reconcile.longservice import in_place, ordinals
from bayplan.reconcile.longservice.rollout import Bounds
from tests.builders import make_node
from tests.services import World, make_service, make_world, running

TEMPLATE = {
    "metadata": {"name": "data", "labels": {"app": "db"}, "annotations": {"note": "kept"}},
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "gp3",
        "resources": {"requests": {"storage": "150Gi"}},
    },
}
CLAIMS = {"volumeClaimTemplates": [TEMPLATE]}
DELETE = {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}}
SCALED = {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"}}


def ready(replicas: int = 3, **spec: Any) -> World:
    return running(replicas, **{**CLAIMS, **spec})


def stands(world: World) -> list[str]:
    return [pod.name for pod in world.standing()]


def step(world: World) -> None:
    """Kubelets work, all news is heard, the operator acts once."""
    world.work()
    world.hear()
    world.act()


def left(world: World) -> list[tuple[str, str]]:
    return [(delete.name, delete.why) for delete in world.last.deletes]


def test_claims_come_before_pods() -> None:
    """A pod is asked for once each claim of its ordinal is there, by its stable name."""
    world = make_world(2, **CLAIMS)
    first = world.act()
    second = world.act()

    assert (["data-web-0", "data-web-1"], ()) == (sorted(world.claims), first.tasks)
    assert ["web-1", "web-0"] == [task.name for task in second.tasks]
    assert [(("data", "data-web-1"),), (("data", "data-web-0"),)] == [
        task.claims for task in second.tasks
    ]
    assert [("web-1", "1"), ("web-0", "0")] == [
        (task.hostname, task.labels[names.POD_INDEX]) for task in second.tasks
    ]


def test_a_claim_is_as_its_template_says() -> None:
    """With the label that says whose it is, and nobody's property unless that was asked for."""
    [act] = make_world(1, **CLAIMS).act().claims
    [owned] = make_world(1, **CLAIMS, **DELETE).act().claims

    assert {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "namespace": "default",
            "name": "data-web-0",
            "labels": {"app": "db", names.SERVICE: "web"},
            "annotations": {"note": "kept"},
        },
        "spec": TEMPLATE["spec"],
    } == act.body  # type: ignore[union-attr]
    assert ["uid-web"] == [one["uid"] for one in owned.body["metadata"]["ownerReferences"]]  # type: ignore[union-attr]


def test_a_claim_that_is_being_deleted_is_waited_for() -> None:
    """A pod that mounted it would keep it from ending for ever; the status says so."""
    world = make_world(1, **CLAIMS)
    world.act()
    world.claims["data-web-0"] = replace(world.claims["data-web-0"], deleting=True)
    world.act()

    assert ((), ()) == (world.last.tasks, world.last.claims)
    assert "web-0 waits until claim data-web-0 is deleted" in world.message("Ready")


def test_an_update_goes_one_by_one_from_the_highest() -> None:
    """Each old pod has gone before its successor comes, which is healthy before the next goes."""
    world = ready(3)
    world.edit(image="web:2")
    went, came = [], []
    for _ in range(12):
        step(world)
        went += [name for name, _ in left(world)]
        came += [task.name for task in world.last.tasks]
        assert len(world.standing()) >= 2

    assert (["web-2", "web-1", "web-0"],) * 2 == (went, came)
    assert "True:Ready" == world.condition("Ready")


def test_the_successor_waits_until_the_predecessor_has_gone() -> None:
    """Terminating, ended, out of reach: as long as its pod is stored there is no other."""
    world = ready(1)
    [pod] = world.standing()
    world.put(replace(pod, deleted_at=world.now + 30))
    world.hear()
    terminating = world.act().tasks
    world.put(replace(world.pods[pod.key], deleted_at=None, phase=Phase.FAILED, ready=False))
    world.hear()
    ended = world.act().tasks
    world.drop(world.pods[pod.key])
    world.hear()
    gone = world.act().tasks

    assert ((), (), ["web-0"]) == (terminating, ended, [task.name for task in gone])


def test_half_of_them_go_at_once_when_that_is_allowed() -> None:
    """The share in minimumHealthyPercent says how many may be without."""
    world = ready(4, updateStrategy={"minimumHealthyPercent": 50})
    world.edit(image="web:2")
    step(world)

    assert [("web-3", "outdated"), ("web-2", "outdated")] == left(world)


@pytest.mark.parametrize(
    ("replicas", "percent", "healthy"),
    [(3, 100, 2), (1, 100, 0), (0, 100, 0), (3, 50, 2), (3, 67, 2), (4, 50, 2), (10, 0, 0)],
)
def test_one_may_always_be_without(replicas: int, percent: int, healthy: int) -> None:
    """At 100 % too, or no update could begin."""
    assert Bounds(healthy, replicas) == in_place.bounds(replicas, percent)


def test_the_sick_one_is_updated_first() -> None:
    """It serves nobody: no healthy one has to go before it has its new template."""
    world = ready(3)
    world.put(replace(world.pods["default", "web-0"], ready=False, ready_since=world.now))
    world.edit(image="web:2")
    world.hear()
    world.act()

    assert [("web-0", "outdated")] == left(world)


def test_unready_ones_do_not_all_go_at_once() -> None:
    """A moment in which none is ready is no reason to stop them all."""
    world = ready(4)
    for pod in world.standing():
        world.put(replace(pod, ready=False, ready_since=world.now))
    world.edit(image="web:2")
    world.hear()
    world.act()

    assert [("web-3", "outdated")] == left(world)


def test_a_failing_update_stops_at_the_first() -> None:
    """The next goes only when the one before is healthy."""
    world = ready(3)
    world.edit(image="web:2")
    for _ in range(6):
        world.work(pod for pod in world.pods.values() if pod.terminating)
        world.hear()
        world.act()

    assert [2, 1] == sorted(world.images().values(), reverse=True)


def test_the_highest_go_when_it_shrinks_and_find_their_claims_again() -> None:
    """Retained claims wait; who comes back has the same name and the same claim."""
    world = ready(3)
    before = dict(world.claims)
    world.edit(replicas=1)
    step(world)
    gone = left(world)
    world.settle()
    small = (stands(world), dict(world.claims))
    world.edit(replicas=3)
    world.settle()

    assert [("web-2", "surplus"), ("web-1", "surplus")] == gone
    assert (["web-0"], before) == small
    assert (["web-0", "web-1", "web-2"], before) == (stands(world), world.claims)


def test_claims_go_with_a_scale_down_only_when_asked_and_after_the_pod() -> None:
    """whenScaled: Delete. The claims of ordinals that stay are not touched."""
    world = ready(3, **SCALED)
    world.edit(replicas=2)
    step(world)
    early = sorted(world.claims)
    world.settle()

    assert ["data-web-0", "data-web-1", "data-web-2"] == early
    assert ["data-web-0", "data-web-1"] == sorted(world.claims)


def test_a_claim_of_somebody_else_is_not_given_up() -> None:
    """Its name looks like ours, its label does not."""
    world = ready(1, **SCALED)
    world.claims["data-web-7"] = Claim("data-web-7", "u7")
    world.claims["data-web-8"] = Claim("data-web-8", "u8", service="other")
    world.claims["data-web-x"] = Claim("data-web-x", "ux", service="web")
    world.settle()

    assert ["data-web-0", "data-web-7", "data-web-8", "data-web-x"] == sorted(world.claims)


def test_claims_follow_the_policy_of_deletion() -> None:
    """They become the service's, and nobody's again; also those that wait for a larger service."""
    world = ready(2)
    world.edit(replicas=1)
    world.settle()
    world.edit(**DELETE)
    world.settle()
    owned = {name: claim.owners for name, claim in world.claims.items()}
    world.edit(persistentVolumeClaimRetentionPolicy={})
    world.settle()

    assert {name: {"uid-web"} for name in ("data-web-0", "data-web-1")} == owned
    assert [frozenset()] * 2 == [claim.owners for claim in world.claims.values()]


def test_a_silent_node_keeps_its_instance_until_its_pod_has_gone() -> None:
    """It is deleted when the time of `unreachable` is over, and replaced when it is really gone."""
    world = ready(2, unreachable={"replaceAfterSeconds": 60})
    node = world.pods["default", "web-1"].node
    for pod in world.standing():
        if pod.node == node and pod.name != "web-1":
            world.put(replace(pod, node="n9"))
    world.nodes["n9"] = make_node("n9")
    world.hear()
    world.silence(node)
    world.hear()
    early = world.act().deletes
    world.now += 61
    world.act()
    asked = left(world)
    world.now += 1000
    world.hear()
    still = world.act().tasks
    said = world.message("Ready")
    world.remove(node)
    world.collect()
    world.hear()
    world.act()

    assert () == early
    assert [("web-1", ordinals.SILENT)] == asked
    assert () == still
    assert f"web-1 is not made again before its pod on node {node}" in said
    assert ["web-1"] == [task.name for task in world.last.tasks]


def test_a_cordoned_node_keeps_its_instances() -> None:
    """There is no replacement first; who drains the node evicts them, one by one."""
    world = ready(3)
    for name in world.nodes:
        world.cordon(name)
    world.act()

    assert [] == left(world)


@pytest.mark.parametrize(
    ("mode", "replicas", "least"),
    [("Auto", 3, 2), ("Strict", 3, 2), ("None", 3, None), ("Strict", 1, None), ("Auto", 2, 1)],
)
def test_a_drain_takes_one_at_a_time(mode: str, replicas: int, least: int | None) -> None:
    """The budget lets one go, since nothing replaces it before."""
    world = ready(replicas, disruptionBudget=mode)
    found = world.children.get(("PodDisruptionBudget", "web"))
    applied = make_world(replicas, **CLAIMS, disruptionBudget=mode).act().objects
    budgets = [one.body["spec"]["minAvailable"] for one in applied if "minAvailable" in str(one)]

    assert ([] if least is None else [least], least is not None) == (budgets, found is not None)


def test_a_sick_one_is_replaced_when_nobody_is_on_the_way_up() -> None:
    """After `unhealthy.replaceAfterSeconds`; it has to go before its successor comes."""
    world = ready(3, unhealthy={"replaceAfterSeconds": 60})
    world.put(replace(world.pods["default", "web-1"], ready=False, ready_since=world.now))
    world.hear()
    world.now += 61
    world.act()
    gone, tasks = left(world), world.last.tasks

    assert ([("web-1", "unhealthy, replaced")], ()) == (gone, tasks)


def test_while_one_is_missing_no_sick_one_is_replaced() -> None:
    """The missing one waits for its claim: two would be without."""
    world = ready(2, unhealthy={"replaceAfterSeconds": 30})
    world.claims["data-web-1"] = replace(world.claims["data-web-1"], deleting=True)
    world.drop(world.pods["default", "web-1"])
    world.put(replace(world.pods["default", "web-0"], ready=False, ready_since=world.now))
    world.hear()
    world.now += 31
    world.act()

    assert () == world.last.deletes
    assert ["web-0"] == [pod.name for pod in world.standing()]


def test_a_canary_has_the_highest_ordinal() -> None:
    """A step's share is counted; an instance lost meanwhile comes back with the old template."""
    world = ready(4, updateStrategy={"steps": [{"percent": 25, "manual": True}]})
    old = world.service.template_hash
    world.edit(image="web:2")
    for _ in range(6):
        step(world)
    new = [pod.name for pod in world.standing() if pod.labels[names.TEMPLATE_HASH] != old]
    world.end(world.pods["default", "web-0"])
    for _ in range(6):
        step(world)

    assert ["web-3"] == new
    assert old == world.pods["default", "web-0"].labels[names.TEMPLATE_HASH]


def test_a_refused_template_keeps_what_runs() -> None:
    """And an instance that is lost meanwhile comes back with the template that is known to work."""
    world = ready(2)
    old = world.service.template_hash
    world.admission = replace(world.admission, refusal="InvalidTemplate")  # type: ignore[type-var]
    edited = make_service(replicas=2, image="web:2", generation=2, **CLAIMS)
    world.service = replace(edited, status=world.service.status)
    world.admission = replace(world.admission, template_hash=edited.template_hash)  # type: ignore[type-var]
    world.end(world.pods["default", "web-0"])
    for _ in range(4):
        step(world)

    assert {old: 2} == world.images()


class TestPod:
    def body(self, **more: Any) -> dict[str, Any]:
        mounts = [{"name": "data", "mountPath": "/data"}]
        pod = {
            "containers": [{"name": "web", "image": "web:1", "volumeMounts": mounts}],
            "volumes": [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
        }
        service = make_service("web", template={"spec": pod}, **CLAIMS, **more)
        return pod_builder.blueprint(service).pod(
            "web-1",
            labels={},
            annotations={},
            environment={},
            claims=(("data", "data-web-1"),),
            hostname="web-1",
        )

    def test_volumes(self) -> None:
        """The claim takes the place of a volume of its name; others stay."""
        assert [
            {"name": "tmp", "emptyDir": {}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "data-web-1"}},
        ] == self.body()["spec"]["volumes"]

    def test_a_sample_mounts_something(self) -> None:
        """What the API server is asked about has each volume, and no claim that is not there."""
        sample = pod_builder.blueprint(make_service("web", **CLAIMS)).pod(
            "x", labels={}, annotations={}, environment={}
        )

        assert [{"name": "data", "emptyDir": {}}] == sample["spec"]["volumes"]

    @pytest.mark.parametrize(("headless", "subdomain"), [(True, "web"), (False, None)])
    def test_names(self, headless: bool, subdomain: str | None) -> None:
        """A headless Service gives each a name in DNS."""
        port = {"name": "db", "port": 5432}
        spec = self.body(service={"ports": [port], "headless": headless})["spec"]

        assert ("web-1", subdomain) == (spec["hostname"], spec.get("subdomain"))


def test_long_names_stay_host_names() -> None:
    """A name that would be too long is cut, always in the same way; ordinals stay apart."""
    long = "a" * 63
    found = {ordinals.name_of(long, number) for number in (0, 9, 10, 99_999)}

    assert 4 == len(found)
    assert max(map(len, found)) <= 63
    assert found == {ordinals.name_of(long, number) for number in (0, 9, 10, 99_999)}


def test_the_order_is_that_of_the_ordinals() -> None:
    """Not that in which they came: a lower one that was made again is the newest pod."""
    world = ready(3)
    for name in ("web-0", "web-1", "web-2"):
        world.end(world.pods["default", name])
        for _ in range(3):
            step(world)
    world.edit(image="web:2")
    step(world)

    assert [("web-2", "outdated")] == left(world)


def test_a_step_takes_no_more_than_its_share() -> None:
    """Though more could be without at once."""
    steps = [{"percent": 25, "manual": True}]
    world = ready(4, updateStrategy={"steps": steps, "minimumHealthyPercent": 50})
    world.edit(image="web:2")
    step(world)

    assert [("web-3", "outdated")] == left(world)


def test_while_an_update_fails_others_come_back_as_they_were() -> None:
    """No more ordinals get a template of which no pod is healthy than may be without."""
    world = ready(3)
    old = world.service.template_hash
    world.edit(image="web:2")
    step(world)
    step(world)
    world.hear()
    new = world.pods["default", "web-2"]
    crash = Ending(exit_code=1, finished_at=world.now)
    world.put(replace(new, phase=Phase.FAILED, ready=False, ending=crash))
    world.end(world.pods["default", "web-0"])
    for _ in range(3):
        world.work(pod for pod in world.standing() if pod.name != "web-2")
        world.work(pod for pod in world.pods.values() if pod.terminating)
        world.hear()
        world.act()

    assert new.labels[names.TEMPLATE_HASH] != old
    assert old == world.pods["default", "web-0"].labels[names.TEMPLATE_HASH]


def test_no_data_goes_while_much_of_the_cluster_is_silent() -> None:
    """The brake holds claims as it holds instances."""
    world = running(3, nodes=6, **CLAIMS, **SCALED)
    world.edit(replicas=1)
    step(world)
    world.work()
    for name in list(world.nodes)[:3]:
        world.silence(name)
    world.hear()
    world.act()

    assert ["web-0"] == stands(world)
    assert ["data-web-0", "data-web-1", "data-web-2"] == sorted(world.claims)


def kept_on(world: World, *nodes: str) -> None:
    """Each instance's volume exists on its node only, or on these nodes as well."""
    for pod in world.standing():
        here = requirements.requirement("In", [pod.node, *nodes])
        [claim] = [name for name in world.claims if name.endswith(pod.name)]
        term = requirements.Term((("kubernetes.io/hostname", here),))
        world.claims[claim] = replace(world.claims[claim], terms=(term,))


class TestVolumesOnOneNode:
    def test_an_update_ends_nobody_who_could_not_come_back(self) -> None:
        """The node is cordoned: the others get the new template; this one waits, as it says."""
        world = ready(3)
        kept_on(world)
        node = world.pods["default", "web-1"].node
        world.cordon(node)
        world.edit(image="web:2")
        for _ in range(20):
            step(world)
            world.now += 100
        new = world.service.template_hash

        assert {"web-0", "web-2"} == {
            pod.name for pod in world.standing() if pod.labels[names.TEMPLATE_HASH] == new
        }
        assert ["web-0", "web-1", "web-2"] == stands(world)
        assert "Unknown:VolumeOnLeavingNode" == world.condition("Progressing")
        assert f"web-1 keeps its template as long as node {node} lets no pod in" in world.message(
            "Progressing"
        )

        world.cordon(node, unschedulable=False)
        world.settle()
        assert {new: 3} == world.images()
        assert "True:RolledOut" == world.condition("Progressing")

    def test_an_evicted_instance_gets_the_new_template(self) -> None:
        """Whoever evicts it has decided; it starts again when the node lets it in."""
        world = ready(1)
        kept_on(world)
        node = world.pods["default", "web-0"].node
        world.cordon(node)
        world.edit(image="web:2")
        step(world)
        before = stands(world)
        world.end(world.pods["default", "web-0"])
        step(world)
        world.cordon(node, unschedulable=False)
        world.settle()

        assert ["web-0"] == before
        assert {world.service.template_hash: 1} == world.images()

    def test_a_volume_that_another_node_may_mount_holds_up_nothing(self) -> None:
        world = ready(1)
        kept_on(world, "n0", "n1", "n2")
        world.cordon(world.pods["default", "web-0"].node)
        world.edit(image="web:2")
        world.settle()

        assert {world.service.template_hash: 1} == world.images()
