"""Counts on pods before they are seen: creates, bindings and deletes that are on their way.

A decision counts at once, as in kube-scheduler, so that the next decision does not take the same
room. The decision is taken back when its write fails.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

from bayplan.model import state
from bayplan.model.pods import Pod

Key = tuple[str, str]  # namespace, name


@dataclass(slots=True, eq=False)
class Assumptions:
    """Writes the assumptions into `state`; `freed` rings when an assumption is taken back."""

    state: state.State
    freed: Callable[[], None]
    _leaving: dict[Key, tuple[str, int]] = field(default_factory=dict)  # pod -> uid, since when

    def assume(self, pod: Pod) -> None:
        """Count on this pod: its CREATE or its binding is on its way.

        If a pod of the same name has been seen already, that pod stays: the CREATE will find it
        too.
        """
        seen = self.state.pods.get(pod.key)
        if seen is None or seen.uid == pod.uid:
            self.state.assume(pod)

    def forget(self, planned: Pod) -> None:
        """The CREATE of this pod has failed. A pod seen meanwhile and a later plan both stay."""
        if self.state.pods.get(planned.key) is planned:
            self._take_back(planned.key)

    def unbind(self, key: Key, uid: str, node: str) -> None:
        """The binding of this pod to that node has failed: it waits again."""
        pod = self.state.pods.get(key)
        if pod is not None and pod.uid == uid and self.state.assumed.get(key) == node:
            self._take_back(key)

    def _take_back(self, key: Key) -> None:
        self.state.forget(key)
        self.freed()

    def holds(self, key: Key, uid: str, node: str) -> bool:
        """Whether the pod is, or will be, on that node as was decided, and stays there."""
        pod = self.state.pods.get(key)
        return pod is not None and (pod.uid, pod.node, pod.terminating) == (uid, node, False)

    def assume_leaving(self, key: Key, uid: str, at: int) -> None:
        """A delete is decided: the pod counts as terminating, even if older news says otherwise."""
        pod = self.state.pods.get(key)
        if pod is not None and pod.uid == uid and not pod.terminating:
            self._leaving[key] = uid, at
            leaving = _leaving(pod, at)
            if key in self.state.assumed:
                self.state.assume(leaving)  # no sight of the pod: its binding is still on its way
            else:
                self.state.set_pod(leaving)

    def forget_leaving(self, key: Key, uid: str) -> None:
        """The delete was refused: the pod stays."""
        leaving = self._leaving.get(key)
        if leaving is None or leaving[0] != uid:
            return
        del self._leaving[key]
        pod = self.state.pods.get(key)
        if pod is not None and pod.uid == uid:
            self.state.set_pod(
                dataclasses.replace(pod, deleted_at=None, uprooted=False, delete_assumed=False)
            )

    def applied(self, pod: Pod) -> Pod:
        """Return a pod that was seen as it counts: terminating if its delete is on its way."""
        leaving = self._leaving.get(pod.key)
        if leaving is None:
            return pod
        if pod.terminating or pod.uid != leaving[0]:
            del self._leaving[pod.key]
            return pod
        return _leaving(pod, leaving[1])

    def gone(self, key: Key) -> None:
        """The pod has gone: nothing about it is assumed any more."""
        self._leaving.pop(key, None)


def _leaving(pod: Pod, at: int) -> Pod:
    """The pod as it counts after its delete is decided."""
    return dataclasses.replace(pod, deleted_at=at, uprooted=True, delete_assumed=True)
