"""A NodeClaim of Karpenter: an order for one node, and what became of it.

Its life, and the conditions in which Karpenter's core shows it: kubernetes-sigs/karpenter v1.14.1,
pkg/apis/v1/nodeclaim_status.go and pkg/controllers/nodeclaim/lifecycle.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from bayplan.model import resources
from bayplan.model.nodes import CAPACITY_TYPE, INSTANCE_TYPE, ZONE

Offering = tuple[str, str, str]  # instance type, zone, capacity type


class ClaimState(enum.Enum):
    """Where a claim stands on its way from an order to a node and back."""

    REQUESTED = "Requested"  # written; the cloud has not answered yet
    LAUNCHED = "Launched"  # there is an instance
    REGISTERED = "Registered"  # its node has joined, and is not ready for pods yet
    USABLE = "Usable"  # pods may be bound to its node
    RETIRING = "Retiring"  # it is being deleted


@dataclass(frozen=True, slots=True)
class NodeClaim:
    """A claim as the API server has it.

    `pool` is the Bayplan Pool and `node_pool` the NodePool that its labels name; each may be empty.
    `types`, `zones` and `capacity_types` are the values that it accepts (empty: any). `labels` of a
    launched claim say what was got. `provider_id` and `node` are empty until there is an instance,
    and a node. `allocatable` is Karpenter's estimate, then the node's own. `problem` says why there
    is no instance yet, if the provider gave a reason. `assumed`: its CREATE is under way, and no
    event has shown it. `group` is the Auto Scaling group of an instance that is bought without
    Karpenter; then there is no object of this name.
    """

    name: str
    uid: str = ""
    pool: str = ""
    node_pool: str = ""
    types: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    capacity_types: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    created_at: int = 0  # epoch seconds
    provider_id: str = ""
    node: str = ""
    allocatable: resources.Vector = resources.NOTHING
    registered: bool = False
    initialized: bool = False
    deleting: bool = False
    problem: str = ""
    assumed: bool = False
    group: str = ""

    @property
    def state(self) -> ClaimState:
        if self.deleting:
            return ClaimState.RETIRING
        if self.initialized:
            return ClaimState.USABLE
        if self.registered:
            return ClaimState.REGISTERED
        return ClaimState.LAUNCHED if self.provider_id else ClaimState.REQUESTED

    @property
    def got(self) -> Offering | None:
        """The type, zone and capacity type of its instance; None while there is no instance."""
        if not self.provider_id:
            return None
        told = (self.labels.get(key, "") for key in (INSTANCE_TYPE, ZONE, CAPACITY_TYPE))
        kind, zone, capacity = told
        return kind, zone, capacity
