"""Fields of the statuses of all kinds: conditions, the generation they answer, requests of a pod.

These are types of fields. Each kind declares the fields itself, at its own place among its other
fields: definitions show them in this order.
"""

from typing import Annotated

from pydantic import Field

from bayplan.api.meta import Condition, EffectiveRequests, Long, PlacementStatus, crd

Conditions = Annotated[
    tuple[Condition, ...],
    Field(max_length=16, json_schema_extra=crd(list_type="map", list_map_keys=["type"])),
]
ObservedGeneration = Annotated[
    Long | None, Field(description="The generation of the spec that this status answers.")
]
RequestsOfOnePod = Annotated[
    EffectiveRequests | None, Field(description="What one pod really asks for.")
]
WaitingPods = Annotated[
    PlacementStatus | None, Field(description="Why something waits; absent while nothing does.")
]
