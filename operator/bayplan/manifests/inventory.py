"""Reads from manifests how many pods of each workload are wanted, and which already run where.

The operator's own decoder reads the pods of a workload.
"""

import contextlib
import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bayplan.api.kinds import RUNS
from bayplan.cloud import node_pools
from bayplan.inputs import InputError, Skipped
from bayplan.manifests import attached_volumes, kinds, owners, pods, replicas, scale_option, volumes
from bayplan.manifests.admission_defaults import Facts, RefusedError
from bayplan.manifests.documents import Document, mapping
from bayplan.model.pods import Pod
from bayplan.model.workloads import FREELY, PlacementRules
from bayplan.provisioning.inventory import Demand, Inventory, Refused

MOST_PODS = replicas.MOST_PODS
_MOST_NAMED = 5  # names in a note


def inventory(
    documents: Iterable[Document],
    scale: Mapping[str, int],
    *,
    lenient: bool = False,
    skipped: Iterable[Skipped] = (),
) -> Inventory:
    """Sort objects into demands, nodes and running pods. `scale` sets counts of workloads."""
    found = Inventory(skipped=list(skipped))
    return _Reading(documents, found, lenient=lenient).read(scale)


class _Reading:
    """Sorts the objects by their role, and fills the inventory."""

    def __init__(self, documents: Iterable[Document], found: Inventory, *, lenient: bool) -> None:
        self.found, self.lenient = found, lenient
        self.by_kind: dict[str, list[Document]] = {}
        known: dict[tuple[str, str, str], Document] = {}
        for document in documents:
            what = self._sorted(document)
            counted = what and what != "Namespace"  # many files have the same Namespace
            first = known.setdefault(kinds.identity(document), document) if counted else document
            if first is not document and document.name:
                self._twice(document, first)
            elif what:
                self.by_kind.setdefault(what, []).append(document)
        facts = attached_volumes.prebound(self._of("fact"))
        self.facts = Facts.of(facts)
        self.scalers = replicas.Autoscalers(facts)
        self.owners = owners.Owners.of((*self._of("workload"), *self._of("DaemonSet")))
        self.per_node = {kinds.identity(one): one for one in self._of("DaemonSet")}
        self.living: dict[str, set[str]] = {}  # title -> names of its pods
        self.rules: dict[tuple[tuple[str, str, str], str], PlacementRules] = {}
        self.stored = attached_volumes.Stored.of(facts)
        found.volume_limits = self.stored.limits
        found.volumes = volumes.told(one for one in facts if one.kind in volumes.KINDS)

    def read(self, scale: Mapping[str, int]) -> Inventory:
        found = self.found
        found.nodes = [pods.node(document) for document in self._of("Node")]
        found.namespaces = {one.name: _labels(one) for one in self._of("Namespace")}
        for document in self._of("NodePool"):
            with self._tolerant(document):
                found.node_pools.append(node_pools.node_pool(document.body))
        found.node_classes = {
            (one.kind, one.name): node_pools.node_class(one.body) for one in self._of("NodeClass")
        }
        for document in self._of("DaemonSet"):
            with self._tolerant(document):
                found.daemonsets.append(pods.daemonset(document, self.facts))
        workloads = self._of("workload")
        outermost = [one for one in workloads if self.owners.outermost(one) is one]
        runs: dict[str, int] = {}  # CronJob -> pods of the Jobs that it created
        for document in workloads:
            top = self.owners.outermost(document)
            if top is not document and document.kind == "Job":
                title = owners.titled(top)
                runs[title] = runs.get(title, 0) + replicas.count(document)
        counts = scale_option.counts(outermost, scale)
        self._pods()
        for title in map(owners.titled, self._of("suspended")):
            _thin_out(found, title, len(self.living.get(title, ())))
        for document in outermost:
            with self._tolerant(document):
                self._workload(document, counts.get(kinds.identity(document)), runs)
        found.notes += [*self.facts.notes, *_silent(found)]
        return found

    def _of(self, what: str) -> list[Document]:
        return self.by_kind.get(what, [])

    def _sorted(self, document: Document) -> str:
        try:
            return kinds.sort(document)
        except InputError:
            if not self.lenient:
                raise
            self.found.skipped.append(Skipped(document.called, kinds.unknown(document)))
            return ""

    def _twice(self, document: Document, first: Document) -> None:
        """Refuse the second copy of an object: nothing says which copy would be applied last."""
        if document.live:
            return  # the manifest will replace the object of the cluster
        if not self.lenient:
            message = f"is in the input twice, first in {first.where}; remove one of the two"
            raise InputError(document.called, message)
        why = f"is in {first.where} too, and that one counts"
        self.found.skipped.append(Skipped(document.called, why))

    @contextlib.contextmanager
    def _tolerant(self, document: Document) -> Iterator[None]:
        """A pod that the API server would refuse has no room; incomplete manifests are skipped."""
        try:
            yield
        except RefusedError as refused:
            self.found.refused.append(Refused(owners.titled(document), 1, str(refused)))
        except InputError as error:
            if not (self.lenient and _unfinished(document, error)):
                raise
            why = error.message.removeprefix(f"{document.called}: ")
            self.found.skipped.append(
                Skipped(document.called, f"{why}; is it a patch, or a template to render first?")
            )

    def _workload(self, document: Document, stated: int | None, runs: Mapping[str, int]) -> None:
        title = owners.titled(document)
        living = len(self.living.get(title, ()))
        wanted, note = replicas.count(document), ""
        if stated is None:
            wanted, note = self.scalers.bounded(document, wanted)
            if document.kind in _RUNS:  # its running pods go on, whatever its manifest says
                wanted = max(wanted, runs.get(title, 0), living)
        else:
            wanted = stated
        if note:
            self.found.notes.append(note)
        _thin_out(self.found, title, living - wanted)
        if wanted > living:
            try:
                self._demand(document, title, wanted - living)
            except RefusedError as refused:
                self.found.refused.append(Refused(title, wanted - living, str(refused)))

    def _demand(self, document: Document, title: str, count: int) -> None:
        body = pods.template(document, self.facts)
        pod = self._pod(document, body, title, alone=count == 1)
        own = self.stored.templates(document) if document.kind == "StatefulSet" else []
        pod = attached_volumes.with_volumes(pod, sum(attached for _, attached in own))
        rules = self._rules(document, pods.revision(pod))
        pod = pods.stripped(pod, rules)
        pinned = self._pinned(document, title, count, [name for name, _ in own])
        for claims, names in pinned.items():
            constraints = dataclasses.replace(
                pod.constraints, claims=(*pod.constraints.claims, *claims)
            )
            bound = dataclasses.replace(pod, constraints=constraints)
            self.found.demands.append(Demand(title, document.name, len(names), bound, rules))
        rest = count - sum(map(len, pinned.values()))
        if rest:
            self.found.demands.append(Demand(title, document.name, rest, pod, rules))

    def _rules(self, document: Document, revision: str) -> PlacementRules:
        """What the packer follows for pods of a workload's template; read once for many pods."""
        at = kinds.identity(document), revision
        found = self.rules.get(at)
        if found is None:
            found = self.rules[at] = pods.rules(document, revision)
        return found

    def _pinned(
        self, document: Document, title: str, count: int, templates: list[str]
    ) -> dict[tuple[str, ...], list[int]]:
        """Ordinals of a StatefulSet's next pods with existing volumes, grouped by their claims."""
        found: dict[tuple[str, ...], list[int]] = {}
        known = {
            key for key, claim in self.found.volumes.claims.items() if claim.terms or claim.zones
        }
        if not (templates and known):
            return found
        there = self.living.get(title, set())
        start = mapping(mapping(document.body.get("spec")).get("ordinals")).get("start")
        at, left = start if isinstance(start, int) else 0, count
        while left:
            if f"{document.name}-{at}" not in there:
                left -= 1
                claims = tuple(
                    claim
                    for claim in (f"{name}-{document.name}-{at}" for name in templates)
                    if (document.namespace, claim) in known
                )
                if claims:
                    found.setdefault(claims, []).append(at)
            at += 1
        return found

    def _pod(self, document: Document, body: Mapping[str, Any], title: str, *, alone: bool) -> Pod:
        pod = pods.pod(document, body, self.facts)
        stored = self.stored
        for claim in pod.constraints.claims:
            volume = stored.lost.get((pod.namespace, claim))
            if volume is not None:
                what = "its place does not count"
                self.facts.note(f"{title}: volume {volume} is not in the input; {what}")
        count = stored.attached(pod.namespace, mapping(body.get("spec")), alone=alone)
        known = self.found.volumes.claims
        claims = tuple(name for name in pod.constraints.claims if (pod.namespace, name) in known)
        constraints = dataclasses.replace(pod.constraints, claims=claims)
        return attached_volumes.with_volumes(
            dataclasses.replace(pod, constraints=constraints), count
        )

    def _pods(self) -> None:
        """Sort pods into running pods on known nodes and pods that need a node.

        Pods that belong to a node which is not in the input are left out.
        """
        found = self.found
        placed = {node.name for node in found.nodes}
        left_out: dict[str, int] = {}
        for document in self._of("Pod"):
            with self._tolerant(document):
                pod = self._pod(document, document.body, owners.titled(document), alone=True)
                if pod.terminal:
                    continue
                title = self.owners.title(pod)
                if pod.node not in placed and self._resident(pod):
                    left_out[title] = left_out.get(title, 0) + 1
                    continue
                self.living.setdefault(title, set()).add(pod.name)
                found.titles[pod.key] = title
                if pod.node in placed:
                    found.running.append(self._of_daemonset(pod))
                else:
                    maker = self.owners.maker(pod)
                    rules = self._rules(maker, pods.revision(pod)) if maker is not None else FREELY
                    waiting = pods.stripped(dataclasses.replace(pod, node=""), rules)
                    found.demands.append(Demand(title, pod.name, 1, waiting, rules))
        known = {one.title for one in found.daemonsets}
        lost = {title: count for title, count in left_out.items() if title not in known}
        if lost:
            named = _named(lost)
            found.notes.append(f"left out, because their nodes are not in the input: {named}")

    def _resident(self, pod: Pod) -> bool:
        return pod.resident or self._of_daemonset(pod) is not pod

    def _of_daemonset(self, pod: Pod) -> Pod:
        """A pod of what runs on each node as one of a DaemonSet, whose uid neither need tell."""
        owner = pod.owner
        if owner is None:
            return pod
        known = self.per_node.get((owner.kind, pod.namespace, owner.name))
        if known is None:
            return pod
        uid = pods.daemonset_uid(known)
        return dataclasses.replace(pod, owner=dataclasses.replace(owner, kind="DaemonSet", uid=uid))


_RUNS = frozenset({"Job", "CronJob"}) | RUNS
_UNRENDERED = re.compile(r"\{\{|\{%|\$\{|\$\(")


def _labels(document: Document) -> dict[str, str]:
    """Labels of a namespace, with the label that the API server adds."""
    stated = mapping(mapping(document.body.get("metadata")).get("labels"))
    named = {"kubernetes.io/metadata.name": document.name}
    return {**{str(key): str(text) for key, text in stated.items()}, **named}


def _unfinished(document: Document, error: InputError) -> bool:
    """Whether it is only a part of a manifest, or has placeholders to be filled in."""
    if error.message.endswith("its pod template has no container"):
        return True
    return bool(_UNRENDERED.search(json.dumps(document.body, default=str)))


def _silent(found: Inventory) -> list[str]:
    """A note on workloads whose pods request nothing: only the number of pods limits them."""
    counts: dict[str, int] = {}
    for demand in found.demands:
        if not (demand.pod.request.amount("cpu") or demand.pod.request.amount("memory")):
            counts[demand.title] = counts.get(demand.title, 0) + demand.count
    for pod in found.running:
        if not (pod.request.amount("cpu") or pod.request.amount("memory") or pod.resident):
            title = found.titles[pod.key]
            counts[title] = counts.get(title, 0) + 1
    if not counts:
        return []
    what = "only their number fills a node; write requests"
    return [f"neither CPU nor memory is requested by {_named(counts)}: {what}"]


def _named(counts: Mapping[str, int]) -> str:
    """`3 of Deployment default/web, 1 of Job default/a and 7 more`."""
    shown = [f"{count} of {title}" for title, count in list(counts.items())[:_MOST_NAMED]]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _thin_out(found: Inventory, title: str, surplus: int) -> None:
    """Remove the surplus of a workload that was scaled down: the last pods, first the waiting."""
    waiting = [one for one in found.demands if one.title == title]
    for one in reversed(waiting):
        if surplus <= 0:
            return
        found.demands.remove(one)
        surplus -= one.count
    for pod in sorted(found.running, key=lambda pod: pod.name, reverse=True):
        if surplus <= 0:
            return
        if found.titles[pod.key] == title:
            found.running.remove(pod)
            surplus -= 1
