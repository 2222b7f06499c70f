"""What follows from the API server's answers to writes."""

import logging
from dataclasses import dataclass

from bayplan import logs
from bayplan.api import names
from bayplan.api.resource import Key
from bayplan.cluster import errors, refusals
from bayplan.cluster.cache import Cache
from bayplan.model import intents
from bayplan.model.pods import Pod
from bayplan.scheduler import misplaced
from bayplan.scheduler.admission import Admissions
from bayplan.scheduler.writing import Writing


@dataclass(slots=True, eq=False)
class Answers:
    """Compares what was stored with what was planned, and learns from refusals."""

    cache: Cache
    admissions: Admissions
    writer: Writing

    def created(self, key: Key, planned: Pod, stored: Pod) -> None:
        """Compare the CREATE's answer with the plan; a pod that cannot stay is taken back."""
        resource = self.cache.resources.get(key)
        if resource is None:
            return
        self.admissions.succeed(resource)
        if stored.request != planned.request:
            of_task = planned.labels.get(names.TEMPLATE_HASH, resource.template_hash)
            self.admissions.learn(resource, stored, of_task)
        why = misplaced.why(self.cache, planned, stored)
        if why:
            logs.say(
                logging.WARNING, "take back", pod="/".join(stored.key), node=stored.node, why=why
            )
            self.writer.delete(intents.DeletePod(stored.namespace, stored.name, stored.uid, why))

    def refused(self, write: refusals.Write, error: errors.ClusterError) -> None:
        """A write was refused. After a pod's CREATE the dry run's answer is void."""
        logs.say(
            logging.WARNING,
            "refused",
            verb=write.verb,
            kind=write.kind,
            resource="/".join(write.about),
            error=str(error)[:500],
        )
        resource = self.cache.resources.get(write.about)
        if (
            resource is not None
            and (write.verb, write.kind) == ("create", "Pod")
            and write.name in {"", resource.template_hash}
        ):
            self.admissions.refuse(resource, error)
