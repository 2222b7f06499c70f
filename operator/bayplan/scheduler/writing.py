"""What the loop asks of the writer."""

from collections.abc import Mapping
from typing import Any, Protocol

from bayplan.api.resource import Resource
from bayplan.model import intents
from bayplan.model.pods import Pod


class Writing(Protocol):
    """The writer, as the loop sees it: each call returns at once, and the write follows."""

    def carry_out(self, resource: Resource, outcome: intents.Outcome) -> None: ...

    def create(self, resource: Resource, planned: Pod, body: Mapping[str, Any]) -> None: ...

    def bind(self, wanted: intents.Bind) -> None: ...

    def select(self, wanted: intents.SelectNode) -> None: ...

    def mark(self, wanted: intents.MarkUnschedulable) -> None: ...

    def delete(self, wanted: intents.DeletePod) -> None: ...

    def release(self, wanted: intents.ReleasePod) -> None: ...
