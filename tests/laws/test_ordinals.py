"""Laws of instances with identity: two never share an ordinal, no claim is lost, all come back.

The checks count by themselves, from the world's own pods and claims; the operator sees pods late.
"""

from collections import Counter
from dataclasses import replace
from math import ceil
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from bayplan.api import names
from bayplan.model import intents
from bayplan.model.pods import Pod
from tests.builders import make_node
from tests.laws.troubles import LIVES, NODES, Troubles, which_node, which_pod
from tests.services import World, make_world

PATIENCE = 60
TEMPLATES = [
    {
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    for name in ("data", "logs")
]

OWN_ACTS = {"outdated"}


class Ordinals(Troubles):
    """A service with volumes of its own, in a cluster in which everything can go wrong."""

    world: World
    strategy: dict[str, Any]
    claims: dict[str, str]  # name -> uid of every claim that has ever been
    deletes: bool  # whether claims may go with a scale-down

    @initialize(
        replicas=st.integers(0, 5),
        minimum=st.sampled_from([0, 50, 100]),
        min_ready=st.sampled_from([0, 10]),
        sick_after=st.sampled_from([None, 30]),
        scaled=st.sampled_from(["Retain", "Retain", "Delete"]),
    )
    def begin(
        self, *, replicas: int, minimum: int, min_ready: int, sick_after: int | None, scaled: str
    ) -> None:
        self.strategy = {"minimumHealthyPercent": minimum, "minReadySeconds": min_ready}
        self.deletes = scaled == "Delete"
        self.claims = {}
        self.world = make_world(
            replicas,
            NODES,
            updateStrategy=self.strategy,
            unhealthy={} if sick_after is None else {"replaceAfterSeconds": sick_after},
            unreachable={"replaceAfterSeconds": PATIENCE},
            volumeClaimTemplates=TEMPLATES,
            persistentVolumeClaimRetentionPolicy={"whenScaled": scaled},
        )

    # People.

    @rule(image=st.integers(1, 3))
    def update(self, image: int) -> None:
        self.world.edit(image=f"web:{image}")

    @rule(replicas=st.integers(0, 5))
    def scale(self, replicas: int) -> None:
        self.world.edit(replicas=replicas)

    @rule(paused=st.booleans(), percent=st.sampled_from([None, 20, 60]))
    def stage(self, *, paused: bool, percent: int | None) -> None:
        steps = [] if percent is None else [{"percent": percent, "manual": True}]
        self.world.edit(updateStrategy={**self.strategy, "paused": paused, "steps": steps})

    @rule(when=st.sampled_from(["Retain", "Delete"]))
    def bequeath(self, when: str) -> None:
        scaled = "Delete" if self.deletes else "Retain"
        policy = {"whenDeleted": when, "whenScaled": scaled}
        self.world.edit(persistentVolumeClaimRetentionPolicy=policy)

    @rule(number=which_pod, gone=st.booleans())
    def lose_a_claim(self, number: int, *, gone: bool) -> None:
        """Somebody deletes one; it ends once nothing mounts it."""
        name = f"data-web-{number}"
        claim = self.world.claims.get(name)
        if claim is None:
            return
        mounted = ("default", f"web-{number}") in self.world.pods
        if gone and claim.deleting and not mounted:
            del self.world.claims[name]
            del self.claims[name]
        else:
            self.world.claims[name] = replace(claim, deleting=True)

    # Nodes.

    @rule(name=which_node)
    def join(self, name: str) -> None:
        self.world.collect()
        self.world.nodes.setdefault(name, make_node(name))

    @rule()
    def calm_down(self) -> None:
        """In the end ordinals 0 … n-1 are there, ready, each with its claims, and no other."""
        world = self.world
        world.edit(updateStrategy=self.strategy)
        world.nodes.setdefault("n0", make_node("n0"))
        for name in list(world.nodes):
            world.revive(name)
            world.cordon(name, unschedulable=False)
        world.collect()
        for name, claim in list(world.claims.items()):
            if claim.deleting:  # who asked for that thinks better of it
                world.claims[name] = replace(claim, deleting=False)
        world.now += 700  # whatever a mass loss held up goes on
        world.settle(400, self.check)
        n = world.spec.replicas
        standing = world.standing()

        assert intents.Outcome() == replace(world.last, wake_at=None)
        assert [f"web-{number}" for number in range(n)] == [pod.name for pod in standing]
        assert all(pod.ready and pod.node for pod in standing)
        wanted = {f"{t['metadata']['name']}-web-{i}" for t in TEMPLATES for i in range(n)}
        assert wanted <= world.claims.keys()
        assert not self.deletes or wanted == world.claims.keys()
        owned = {bool(claim.owners) for claim in world.claims.values()}
        policy = world.spec.persistent_volume_claim_retention_policy.when_deleted
        assert owned <= {policy == "Delete"}
        if world.condition("Ready") != "False:RolledBack":
            hashes = {pod.labels[names.TEMPLATE_HASH] for pod in standing}
            assert hashes <= {world.service.template_hash}
            assert world.condition("Ready").startswith("True")

    @invariant()
    def no_two_of_an_ordinal(self) -> None:
        counts = Counter(pod.labels[names.POD_INDEX] for pod in self.world.pods.values())
        assert all(count == 1 for count in counts.values())

    @invariant()
    def no_claim_is_lost(self) -> None:
        """Whatever has been made is there, as the same object; beyond the ordinals it may go."""
        for name, uid in list(self.claims.items()):
            claim = self.world.claims.get(name)
            if claim is None and self.deletes:
                assert int(name.rpartition("-")[2]) >= self.world.spec.replicas
                del self.claims[name]
            else:
                assert claim is not None
                assert claim.uid == uid
        self.claims = {name: claim.uid for name, claim in self.world.claims.items()}

    def check(self, outcome: intents.Outcome) -> None:
        world, shown = self.world, self.world.visible()
        for task in outcome.tasks:
            number = task.labels[names.POD_INDEX]
            assert int(number) < world.spec.replicas
            assert all(pod.labels[names.POD_INDEX] != number for pod in shown.values())
            for volume, claim in task.claims:
                assert f"{volume}-web-{number}" == claim
                assert not world.claims[claim].deleting
        dropped = {act.name for act in outcome.claims if isinstance(act, intents.DropClaim)}
        for name in dropped:
            number = name.rpartition("-")[2]
            assert self.deletes
            assert int(number) >= world.spec.replicas
            assert all(pod.labels[names.POD_INDEX] != number for pod in shown.values())
            self.claims.pop(name, None)
        self._check_minimum(outcome, shown)

    def _check_minimum(self, outcome: intents.Outcome, shown: dict[tuple[str, str], Pod]) -> None:
        """An update lets no more go than the strategy lets; one at a time it always may."""
        n = self.world.spec.replicas
        inside = [pod for pod in shown.values() if int(pod.labels[names.POD_INDEX]) < n]
        minimum = min(ceil(n * self.strategy["minimumHealthyPercent"] / 100), n - 1)
        gone = {delete.uid for delete in outcome.deletes if delete.why in OWN_ACTS}
        healthy = [pod for pod in inside if self._healthy(pod)]
        left = [pod for pod in healthy if pod.uid not in gone]
        assert len(left) == len(healthy) or len(left) >= minimum
        standing = [pod for pod in inside if not pod.terminal and pod.deleted_at is None]
        assert not gone or len(standing) - len(gone) >= minimum

    def _healthy(self, pod: Pod) -> bool:
        node = self.world.nodes.get(pod.node)
        if not pod.ready or pod.terminal or pod.deleted_at is not None or pod.ready_since is None:
            return False
        answers = node is not None and node.ready
        return answers and pod.ready_since + self.strategy["minReadySeconds"] <= self.world.now


TestOrdinals = Ordinals.TestCase
TestOrdinals.settings = LIVES
