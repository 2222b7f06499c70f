"""Passes the result of each write on: to the loop, to receivers of notices, to metrics."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from bayplan import logs
from bayplan.api.resource import Key, Resource
from bayplan.cluster import errors, refusals
from bayplan.metrics import Metrics
from bayplan.model import intents
from bayplan.model.pods import Pod
from bayplan.notifications.notifier import Notifier
from bayplan.scheduler.loop import Loop


@dataclass(slots=True, eq=False)
class WriteReports:
    """The writer's `Reports`. `relist` has both custom kinds listed again.

    `loop` is set after it is built, because it needs the writer, and the writer needs this object.
    """

    metrics: Metrics
    notifier: Notifier
    relist: Callable[[], None]
    loop: Loop = field(init=False)

    def created(self, key: Key, planned: Pod, stored: Pod) -> None:
        """Compare the plan with the pod that the API server stored."""
        self.loop.created(key, planned, stored)

    def refused(self, write: refusals.Write, error: errors.ClusterError) -> None:
        self.loop.refused(write, error)

    def missing(self, key: Key) -> None:
        """A status write met no object: kopf missed its end, or the server is wrong. List again."""
        logs.say(logging.WARNING, "status met no object", resource="/".join(key))
        self.relist()

    def notify(self, resource: Resource, notice: intents.Notice) -> None:
        self.notifier.notify(resource, notice)

    def defect(self, what: str, error: Exception) -> None:
        self.loop.defect("write", what, error)

    def counted(self, verb: str, kind: str, code: str) -> None:
        self.metrics.writes.labels(verb, kind, code).inc()
