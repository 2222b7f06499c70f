"""Which revision a service is to run, and how many instances of it: verbs, roll-backs, steps.

The spec asks for a revision. A person may hold the service at another one (`rollback-to`), and a
revision that made no progress within its deadline is given up for the last good one. Decisions are
in the status, so removing an annotation changes nothing, and a new template always begins anew.
Nothing here starts or stops an instance; `rollout` does that.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bayplan.api import names
from bayplan.api.longservice import UpdateStrategy
from bayplan.api.resource import Resource
from bayplan.api.times import rfc3339, time_of
from bayplan.reconcile import conditions
from bayplan.reconcile.longservice import revisions
from bayplan.reconcile.longservice.revisions import Revision

MOST_BAD = 10  # at most this many given-up revisions are remembered

_LONGEST_VERB = 253  # characters, as in the schema


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for, what is run instead if anything is, and what was decided so far.

    `good` is the revision last rolled out, if it differs from `revision`.
    """

    asked: Revision
    revision: Revision
    good: Revision | None = None
    pinned: str = ""  # name of the revision that a person holds the service at
    verb: str = ""  # the last `rollback-to` that was followed
    unknown: str = ""  # a `rollback-to` that names no kept revision
    bad: tuple[Mapping[str, Any], ...] = ()

    @property
    def rolled_back(self) -> Mapping[str, Any] | None:
        """The entry of `bad` on the spec's template, if another revision runs because of it."""
        if self.revision.name == self.asked.name or self.pinned:
            return None
        return next((one for one in self.bad if one["revision"] == self.asked.name), None)

    def without(self, reason: str, message: str, now: int) -> "Target":
        """The target once this revision has been given up for the last good one."""
        if self.good is None:
            return self
        told = {
            "revision": self.revision.name,
            "reason": reason,
            "message": conditions.cut(message),
            "time": rfc3339(now),
        }
        bad = [one for one in self.bad if one["revision"] != self.revision.name]
        return replace(self, revision=self.good, good=None, bad=(*bad, told)[-MOST_BAD:])


def chosen(service: Resource, history: Mapping[str, Revision]) -> Target:
    """The target according to status, annotations and spec. `history` is by name."""
    asked = revisions.newest(service, history.values())
    status = service.status
    bad = [one for one in bad_revisions(status) if one["revision"] in {asked.name, *history}]
    pinned = _text(status, "pinnedRevision")
    if _text(status, "pinnedOver") != asked.name:
        pinned = ""
    handled = _text(status, "handledRollback")
    verb = service.annotations.get(names.ROLLBACK_TO, "")[:_LONGEST_VERB]
    unknown = ""
    if verb and verb != handled:
        found = next(
            (one for one in (*history.values(), asked) if verb in {one.name, one.id}), None
        )
        if found is None:
            unknown = verb
        else:
            restarted = service.annotations.get(names.RESTARTED_AT, "")
            if not restarted and found.template_hash == asked.template_hash:
                asked = found  # with its number from when it is the newest of this template
            pinned = "" if found.name == asked.name else found.name
            bad = [one for one in bad if one["revision"] != found.name]
    current = history.get(_text(status, "currentRevision"))
    revision = asked
    if pinned in history:
        revision = history[pinned]
    elif current is not None and any(one["revision"] == asked.name for one in bad):
        revision = current
    return Target(
        asked=asked,
        revision=revision,
        good=current if current is not None and current.name != revision.name else None,
        pinned=pinned if pinned in history else "",
        verb=verb or handled,
        unknown=unknown,
        bad=tuple(bad),
    )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the rollout of a revision has come, as stored. Times in epoch seconds.

    `healthy` and `outdated` are the best counts so far; `progressed_at` is when one of them last
    got better, None while the clock stands still. `reached_at`: since when the step's share is
    healthy.
    """

    revision: str
    step: int = 0
    reached_at: int | None = None
    promoted: str = ""  # the last `promote` that was followed
    healthy: int = 0
    outdated: int = 0
    progressed_at: int | None = None
    waiting_since: int | None = None  # when the wait for what the service depends on began

    def wire(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "revision": self.revision,
            "step": self.step,
            "healthy": self.healthy,
            "outdated": self.outdated,
        }
        if self.reached_at is not None:
            told["stepReachedTime"] = rfc3339(self.reached_at)
        if self.promoted:
            told["handledPromote"] = self.promoted
        if self.waiting_since is not None:
            told["waitingSince"] = rfc3339(self.waiting_since)
        if self.progressed_at is not None:
            told["progressTime"] = rfc3339(self.progressed_at)
        return told

    def counted(self, healthy: int, outdated: int, now: int, *, ticking: bool) -> "Progress":
        """Progress after these counts: healthy ones of the revision, others that still run."""
        better = healthy > self.healthy or outdated < self.outdated
        since = now if better or self.progressed_at is None else self.progressed_at
        return replace(
            self,
            healthy=max(healthy, self.healthy),
            outdated=min(outdated, self.outdated),
            progressed_at=since if ticking else None,
        )


def progress(service: Resource, revision: Revision, outdated: int) -> Progress:
    """The stored progress of this revision, or a fresh one."""
    verb = service.annotations.get(names.PROMOTE, "")[:_LONGEST_VERB]
    fresh = Progress(revision.name, promoted=verb, outdated=outdated)
    told = service.status.get("rollout")
    if not isinstance(told, Mapping) or told.get("revision") != revision.name:
        return fresh
    step, healthy, least = (_count(told, name) for name in ("step", "healthy", "outdated"))
    if step is None or healthy is None or least is None:
        return fresh
    return Progress(
        revision=revision.name,
        step=step,
        reached_at=time_of(told.get("stepReachedTime")),
        promoted=_text(told, "handledPromote"),
        healthy=healthy,
        outdated=least,
        progressed_at=time_of(told.get("progressTime")),
        waiting_since=time_of(told.get("waitingSince")),
    )


def promoted(before: Progress, service: Resource, rules: UpdateStrategy, now: int) -> Progress:
    """The progress one step further, when its pause is over or a new token lets it pass."""
    verb = service.annotations.get(names.PROMOTE, "")[:_LONGEST_VERB]
    if before.step >= len(rules.steps):
        return before
    if verb and verb != before.promoted:
        return replace(before, step=before.step + 1, reached_at=None, promoted=verb)
    step = rules.steps[before.step]
    pause = None if step.manual else step.pause_seconds
    if pause is not None and before.reached_at is not None and before.reached_at + pause <= now:
        return replace(before, step=before.step + 1, reached_at=None)
    return before


def share(replicas: int, rules: UpdateStrategy, step: int) -> int:
    """How many instances a step may have: its percent of the replicas, rounded up."""
    if step >= len(rules.steps):
        return replicas
    return -(-replicas * rules.steps[step].percent // 100)


def status(target: Target, progress_: Progress | None) -> dict[str, Any]:
    """The fields of the status that store target and progress."""
    return {
        "rollout": progress_.wire() if progress_ is not None else None,
        "pinnedRevision": target.pinned,
        "pinnedOver": target.asked.name if target.pinned else "",
        "handledRollback": target.verb,
        "badRevisions": list(target.bad) or None,
    }


def needed(target: Target) -> Collection[str]:
    """Names of revisions that must be kept."""
    return {target.asked.name, target.revision.name, target.pinned} - {""}


def bad_revisions(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The readable entries of `badRevisions` in a status."""
    found = status.get("badRevisions")
    if not isinstance(found, list | tuple):
        return []
    words = ("revision", "reason", "message", "time")
    return [
        one
        for one in found
        if isinstance(one, Mapping) and all(isinstance(one.get(word), str) for word in words)
    ]


def _text(source: Mapping[str, Any], name: str) -> str:
    text = source.get(name)
    return text if isinstance(text, str) else ""


def _count(source: Mapping[str, Any], name: str) -> int | None:
    """A stored count; None when it is not a number of at least 0."""
    count = source.get(name)
    return count if type(count) is int and count >= 0 else None
