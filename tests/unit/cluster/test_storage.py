"""What claims, volumes and classes say together, and what nodes may attach."""

from collections.abc import Callable

import pytest

from bayplan.cluster import volumes
from bayplan.cluster.volumes import StorageClass, Volume, VolumeClaim
from bayplan.model import requirements
from bayplan.model.pods import Claim
from tests.unit.cluster.held import Held


class TestVolumes:
    ZONE = (requirements.Term((("zone", requirements.requirement("In", ["a"])),)),)

    def claim(self, *acts: Callable[[Held], None]) -> Claim:
        held = Held()
        for act in acts:
            act(held)
        return held.cache.state.claims["default", "data"]

    def bound(self, held: Held) -> None:
        held.put("PersistentVolumeClaim", "data", VolumeClaim("v1", "gp3"))

    def unbound(self, held: Held) -> None:
        held.put("PersistentVolumeClaim", "data", VolumeClaim("", "gp3"), 9)

    def default(self, held: Held) -> None:
        held.put("PersistentVolumeClaim", "data", VolumeClaim("", None), 9)

    def volume(self, held: Held) -> None:
        held.put("PersistentVolume", "v1", Volume(self.ZONE, "ebs", "vol"), 10, "")

    def lazy(self, held: Held) -> None:
        held.put("StorageClass", "gp3", StorageClass(True, True, self.ZONE, "ebs"), 10, "")

    def eager(self, held: Held) -> None:
        held.put("StorageClass", "gp3", StorageClass(waits=False), 10, "")

    def test_bound(self) -> None:
        """A bound claim goes where its volume is; the order of arrival does not matter."""
        wanted = Claim("data", "uid-data", terms=self.ZONE, driver="ebs", handle="vol", made=True)

        assert wanted == self.claim(self.bound, self.volume)
        assert wanted == self.claim(self.volume, self.bound)
        assert wanted == self.claim(self.lazy, self.unbound, self.volume, self.bound)

    def test_unbound(self) -> None:
        """A claim that waits for its consumer may go where its class allows."""
        wanted = Claim("data", "uid-data", terms=self.ZONE, unbound=True, driver="ebs")

        assert wanted == self.claim(self.unbound, self.lazy)
        assert wanted == self.claim(self.default, self.lazy)

    def test_missing(self) -> None:
        """Where somebody else has to act first, the pod cannot run yet."""
        for acts in ([self.bound], [self.unbound], [self.unbound, self.eager], [self.default]):
            assert self.claim(*acts).missing

    def test_rings(self) -> None:
        """A claim that becomes usable rings; one that goes is no claim any more."""
        held = Held()
        self.bound(held)
        held.bell.silence()
        self.volume(held)

        assert 1 == held.bell.placement

        held.gone("PersistentVolumeClaim", "data")

        assert {} == held.cache.state.claims

    def test_one_that_is_about_to_be_bound(self) -> None:
        """It is made for the chosen node; until it is bound the node still counts."""
        held = Held()
        self.lazy(held)
        self.volume(held)
        held.put("PersistentVolumeClaim", "data", VolumeClaim("v1", "gp3", "Pending", "n1"))
        binding = held.cache.state.claims["default", "data"]
        held.put("PersistentVolumeClaim", "data", VolumeClaim("v1", "gp3", "Bound", "n1"), 11)
        bound = held.cache.state.claims["default", "data"]

        assert (True, True, "n1") == (binding.unbound, binding.made, binding.selected)
        assert (False, "", self.ZONE) == (bound.unbound, bound.selected, bound.terms)

    @pytest.mark.parametrize(
        ("claim", "why"),
        [
            (VolumeClaim("", "gp3", deleting=True), "it is being deleted"),
            (VolumeClaim("v1", "gp3", "Lost"), "its volume is lost"),
            (VolumeClaim("v2", "gp3", "Pending"), "it waits for volume v2"),
            (VolumeClaim("", "other"), "there is no StorageClass other"),
            (
                VolumeClaim("", ""),
                "it waits for a volume that fits, since its StorageClass is empty",
            ),
            (VolumeClaim("", None), "it names no StorageClass and none is the default"),
            (VolumeClaim("", "eager"), "it waits for its volume to be made"),
            (
                VolumeClaim("", "local"),
                "its StorageClass makes no volumes; name one in volumeName",
            ),
        ],
    )
    def test_why_it_cannot_be_mounted(self, claim: VolumeClaim, why: str) -> None:
        """One sentence says what is lacking."""
        held = Held()
        self.volume(held)
        none = "kubernetes.io/no-provisioner"
        held.put("StorageClass", "gp3", StorageClass(waits=True), 10, "")
        held.put("StorageClass", "eager", StorageClass(waits=False), 10, "")
        held.put("StorageClass", "local", StorageClass(waits=True, provisioner=none), 10, "")
        held.put("PersistentVolumeClaim", "data", claim)

        assert (True, why) == (
            held.cache.state.claims["default", "data"].missing,
            held.cache.state.claims["default", "data"].why,
        )

    def test_a_node_that_is_given_back(self) -> None:
        """Whoever takes the chosen node off again could make no volume there."""
        held = Held()
        self.lazy(held)
        for version, claim in enumerate(
            (VolumeClaim("", "gp3", selected="n1"), VolumeClaim("", "gp3")), start=10
        ):
            held.put("PersistentVolumeClaim", "data", claim, version)

        assert {("default", "data"): "n1"} == held.cache.storage.given_back

        held.cache.storage.given_back.clear()
        for version, claim in enumerate(
            (VolumeClaim("", "gp3", selected="n1"), VolumeClaim("v1", "gp3")), start=12
        ):
            held.put("PersistentVolumeClaim", "data", claim, version)

        assert {} == held.cache.storage.given_back

        held.gone("PersistentVolumeClaim", "data")

        assert {} == held.cache.storage.given_back

    def test_a_choice_counts_before_it_is_seen(self) -> None:
        """And no more once its write has failed."""
        held = Held()
        self.lazy(held)
        self.unbound(held)
        key = "default", "data"
        held.cache.storage.assume_selected(key, "n1")
        chosen = held.cache.state.claims[key].selected
        held.cache.storage.forget(key)

        assert ("n1", "") == (chosen, held.cache.state.claims[key].selected)

    def test_a_deletion_counts_before_it_is_seen(self) -> None:
        """No pod is made for a claim that is to go; a refusal takes that back."""
        held = Held()
        self.volume(held)
        self.bound(held)
        key = "default", "data"
        held.cache.storage.assume_leaving(key)
        going = held.cache.state.claims[key]
        held.cache.storage.forget(key)
        stays = held.cache.state.claims[key]

        assert ((True, True), (False, False)) == (
            (going.deleting, going.missing),
            (stays.deleting, stays.missing),
        )


def test_attach_limits() -> None:
    """How many volumes a node takes, until it goes."""
    held = Held()
    held.put("CSINode", "n1", volumes.CsiNode({"ebs": 25}), 10, "")

    assert {"n1": {"ebs": 25}} == held.cache.state.attach_limits

    held.gone("CSINode", "n1", 99, "")

    assert {} == held.cache.state.attach_limits
