"""What became of each write goes to whoever has to know: loop, receivers of notices, metrics."""

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

    `loop` is set once it is built: it needs the writer, which needs this.
    """

    metrics: Metrics
    notifier: Notifier
    relist: Callable[[], None]
    loop: Loop = field(init=False)

    def created(self, key: Key, planned: Pod, stored: Pod) -> None:
        """The plan is compared with what the API server made of it."""
        self.loop.created(key, planned, stored)

    def refused(self, write: refusals.Write, error: errors.ClusterError) -> None:
        self.loop.refused(write, error)

    def missing(self, key: Key) -> None:
        """A status write met no object: kopf missed its end, or the server errs. List again."""
        logs.say(logging.WARNING, "status met no object", resource="/".join(key))
        self.relist()

    def notify(self, resource: Resource, notice: intents.Notice) -> None:
        self.notifier.notify(resource, notice)

    def defect(self, what: str, error: Exception) -> None:
        self.loop.defect("write", what, error)

    def counted(self, verb: str, kind: str, code: str) -> None:
        self.metrics.writes.labels(verb, kind, code).inc()
