"""Pods whose owner has gone: pods that our finalizer holds, and pods that a service left behind.

Only we may take off the finalizer. A pod that carries it and is no run of a living BatchJob would
hold up its own deletion, and its namespace's deletion, for ever.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bayplan.api import kinds, names, run_names
from bayplan.api.resource import Resource
from bayplan.model.pods import Pod

Key = tuple[str, str]  # namespace, name
Pods = Mapping[Key, Pod]

# Labels of a pod that a service made; a pod on which somebody wrote all of them counts as such.
_MARKS = (names.SERVICE, names.REVISION, names.TEMPLATE_HASH)


@dataclass(slots=True, eq=False)
class Orphans:
    """Indexes of pods that were seen: pods with the finalizer, pods that have lost their service.

    `suspected`: our finalizer may hold pods that belong to nobody; look for them.
    """

    suspected: bool = False
    _held: set[Key] = field(default_factory=set)
    _left: dict[Key, set[Key]] = field(default_factory=dict)  # namespace, label of the service

    def see(self, before: Pod | None, pod: Pod) -> None:
        """Take in a pod of a namespace that is served, as it is now."""
        if names.RUN_TRACKING in pod.finalizers:
            self._held.add(pod.key)
        elif self._held:
            self._held.discard(pod.key)
        if before is not None and is_left(before):
            self._unlink(before)
        if is_left(pod):
            self._left.setdefault(_service(pod), set()).add(pod.key)

    def gone(self, pod: Pod) -> None:
        self._held.discard(pod.key)
        if is_left(pod):
            self._unlink(pod)

    def of(self, service: Resource, pods: Pods) -> Pods:
        """The pods that a former service of this name left behind: they are this service's now."""
        if not self._left or service.kind != names.LONGSERVICE:
            return {}
        left = self._left.get((service.namespace, names.owner_value(service.name)), ())
        return {key: pods[key] for key in left if key in pods}

    def stranded(self, pods: Pods, owner: Callable[[str], Resource | None]) -> list[Pod]:
        """Pods that our finalizer holds for nobody; `owner` finds a living resource by its uid."""
        return [
            pods[key] for key in sorted(self._held) if key in pods and is_stranded(pods[key], owner)
        ]

    def _unlink(self, pod: Pod) -> None:
        at = _service(pod)
        keys = self._left.get(at, set())
        keys.discard(pod.key)
        if not keys:
            self._left.pop(at, None)


def is_left(pod: Pod) -> bool:
    """Whether a service made the pod and nothing controls it any more."""
    if pod.owner is not None or pod.terminating or not pod.uid:
        return False
    return all(mark in pod.labels for mark in _MARKS)


def is_stranded(pod: Pod, owner: Callable[[str], Resource | None]) -> bool:
    """Whether the pod carries our finalizer and is no run of a living resource.

    A copy of a run's pod under another name has the finalizer and the owner, but no status names
    it.
    """
    if names.RUN_TRACKING not in pod.finalizers:
        return False
    living = owner(pod.owner.uid) if pod.owner is not None else None
    if living is None or living.kind not in kinds.RUNS:
        return True
    return run_names.attempt_of(run_names.prefix(living.name, living.uid), pod.name) is None


def _service(pod: Pod) -> Key:
    return pod.namespace, pod.labels[names.SERVICE]
