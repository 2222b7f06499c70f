"""What waits for a node, by class: new tasks, and existing pods without a node.

Placement knows classes and counts. All tasks and pods that the same nodes would take in the same
way form one class, however many there are.
"""

import contextlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from bayplan.api import compiled_rules, kinds, names, placement_rules
from bayplan.api.resource import Resource
from bayplan.model import intents
from bayplan.model.pods import Constraints, Pod, PodTerm, expected_seconds
from bayplan.model.workloads import FREELY, PlacementRules, PodClass, TaskKey, Waiting
from bayplan.scheduler import per_task_labels

# A context around the work for one task: it reports a defect of Bayplan and ends only that task.
Failed = Callable[[TaskKey], contextlib.AbstractContextManager[object]]

_RAISE: Failed = contextlib.nullcontext

_Ruled = tuple[PlacementRules, Constraints]


def groups(
    wanted: Collection[tuple[TaskKey, intents.Task, PodClass]],
    unplaced: Iterable[Pod],
    owner_of: Callable[[str], Resource | None],
    aversions: Iterable[tuple[str, tuple[PodTerm, ...]]],
    failed: Failed = _RAISE,
) -> list[Waiting]:
    """All that waits: new tasks and existing pods. `aversions` come from running pods."""
    asking = per_task_labels.Asking()
    for namespace, terms in aversions:
        asking.terms(namespace, terms)
    seen: set[tuple[str, int]] = set()  # namespace, interned constraints
    sound: list[Pod] = []
    for pod in unplaced:
        at = pod.namespace, id(pod.constraints)
        with failed(pod.key):
            if at not in seen:
                asking.constraints(pod.namespace, pod.constraints)
                seen.add(at)
            sound.append(pod)
    for key, _, kind in wanted:
        at = kind.namespace, id(kind.constraints)
        with failed(key):
            if at not in seen:
                asking.constraints(kind.namespace, kind.constraints)
                seen.add(at)
    asked = asking.asked()
    return gangs_whole([*tasks(wanted, failed, asked), *pods(sound, owner_of, failed, asked)])


def tasks(
    wanted: Iterable[tuple[TaskKey, intents.Task, PodClass]],
    failed: Failed = _RAISE,
    asked: per_task_labels.Asked = per_task_labels.EVERYBODY,
) -> list[Waiting]:
    """Tasks grouped by class, gang and the nodes they avoid, in the order they came.

    Tasks at which a defect of Bayplan is met are passed to `failed` and left out.
    """
    groups: dict[tuple[PodClass, frozenset[str], str], dict[TaskKey, intents.Task]] = {}
    for key, task, kind in wanted:
        with failed(key):
            told = asked.labels(kind.namespace, task.labels)
            whole = replace(kind, labels=tuple(sorted((*kind.labels, *told)))) if told else kind
            groups.setdefault((whole, task.avoid, task.gang), {})[key] = task
    found: list[Waiting] = []
    for (kind, avoid, gang), group in groups.items():
        with failed(next(iter(group))):
            found.append(
                Waiting(
                    kind=kind,
                    keys=tuple(group),
                    since=min(task.since for task in group.values()),
                    avoid=avoid,
                    lasts=_longest(expected_seconds(task.annotations) for task in group.values()),
                    gang=gang,
                )
            )
    return found


def pods(
    unplaced: Iterable[Pod],
    owner_of: Callable[[str], Resource | None],
    failed: Failed = _RAISE,
    asked: per_task_labels.Asked = per_task_labels.EVERYBODY,
) -> list[Waiting]:
    """Existing pods without a node, ours and foreign, by class; the oldest first in each class.

    Pods at which a defect of Bayplan is met are passed to `failed` and left out.
    """
    groups: dict[tuple[PodClass, str], list[Pod]] = {}  # (kind, gang)
    # (owner, template, interned constraints) -> rules: thousands of waiting pods share a few
    known: dict[tuple[str, str, int], _Ruled] = {}
    for pod in unplaced:
        with failed(pod.key):
            uid = pod.owner.uid if pod.owner is not None else ""
            revision = pod.labels.get(names.TEMPLATE_HASH, "")
            at = uid, revision, id(pod.constraints)
            ruled = known.get(at)
            if ruled is None:
                ruled = known[at] = _ruled(owner_of(uid), revision, pod.constraints)
            gang = pod.labels.get(names.RUN, "") if ruled[0].gang else ""
            groups.setdefault((_class_of(pod, *ruled, asked), gang), []).append(pod)
    found: list[Waiting] = []
    for (kind, gang), group in groups.items():
        with failed(group[0].key):
            by_age = sorted(group, key=lambda pod: (pod.created_at, pod.key))
            found.append(
                Waiting(
                    kind=kind,
                    keys=tuple(pod.key for pod in by_age),
                    since=min(pod.created_at for pod in group),
                    lasts=_longest(pod.lasts for pod in group),
                    gang=gang,
                )
            )
    return found


def of_task(kind: PodClass, task: intents.Task) -> PodClass:
    """The class of one task: with what its own labels ask for and the claims that it mounts."""
    kind = per_task_labels.of_task(kind, task.labels)
    if not task.claims:
        return kind
    claims = (*kind.constraints.claims, *(claim for _, claim in task.claims))
    return replace(kind, constraints=replace(kind.constraints, claims=claims))


def gangs_whole(waiting: list[Waiting]) -> list[Waiting]:
    """Joins tasks of one gang, whether their pods exist or not; the rest stays as it is."""
    found: list[Waiting] = []
    gangs: dict[tuple[PodClass, str], int] = {}  # -> its index in the list
    for one in waiting:
        at = gangs.setdefault((one.kind, one.gang), len(found)) if one.gang else len(found)
        if at == len(found):
            found.append(one)
            continue
        before = found[at]
        found[at] = replace(
            before,
            keys=before.keys + one.keys,
            since=min(before.since, one.since),
            avoid=before.avoid | one.avoid,
            lasts=_longest((before.lasts, one.lasts)),
        )
    return found


def _longest(expected: Iterable[int | None]) -> int | None:
    """The longest of these run times; None when at least one of them is unknown."""
    longest = 0
    for seconds in expected:
        if seconds is None:
            return None
        longest = max(longest, seconds)
    return longest


def _ruled(resource: Resource | None, revision: str, stored: Constraints) -> _Ruled:
    """A pod's rules from its resource, and its constraints without what the rules compiled to."""
    rules = FREELY if resource is None else placement_rules.rules(resource, revision)
    return rules, compiled_rules.stripped(stored, rules)


def _class_of(
    pod: Pod,
    rules: PlacementRules,
    constraints: Constraints,
    asked: per_task_labels.Asked,
) -> PodClass:
    """The class of an existing unplaced pod, as `Admissions.shape` gives it for our own tasks."""
    owner = pod.owner
    return PodClass(
        namespace=pod.namespace,
        request=pod.request,
        constraints=constraints,
        labels=tuple(
            sorted(
                (
                    *(one for one in pod.labels.items() if one[0] not in names.ADDED),
                    *asked.labels(pod.namespace, pod.labels),
                )
            )
        ),
        priority=pod.priority,
        workload=f"{owner.kind}/{pod.namespace}/{owner.name}" if owner is not None else "",
        placement=rules,
        plain=owner is None or owner.kind not in kinds.BY_NAME,
        companions=pod.companions,
    )
