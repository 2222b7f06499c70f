"""`status.effectiveRequests`: what one pod of the template really asks for, from the API server."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bayplan import units
from bayplan.api.times import time_text
from bayplan.model import resources
from bayplan.model.admission import Admission
from bayplan.model.intents import EmitEvent
from bayplan.reconcile.conditions import cut


def requests(admission: Admission | None, stored: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What one pod asks for; a new `checkedTime` alone is no reason to write the status."""
    before = stored.get("effectiveRequests")
    before = before if isinstance(before, Mapping) else None
    if admission is None or admission.refusal:
        return before
    told: dict[str, Any] = {
        "templateHash": admission.template_hash,
        "requests": {
            name: units.format_amount(name, amount)
            for name, amount in admission.request.items()
            if name != resources.PODS
        },
    }
    if admission.placing:
        told["placementHash"] = admission.placing
    if admission.unknown_fields:
        told["unknownFields"] = list(admission.unknown_fields)
    if before is not None and {**told, "checkedTime": before.get("checkedTime")} == before:
        return before
    return {**told, "checkedTime": time_text(admission.checked_at)}


def news(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[EmitEvent]:
    """One event per template whose unknown fields have no effect; arguments are whole statuses."""
    template, unknown = _unknown(after)
    if unknown and (template, unknown) != _unknown(before):
        what = "is no field" if len(unknown) == 1 else "are no fields"
        yield EmitEvent(
            "UnknownField",
            cut(f"{', '.join(unknown)} {what} of a pod and left out: mend the name or remove it."),
            warning=True,
        )


def _unknown(status: Mapping[str, Any]) -> tuple[object, Sequence[str]]:
    """The hash of the template that was checked, and its fields that have no effect."""
    record = status.get("effectiveRequests")
    if not isinstance(record, Mapping):
        return None, ()
    return record.get("templateHash"), record.get("unknownFields", ())
