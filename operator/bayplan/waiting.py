"""What waits for a node, by class: new tasks, and pods that exist without one.

Placement knows classes and counts. Everything that the same nodes would take in the same way is one
class, however many there are.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from bayplan.api import names, placing
from bayplan.api.resource import Resource
from bayplan.model import pod as pods_
from bayplan.model import workload
from bayplan.reconcile import action

# Labels that tell runs of one job apart: no constraint counts by them, so they split no class.
_PER_TASK = frozenset({names.RUN, names.SLOT, names.ATTEMPT, names.TASK_INDEX})

_Ruled = tuple[workload.PlacementRules, pods_.Constraints]


def tasks(
    wanted: Iterable[tuple[workload.TaskKey, action.Task, workload.PodClass]],
) -> list[workload.Waiting]:
    """Tasks grouped by class, gang and the nodes they avoid, in the order they came."""
    groups: dict[
        tuple[workload.PodClass, frozenset[str], str], dict[workload.TaskKey, action.Task]
    ] = {}
    for key, task, kind in wanted:
        groups.setdefault((kind, task.avoid, task.gang), {})[key] = task
    return [
        workload.Waiting(
            kind=kind,
            keys=tuple(group),
            since=min(task.since for task in group.values()),
            avoid=avoid,
            lasts=_longest(pods_.expected_seconds(task.annotations) for task in group.values()),
            gang=gang,
        )
        for (kind, avoid, gang), group in groups.items()
    ]


def pods(
    unplaced: Iterable[pods_.Pod], owner_of: Callable[[str], Resource | None]
) -> list[workload.Waiting]:
    """Existing pods without a node, ours and foreign, by class; oldest first within one."""
    groups: dict[tuple[workload.PodClass, str], list[pods_.Pod]] = {}  # (kind, gang)
    # (owner, template, interned constraints) -> rules: thousands that wait share a few
    known: dict[tuple[str, str, int], _Ruled] = {}
    for pod in unplaced:
        uid = pod.owner.uid if pod.owner is not None else ""
        revision = pod.labels.get(names.TEMPLATE_HASH, "")
        at = uid, revision, id(pod.constraints)
        ruled = known.get(at)
        if ruled is None:
            ruled = known[at] = _ruled(owner_of(uid), revision, pod.constraints)
        gang = pod.labels.get(names.RUN, "") if ruled[0].gang else ""
        groups.setdefault((_class_of(pod, *ruled), gang), []).append(pod)
    return [
        workload.Waiting(
            kind=kind,
            keys=tuple(pod.key for pod in sorted(group, key=lambda pod: (pod.created_at, pod.key))),
            since=min(pod.created_at for pod in group),
            lasts=_longest(pod.lasts for pod in group),
            gang=gang,
        )
        for (kind, gang), group in groups.items()
    ]


def claiming(kind: workload.PodClass, task: action.Task) -> workload.PodClass:
    """The class of a task that has claims of its own: it runs where those can be mounted."""
    if not task.claims:
        return kind
    claims = (*kind.constraints.claims, *(claim for _, claim in task.claims))
    return replace(kind, constraints=replace(kind.constraints, claims=claims))


def gangs_whole(waiting: list[workload.Waiting]) -> list[workload.Waiting]:
    """Tasks of one gang together, whether their pods exist or not; all else as it is."""
    found: list[workload.Waiting] = []
    gangs: dict[tuple[workload.PodClass, str], int] = {}  # where it is in the list
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
    """The longest of these run times; None when one of them is not known."""
    longest = 0
    for seconds in expected:
        if seconds is None:
            return None
        longest = max(longest, seconds)
    return longest


def _ruled(resource: Resource | None, revision: str, stored: pods_.Constraints) -> _Ruled:
    """A pod's rules by its resource, and its constraints without what they were compiled into."""
    rules = workload.FREELY if resource is None else placing.rules(resource, revision)
    return rules, placing.stripped(stored, rules)


def _class_of(
    pod: pods_.Pod, rules: workload.PlacementRules, constraints: pods_.Constraints
) -> workload.PodClass:
    """The class of an existing unplaced pod, as `Admissions.shape` gives it for our own tasks."""
    owner = pod.owner
    return workload.PodClass(
        namespace=pod.namespace,
        request=pod.request,
        constraints=constraints,
        labels=tuple(sorted(item for item in pod.labels.items() if item[0] not in _PER_TASK)),
        priority=pod.priority,
        workload=f"{owner.kind}/{pod.namespace}/{owner.name}" if owner is not None else "",
        placement=rules,
    )
