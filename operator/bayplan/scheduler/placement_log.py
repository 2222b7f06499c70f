"""Logs what a cycle placed: a line for each new pod, or one line for all pods of a resource."""

from collections.abc import Mapping

from bayplan import logs
from bayplan.api.resource import Key
from bayplan.model.workloads import Plan, TaskKey


def placed(plan: Plan, owners: Mapping[TaskKey, Key], cycle: int) -> None:
    """`owners` are the owners of the new pods that are to be logged."""
    nodes: dict[Key, dict[TaskKey, str]] = {}
    for key, node in plan.placements.items():
        if key in owners:
            nodes.setdefault(owners[key], {})[key] = node
    for refused in plan.refused:
        for key in refused.keys:
            if key in owners and not refused.funnel.defect:
                nodes.setdefault(owners[key], {})[key] = ""
    logs.say_placed(cycle, nodes)
