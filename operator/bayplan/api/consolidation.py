"""`spec.consolidation` of a Pool: when its pods move so that it needs fewer or cheaper nodes."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from bayplan.api.meta import Flag, Integer, Part, crd
from bayplan.api.schedule_text import CRON_RULES, TIME_ZONE_RULE

MOST_WINDOWS = 16
_DAY = 86_400
_MOST_NODES = 100_000
_PERCENT = r"^(100|[1-9]?[0-9])%$"


def _nodes_or_percent(value: Any) -> Any:
    """The value if it is a number of nodes or a percentage; else an error with the remedy."""
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_NODES
    if whole or (isinstance(value, str) and re.fullmatch(_PERCENT, value)):
        return value
    raise ValueError(
        f"must be a number of nodes from 0 to {_MOST_NODES}, or a percentage from 0% to 100%; "
        "write 3 or 10%"
    )


NodesOrPercent = Annotated[
    int | str,
    BeforeValidator(_nodes_or_percent),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "minimum": 0,
            "maximum": _MOST_NODES,
            "maxLength": 4,
            "pattern": _PERCENT,
            **crd(int_or_string=True),
        }
    ),
]


class Window(Part):
    """A time in which pods may be moved, again and again."""

    schedule: str = Field(
        min_length=1,
        max_length=256,
        description=(
            "When it begins: five cron fields (minute hour day-of-month month day-of-week), "
            "@hourly, @daily, @midnight, @weekly, @monthly or @yearly."
        ),
        json_schema_extra=crd(validations=list(CRON_RULES)),
    )
    duration_seconds: Integer = Field(
        ge=60, le=7 * _DAY, description="How many seconds it lasts each time."
    )
    time_zone: str = Field(
        default="UTC",
        min_length=1,
        max_length=64,
        description="IANA time zone of the schedule, such as Europe/Berlin.",
        json_schema_extra=crd(validations=[TIME_ZONE_RULE]),
    )


class Consolidation(Part):
    """When pods move so that nodes can be given back, with mode BuyAndConsolidate."""

    horizon_seconds: Integer = Field(
        default=3600,
        ge=60,
        le=_DAY,
        description=(
            "A plan is carried out if within so many seconds it saves one and a half times "
            "what it costs: its moves, and new nodes beside the old ones."
        ),
    )
    move_microdollars: Integer = Field(
        default=2000,
        ge=0,
        le=1_000_000_000,
        description="What the move of one pod counts, in millionths of a dollar.",
    )
    minimum_node_age_seconds: Integer = Field(
        default=600,
        ge=0,
        le=_DAY,
        description="A node that is younger is not emptied.",
    )
    minimum_stay_seconds: Integer = Field(
        default=1800,
        ge=0,
        le=_DAY,
        description="A pod that has run for less is not moved.",
    )
    maximum_draining: NodesOrPercent = Field(
        default="10%",
        description=(
            "How many nodes may be emptied by moves at the same time: a number, or a percentage of "
            "the pool's nodes, rounded up. With 0 or 0% no pod is moved."
        ),
    )
    maximum_moves_per_hour: Integer = Field(
        default=600,
        ge=0,
        le=100_000,
        description="How many pods may be moved within an hour. With 0 no pod is moved.",
    )
    batch_wait_seconds: Integer = Field(
        default=1800,
        ge=0,
        le=_DAY,
        description=(
            "A node is closed if its runs are expected to end within so many seconds; runs are "
            "waited for, and only ended if their BatchJob is `interruptible`."
        ),
    )
    windows: tuple[Window, ...] = Field(
        default=(),
        max_length=MOST_WINDOWS,
        description=(
            "When pods may begin to move; absent or empty: at any time. What leaves by itself, "
            "such as a run that ends, is not bound to a window."
        ),
        json_schema_extra=crd(list_type="atomic"),
    )
    deletion_cost: Flag = Field(
        default=False,
        description=(
            "True: pods of ReplicaSets on nodes that are to be given back get the annotation "
            "controller.kubernetes.io/pod-deletion-cost, so that a scale-down takes them first."
        ),
    )

    def draining_nodes(self, nodes: int) -> int:
        """How many of so many nodes may be emptied by moves at the same time.

        A percentage is rounded up, as in the budgets of Karpenter's NodePools.
        """
        stated = self.maximum_draining
        if isinstance(stated, int):
            return stated
        return -(-nodes * int(stated[:-1]) // 100)
