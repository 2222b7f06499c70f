"""Finds the owner of a pod or an object: the outermost workload of the input that controls it.

A controller that is not in the input does not count: its StatefulSet counts by itself.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.manifests import kinds
from bayplan.manifests.documents import Document, mapping
from bayplan.model.pods import Pod

_DEEPEST = 8  # owners of owners
_RUN = re.compile(r"(.+)-\d{6,}")  # a Job of a CronJob: its name and minutes since 1970

Key = tuple[str, str, str]  # kind, namespace, name


@dataclass(slots=True)
class Owners:
    """The workloads of the input."""

    known: dict[Key, Document] = field(default_factory=dict)

    @classmethod
    def of(cls, documents: Iterable[Document]) -> "Owners":
        return cls({kinds.identity(one): one for one in documents if one.name})

    def outermost(self, document: Document) -> Document:
        """Its controller, or the controller of that, and so on; itself if the input has none."""
        for _ in range(_DEEPEST):
            above = self._above(document)
            if above is None:
                break
            document = above
        return document

    def maker(self, pod: Pod) -> Document | None:
        """The object of the input that made a pod, where its name alone tells which."""
        owner = pod.owner
        return None if owner is None else self.known.get((owner.kind, pod.namespace, owner.name))

    def title(self, pod: Pod) -> str:
        """`Deployment default/web` of a pod's workload, or of the pod itself."""
        owner = pod.owner
        if owner is None:
            return title("Pod", pod.namespace, pod.name)
        wanted = [(owner.kind, owner.name)]
        if owner.kind == "ReplicaSet":
            wanted.append(("Deployment", owner.name.rpartition("-")[0]))
        run = _RUN.fullmatch(owner.name)
        if owner.kind == "Job" and run is not None:
            wanted.append(("CronJob", run[1]))
        for kind, name in wanted:
            found = self.known.get((kind, pod.namespace, name))
            if found is not None:
                return titled(self.outermost(found))
        if owner.kind == "ReplicaSet" and "pod-template-hash" in pod.labels:
            return title("Deployment", pod.namespace, owner.name.rpartition("-")[0])
        return title(owner.kind, pod.namespace, owner.name)

    def _above(self, document: Document) -> Document | None:
        references = mapping(document.body.get("metadata")).get("ownerReferences")
        for one in references if isinstance(references, list) else ():
            reference = mapping(one)
            if reference.get("controller") is True:
                return self._referred(reference, document)
        return None

    def _referred(self, reference: Mapping[str, Any], document: Document) -> Document | None:
        kind, name = str(reference.get("kind")), str(reference.get("name"))
        body = {"apiVersion": reference.get("apiVersion"), "kind": kind}
        found = self.known.get((kind, document.namespace, name))
        # A controller of another group may have the same kind and name.
        theirs = not kinds.own(Document(document.where, body))
        return None if found is document or theirs else found


def title(kind: str, namespace: str, name: str) -> str:
    return f"{kind} {namespace}/{name}"


def titled(document: Document) -> str:
    return title(document.kind, document.namespace, document.name)
