"""Warnings of a LongService whose instances stop while an AWS target group still sends to them."""

from collections.abc import Iterator, Mapping
from typing import Any

import pydantic

from bayplan.api import names, target_groups
from bayplan.api.service import Service
from bayplan.cli.lint.marked import Path_
from bayplan.model.untyped import mapping, sequence

_SERVICE: Path_ = ("spec", "service")
_POD: Path_ = ("spec", "template", "spec")


def warnings(body: Mapping[str, Any]) -> Iterator[tuple[Path_, str]]:
    """What is too short for the deregistration delay, each with its field and the remedy."""
    if body.get("kind") != names.LONGSERVICE:
        return
    spec = mapping(body.get("spec"))
    try:
        service = Service.model_validate(spec.get("service"))
    except pydantic.ValidationError:
        return
    delay = service.deregistration_seconds
    if delay is None:
        return
    yield from _unreadable(service)
    sends = f"but the target group sends to an instance for {delay} s after it is deregistered"
    if service.drain_seconds is not None and service.drain_seconds < delay:
        least = delay + target_groups.DEREGISTERING_SECONDS
        said = f"is {service.drain_seconds}, {sends}; remove it or write at least {least}"
        yield (*_SERVICE, "drainSeconds"), said
        return
    wanted = service.serves_on_seconds
    pod = mapping(mapping(spec.get("template")).get("spec"))
    grace = pod.get("terminationGracePeriodSeconds")
    if type(grace) is int and grace <= wanted:
        said = (
            f"is {grace}, but an instance serves on for {wanted} s while its target is "
            f"deregistered; remove it, write at least {wanted + 30}, or lower "
            f"{target_groups.DELAY} in spec.service.annotations"
        )
        yield (*_POD, "terminationGracePeriodSeconds"), said
    for index, container in enumerate(sequence(pod.get("containers"))):
        hook = mapping(mapping(mapping(container).get("lifecycle")).get("preStop"))
        seconds = mapping(hook.get("sleep")).get("seconds")
        if type(seconds) is int and seconds < delay:
            said = f"is {seconds}, {sends}; remove the hook or write at least {wanted}"
            where = ("containers", index, "lifecycle", "preStop", "sleep", "seconds")
            yield (*_POD, *where), said


def _unreadable(service: Service) -> Iterator[tuple[Path_, str]]:
    name = target_groups.attributes(
        service.annotations, load_balancer=service.type == "LoadBalancer"
    )
    stated = None if name is None else target_groups.stated_delay(service.annotations, name)
    if name is not None and stated is not None and not target_groups.is_delay(stated):
        most = target_groups.MOST_DELAY_SECONDS
        said = f"{target_groups.DELAY} is {stated!r}; write whole seconds from 0 to {most}"
        yield (*_SERVICE, "annotations", name), said
