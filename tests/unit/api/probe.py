"""The models of the kind Probe, which `test_kinds` adds to a copy of the product."""

from typing import Annotated, Any

from pydantic import Field

from bayplan.api.meta import Column, Definition, Part, Placement, WorkloadSpec
from bayplan.api.template import InstanceTemplate


class ProbeSpec(WorkloadSpec):
    """What a probe runs."""

    target: str = Field(max_length=100, description="What is looked at.")
    placement: Placement = Field(default_factory=Placement, description="Where it may be.")
    template: Annotated[dict[str, Any], InstanceTemplate] = Field(description="Its pod.")


class ProbeStatus(Part):
    """What a probe has found."""

    found: str = Field(default="", max_length=100, description="What was seen.")


DEFINITION = Definition(
    description="A look at something.",
    spec=ProbeSpec,
    status=ProbeStatus,
    columns=(Column("Found", ".status.found"),),
    rules=(),
)
