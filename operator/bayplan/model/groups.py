"""Auto Scaling groups of AWS, from which a Pool may have its nodes, and their instances."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bayplan.model.node_claims import Offering
from bayplan.model.nodes import Taint

_IN_SERVICE = "InService"
_GOING = ("Terminat", "Detach")  # beginnings of the states of an instance that leaves its group


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance of a group; `state` is its place in the life cycle, in AWS's words."""

    id: str
    type: str
    zone: str
    state: str = _IN_SERVICE

    @property
    def in_service(self) -> bool:
        """Whether the group counts it among the instances that serve."""
        return self.state == _IN_SERVICE

    @property
    def going(self) -> bool:
        return self.state.startswith(_GOING)

    @property
    def provider_id(self) -> str:
        """The name that its Node has for it in `spec.providerID`."""
        return f"aws:///{self.zone}/{self.id}"


@dataclass(frozen=True, slots=True)
class Group:
    """A group as AWS describes it.

    `types` are the instance types that it may launch, the first one first; `sizes` are the
    different sums of CPUs (milli) and memory (bytes) that these have. `unknown` are types that
    nobody knows the size of. `spot` is None if it launches both spot and on demand. `labels` and
    `taints` are what its tags say of its nodes, in the form that the Cluster Autoscaler reads too.
    `open` is by how many instances the desired size is below the greatest.
    """

    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    template: bool = True  # whether it launches from a launch template
    types: tuple[str, ...] = ()
    sizes: frozenset[tuple[int, int]] = frozenset()
    unknown: tuple[str, ...] = ()
    weighted: bool = False  # whether its sizes count something else than instances
    by_attributes: bool = False  # whether AWS chooses the types by requirements
    zones: tuple[str, ...] = ()
    spot: bool | None = False
    desired: int = 0
    least: int = 0
    most: int = 0
    protects: bool = True  # new instances are protected from scale-in
    suspended: frozenset[str] = frozenset()
    instances: tuple[Instance, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    deleting: bool = False

    @property
    def staying(self) -> int:
        """How many of its instances do not leave."""
        return sum(not one.going for one in self.instances)

    @property
    def open(self) -> int:
        return max(self.most - max(self.desired, self.staying), 0)

    @property
    def offering(self) -> Offering:
        """What it launches; only of a group that is fit."""
        return self.types[0], self.zones[0], "spot" if self.spot else "on-demand"


@dataclass(frozen=True, slots=True)
class UnfitGroup:
    """A group that nothing is bought through; `why` is a sentence that names the remedy."""

    name: str
    reason: str
    why: str

    def __str__(self) -> str:
        return f"Group {self.name}: {self.why}"


@dataclass(frozen=True, slots=True)
class PoolGroups:
    """The groups of a Pool as AWS described them last."""

    fit: tuple[Group, ...] = ()
    unfit: tuple[UnfitGroup, ...] = ()


@dataclass(frozen=True, slots=True)
class LaunchFault:
    """Why instances were not launched: AWS's code, such as InsufficientInstanceCapacity."""

    code: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Launched:
    """The answer to a launch: the instances that there are now, and why others are not."""

    instances: tuple[Instance, ...] = ()
    faults: tuple[LaunchFault, ...] = ()
