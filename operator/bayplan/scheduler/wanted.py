"""A task on its way through a cycle."""

from dataclasses import dataclass

from bayplan.api.pod_builder import Blueprint
from bayplan.api.resource import Resource
from bayplan.model.intents import Task
from bayplan.model.workloads import PodClass


@dataclass(frozen=True, slots=True)
class Wanted:
    """A task that has no pod yet: its resource, the blueprint of its pod, and its class."""

    resource: Resource
    task: Task
    blueprint: Blueprint
    kind: PodClass
