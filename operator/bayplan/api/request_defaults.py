"""Requests and limits that a template does not state: from the namespace, or else our own.

`isolation` promises that memory is bounded (Shared) or that limits equal requests (Strict). What
the pod as a whole states holds for all its containers together: then they get no figures of ours.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bayplan import units
from bayplan.model.limits import NO_LIMITS, Limits, amount
from bayplan.model.resources import CPU, MEMORY

DEFAULTS = {CPU: "100m", MEMORY: "128Mi"}

_GROUPS = ("containers", "initContainers")
_Containers = Sequence[Mapping[str, Any]]


def filled(
    pod_spec: Mapping[str, Any], limits: Limits = NO_LIMITS, *, strict: bool
) -> dict[str, Any]:
    """The spec of a pod with what its isolation promises.

    What LimitRanges would fill in is written as they would write it: so it is known before the API
    server is asked, and no figure of ours gets in the way of LimitRanges.
    """
    whole = pod_spec.get("resources") or {}
    shared = {**(whole.get("limits") or {}), **(whole.get("requests") or {})}
    groups = {group: pod_spec[group] for group in _GROUPS if pod_spec.get(group)}
    known = {**shared, **limits.requests, **limits.limits}
    ours = {name: _ours(name, groups, limits) for name in DEFAULTS if name not in known}
    found = {
        **pod_spec,
        **{
            group: [_container(one, ours, limits, shared, strict=strict) for one in containers]
            for group, containers in groups.items()
        },
    }
    if shared:
        found["resources"] = _whole(found, strict=strict)
    return found


def _ours(name: str, groups: Mapping[str, _Containers], limits: Limits) -> str:
    """Our figure for containers without one, within what the namespace allows for a pod."""
    text = DEFAULTS[name]
    figure = units.amount(name, text)
    many = sum(_stated(one, name) is None for one in _lasting(groups)) or 1
    if name in limits.least:
        lacking = amount(name, limits.least[name]) - _together(name, groups, figure)
        figure += max(0, -(-lacking // many))
    if name in limits.most:
        over = _together(name, groups, figure) - amount(name, limits.most[name])
        figure -= max(0, -(-over // many))
    changed = figure > 0 and figure != units.amount(name, text)
    return units.format_amount(name, figure) if changed else text


def _lasting(groups: Mapping[str, _Containers]) -> list[Mapping[str, Any]]:
    """Containers that run together: all but the init containers that end."""
    sidecars = [one for one in groups.get("initContainers", ()) if _stays(one)]
    return [*groups.get("containers", ()), *sidecars]


def _together(name: str, groups: Mapping[str, _Containers], figure: int) -> int:
    """What a pod asks for in total, with `figure` for what is not stated (PodRequests)."""

    def of(one: Mapping[str, Any]) -> int:
        stated = _stated(one, name)
        return figure if stated is None else stated

    total = sum(map(of, _lasting(groups)))
    started = most = 0
    for one in groups.get("initContainers", ()):
        started += of(one) if _stays(one) else 0
        most = max(most, started + (0 if _stays(one) else of(one)))
    return max(total, most)


def _stays(container: Mapping[str, Any]) -> bool:
    return container.get("restartPolicy") == "Always"


def _stated(container: Mapping[str, Any], name: str) -> int | None:
    """The container's request, or else its limit; None if it states neither."""
    resources = container.get("resources") or {}
    for part in ("requests", "limits"):
        if name in (resources.get(part) or {}):
            return amount(name, resources[part][name])
    return None


def _container(
    container: Mapping[str, Any],
    ours: Mapping[str, str],
    namespace: Limits,
    shared: Mapping[str, Any],
    *,
    strict: bool,
) -> dict[str, Any]:
    """A container with its figures; `ours` omits what the pod as a whole states (`shared`)."""
    stated = container.get("resources") or {}
    own = dict(stated.get("limits") or {})
    requests = {
        **ours,
        **namespace.limits,
        **namespace.requests,
        **own,
        **(stated.get("requests") or {}),
    }
    if strict:
        limits = {**namespace.limits, **requests, **own}
        limits |= {name: requests[name] for name in DEFAULTS if name in requests}
    else:
        limits = {**namespace.limits, **own}
        asked = requests.get(MEMORY)
        bound = asked is not None and MEMORY not in own
        if bound and MEMORY in limits:  # a default limit below what is asked for would be refused
            limits[MEMORY] = max(limits[MEMORY], asked, key=lambda text: amount(MEMORY, text))
        elif bound and MEMORY not in shared:
            limits[MEMORY] = asked
    found = {"requests": requests, "limits": limits}
    kept = {name: of for name, of in found.items() if of or name in stated}
    return {**container, "resources": {**stated, **kept}}


def _whole(pod_spec: Mapping[str, Any], *, strict: bool) -> dict[str, Any]:
    """The figures of the pod as a whole, once its containers have theirs."""
    stated = pod_spec["resources"]
    requests, limits = dict(stated.get("requests") or {}), dict(stated.get("limits") or {})
    groups = {group: pod_spec[group] for group in _GROUPS if pod_spec.get(group)}
    if strict:  # the pod is Guaranteed only if both are stated
        for name in DEFAULTS:
            if name not in requests and name in limits:
                requests[name] = limits[name]
            elif name not in requests:
                requests[name] = units.format_amount(name, _together(name, groups, 0))
            limits[name] = requests[name]
    elif MEMORY in requests and MEMORY not in limits:
        bounds = [one["resources"].get("limits", {}).get(MEMORY) for one in _lasting(groups)]
        limits[MEMORY] = max(
            (text for text in (requests[MEMORY], *bounds) if text is not None),
            key=lambda text: amount(MEMORY, text),
        )
    found = {"requests": requests, "limits": limits}
    return {**stated, **{name: of for name, of in found.items() if of}}
