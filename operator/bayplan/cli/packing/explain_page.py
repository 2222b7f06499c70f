"""The text of `bayplan explain` for a workload or a pod: the reason first, each sentence once."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_MOST_LINES = 8  # of pods
_MOST_NAMES = 3  # in a line
_FUNNEL = re.compile(r"(^|: )0/\d+ nodes\b.*", re.DOTALL)


def lines(told: Mapping[str, Any]) -> list[str]:
    """The account as lines of text."""
    said = [_title(told), *(f"trouble: {one}" for one in told["trouble"])]
    said += [f"run {one['run']}: {_stands(one)}" for one in told.get("runs", ())]
    said += _elsewhere(told["elsewhere"])
    for one in told["waiting"]:
        said += _waiting(one)
    for one in told["conditions"]:
        said.append(_condition(one, said, waits=bool(told["waiting"])))
    if told.get("drifted"):
        cure = (
            "spec.rebalance moves them where there is room"
            if told["rebalances"]
            else "they stay; spec.rebalance.maxMovesPerHour would move them"
        )
        said.append(f"drifted: {told['drifted']} break placement as it is now; {cure}")
    said += _pods([one for one in told["pods"] if one["phase"] not in {"Succeeded", "Failed"}])
    coming = told.get("next")
    if coming is not None:
        said += _grouped("would create", coming["creates"])
        said += [f"would delete {one['name']}: {one['why']}" for one in coming["deletes"]]
        if coming["lookedAtAgain"]:
            said.append(f"looked at again at {coming['lookedAtAgain']}")
    said += _events(told["events"])
    return said


def _title(told: Mapping[str, Any]) -> str:
    title = f"{told['kind']} {told['namespace']}/{told['name']}"
    if told.get("wanted") is None:
        return title
    return f"{title}: {told['ready']} of {_counted(told['wanted'])} ready"


def _stands(run: Mapping[str, Any]) -> str:
    """Where an unfinished run stands: `runs on n1 since …, attempt 2`."""
    node = f" on {run['node']}" if run.get("node") else ""
    why = f" ({run['reason']})" if run.get("reason") else ""
    number = run.get("attempt", 0) + 1
    if run.get("retryTime"):
        return f"attempt {number} comes at {run['retryTime']}{why}"
    if run["state"] == "Running":
        since = f" since {run['startTime']}" if run.get("startTime") else ""
        return f"runs{node}{since}, attempt {number}{why}"
    return f"attempt {number} waits for {f'its containers{node}' if node else 'a node'}{why}"


def _elsewhere(waiting: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What its pods wait for, where that is not Bayplan."""
    for one in waiting:
        wait = "1 pod waits" if one["pods"] == 1 else f"{one['pods']} pods wait"
        if one["gated"]:
            yield f"{wait} until somebody removes spec.schedulingGates"
        else:
            yield (
                f"{wait} for the scheduler {one['scheduler']}: Bayplan places pods whose "
                "spec.schedulerName is bayplan; `kubectl describe pod` says why"
            )


def _waiting(one: Mapping[str, Any]) -> Iterator[str]:
    """The sentence, the funnel and what would help."""
    message, nearest = one["message"], one.get("nearest")
    if nearest is not None and len(one["refusals"]) == 1:  # which says the same
        message = message.removesuffix(f"; nearest {nearest['node']}: {nearest['lacks']}")
    yield f"{one['pendingTasks']} waiting since {one['pendingSince']}: {message}"
    left = one["nodesConsidered"]
    for refusal in one["refusals"]:
        detail = f" {refusal['detail']}" if "detail" in refusal else ""
        left -= refusal["nodes"]
        yield f"  {refusal['nodes']:>6} {refusal['reason']}{detail} ({left} left)"
    yield from (f"  would fit {hint}" for hint in one["wouldFit"])


def _condition(one: Mapping[str, str], said: Sequence[str], *, waits: bool) -> str:
    """A condition; without its message if that has been said, and without the funnel if one is."""
    message = _FUNNEL.sub("", one["message"]) if waits else one["message"]
    news = message.rstrip(".") and not any(message.rstrip(".") in line for line in said)
    tail = f": {message}" if news else ""
    return f"  {one['type']}={one['status']} ({one['reason']}){tail}"


def _pods(pods: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Where its pods are; pods on one node that ask for the same are told together."""
    groups: dict[tuple[str, str, str, str], list[Mapping[str, Any]]] = {}
    for one in pods:
        asks = ", ".join(f"{amount} {name}" for name, amount in one["request"].items())
        place = one["node"], one["wouldGo"], one["nominatedNode"] if not one["node"] else ""
        if any(place):
            groups.setdefault((*place, asks), []).append(one)
    shown = list(groups.items())[:_MOST_LINES]
    for (node, would, held, asks), each in shown:
        names = _names([one["name"] for one in each])
        if node:
            where = ", ".join(filter(None, (each[0]["instanceType"], each[0]["zone"])))
            who = names if len(each) == 1 else f"{len(each)} pods"
            every = "" if len(each) == 1 else " each"
            those = "" if len(each) == 1 else f": {names}"
            yield f"on {node} ({where or 'no labels'}): {who}, asks {asks}{every}{those}"
        elif would:
            yield f"would go to {would} now: {names}"
        else:
            yield f"a place is held for {names} on {held}"
    rest = sum(map(len, groups.values())) - sum(len(each) for _, each in shown)
    if rest:
        yield f"… and {rest} more pods that have a node"


def _grouped(verb: str, names: Sequence[str]) -> Iterator[str]:
    if len(names) == 1:
        yield f"{verb} {names[0]}"
    elif names:
        yield f"{verb} {len(names)} pods: {_names(names)}"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _events(events: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """The events by their last time; equal ones are told once, with their number."""
    equal: dict[tuple[str, str, str], list[str]] = {}
    for one in reversed(events):
        equal.setdefault((one["type"], one["reason"], one["message"]), []).append(one["time"])
    for (sort, reason, message), times in reversed(equal.items()):
        often = f" ({len(times)} times)" if len(times) > 1 else ""
        yield f"event {times[0]} {sort} {reason}: {message}{often}"


def _counted(pods: int) -> str:
    return "1 pod" if pods == 1 else f"{pods} pods"
