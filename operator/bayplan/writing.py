"""What the loop asks of whoever writes."""

from collections.abc import Mapping
from typing import Any, Protocol

from bayplan.api.resource import Resource
from bayplan.model.pods import Pod
from bayplan.reconcile import action


class Writing(Protocol):
    """What the loop asks of the writer; each returns at once, the write follows."""

    def carry_out(self, resource: Resource, outcome: action.Outcome) -> None: ...

    def create(self, resource: Resource, planned: Pod, body: Mapping[str, Any]) -> None: ...

    def bind(self, wanted: action.Bind) -> None: ...

    def select(self, wanted: action.SelectNode) -> None: ...

    def mark(self, wanted: action.MarkUnschedulable) -> None: ...

    def delete(self, wanted: action.DeletePod) -> None: ...

    def release(self, wanted: action.ReleasePod) -> None: ...
