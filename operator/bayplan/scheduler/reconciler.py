"""Asks the reconcile function of a resource, hands over what it wants, and keeps its tasks.

One resource at which a defect of Bayplan is met must not stop the others: its status shows the
defect, and it is looked at again later.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.api import names, placement_rules
from bayplan.api.resource import Key, Resource
from bayplan.cluster.cache import Cache
from bayplan.model import intents
from bayplan.model.workloads import EligibleNodes, PodClass
from bayplan.reconcile import defect
from bayplan.scheduler import classes, refused_writes
from bayplan.scheduler.admission import Admissions
from bayplan.scheduler.cycle_metrics import CycleMetrics
from bayplan.scheduler.deciders import Decide
from bayplan.scheduler.explain_status import ExplainStatus
from bayplan.scheduler.pod_templates import PodTemplates
from bayplan.scheduler.queue import Queue
from bayplan.scheduler.set_aside import DEFECT_SECONDS, SetAside
from bayplan.scheduler.views import Views
from bayplan.scheduler.wanted import Wanted
from bayplan.scheduler.writing import Writing


@dataclass(slots=True, eq=False)
class Reconciler:
    """`acts` is False where nothing is to be written; `eligible` finds the nodes for a class."""

    cache: Cache
    writer: Writing
    admissions: Admissions
    queue: Queue
    views: Views
    pod_templates: PodTemplates
    explain_status: ExplainStatus
    cycle_metrics: CycleMetrics
    set_aside: SetAside
    deciders: Mapping[str, Decide]
    eligible: Callable[[PodClass], EligibleNodes]
    acts: bool
    on_nodes: set[Key] = field(default_factory=set)  # depend on the nodes, not on their pods alone

    def look(self, key: Key, now: int) -> Iterable[Wanted]:
        """The tasks of a resource that have no pod yet; all else it wants is handed over."""
        resource = self.cache.resources.get(key)
        if resource is None:
            self._forget(key)
            return ()
        try:
            return self._decided(resource, now)
        except Exception as error:  # noqa: BLE001  one resource must not stop all the others
            self._met_defect(resource, error, now)
            return ()

    def _decided(self, resource: Resource, now: int) -> list[Wanted]:
        key = resource.key
        self.cycle_metrics.look(resource)
        self.pod_templates.look(resource)
        if not self.acts and resource.spec is not None:
            self.admissions.presume(resource)
        eligible = functools.partial(self._eligible, resource)
        view = self.views.of(resource, self.explain_status.of(key), eligible)
        (self.on_nodes.add if placement_rules.per_node(resource) else self.on_nodes.discard)(key)
        pods = self.cache.state.owned(resource.uid)
        left = self.cache.left_behind(resource)
        pods = {**left, **pods} if left else pods
        outcome = self.deciders[resource.kind](resource, pods, view, now)
        tasks = self._tasks(resource, outcome.tasks)
        if self.acts:
            if outcome.probe:
                self.admissions.ask(resource)
            self.writer.carry_out(resource, outcome)
        self.queue.wake_times.set(key, outcome.wake_at)
        return tasks

    def _tasks(self, resource: Resource, tasks: Iterable[intents.Task]) -> list[Wanted]:
        if not tasks:
            return []
        found = []
        for task in refused_writes.allowed(self.cache.refusals, resource, tasks):
            of_task = task.labels.get(names.TEMPLATE_HASH, resource.template_hash)
            blueprint, kind = self.pod_templates.of(resource, task.template, of_task)
            if not self._is_certain(resource, task.template, of_task):
                continue  # the resource rings once the server has answered
            found.append(Wanted(resource, task, blueprint, classes.of_task(kind, task)))
        return found

    def _eligible(
        self, resource: Resource, template_hash: str, template: Mapping[str, Any] | None
    ) -> EligibleNodes:
        """The nodes on which a service with one instance per node has instances of a template."""
        _, kind = self.pod_templates.of(resource, template, template_hash)
        self._is_certain(resource, template, template_hash)
        return self.eligible(kind)

    def _is_certain(
        self, resource: Resource, template: Mapping[str, Any] | None, template_hash: str
    ) -> bool:
        """Whether the server's answer on such pods is known; if not, start to ask for it."""
        if self.admissions.certain(resource, template_hash):
            return True
        self.admissions.make_certain(resource, template, template_hash)
        return False

    def _met_defect(self, resource: Resource, error: Exception, now: int) -> None:
        """Show on the resource that a defect of Bayplan was met, and look again later."""
        self.queue.wake_times.set(resource.key, now + DEFECT_SECONDS)
        self.set_aside.tell("reconcile", "/".join(resource.key), error, now)
        if not self.acts:
            return
        with self.set_aside.guard("status", now)(resource.key[1:]):
            told = defect.status(resource, error, DEFECT_SECONDS, now)
            self.writer.carry_out(resource, intents.Outcome(status=told))

    def _forget(self, key: Key) -> None:
        """A resource has gone: drop all that is kept of it."""
        self.queue.wake_times.set(key, None)
        self.pod_templates.forget(key)
        self.on_nodes.discard(key)
        self.explain_status.forget(key)
        self.cycle_metrics.forget(key)
