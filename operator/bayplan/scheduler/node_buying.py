"""The part of the loop that buys nodes, as the loop sees it."""

from collections.abc import Sequence
from typing import Protocol

from bayplan.api.resource import Resource
from bayplan.model.departures import Departures
from bayplan.model.workloads import Backlog, Plan, PodClass, Waiting
from bayplan.scheduler.commit import Patience


class NodeBuying(Protocol):
    """Every method returns at once."""

    def planned(self) -> Backlog:
        """Which pods the nodes were bought for that have joined lately."""

    def patience(self, kind: PodClass) -> Patience | None:
        """How long pods of a class wait for a node that is bought; None if none is bought."""

    def departures(self, resource: Resource) -> Departures:
        """Which instances of the resource leave first, by the plan of its Pool."""

    def see(self, waiting: Sequence[Waiting], plan: Plan | None) -> None:
        """A cycle has ended: what waited, and its plan. The plan is None if nothing waited."""
