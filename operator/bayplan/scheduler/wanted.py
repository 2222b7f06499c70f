"""A task on its way through a cycle."""

from dataclasses import dataclass

from bayplan.api.pod_builder import Blueprint
from bayplan.api.resource import Resource
from bayplan.model.intents import Task
from bayplan.model.workloads import PodClass


@dataclass(frozen=True, slots=True)
class Wanted:
    """A task that has no pod yet: whose it is, how its pod is built, and what class it is of."""

    resource: Resource
    task: Task
    blueprint: Blueprint
    kind: PodClass
