"""`status.effectiveRequests`: what one pod of the template really asks for, as the server said."""

from collections.abc import Mapping
from typing import Any

from bayplan import units
from bayplan.model import resources
from bayplan.reconcile.action import Admission
from bayplan.reconcile.ledger import time_text


def effective_requests(
    admission: Admission | None, stored: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """What one pod asks for; a new `checkedTime` alone is no reason to write."""
    before = stored.get("effectiveRequests")
    before = before if isinstance(before, Mapping) else None
    if admission is None or admission.refusal:
        return before
    told = {
        "templateHash": admission.template_hash,
        "requests": {
            name: units.format_amount(name, amount)
            for name, amount in admission.request.items()
            if name != resources.PODS
        },
    }
    if before is not None and {**before, **told} == before:
        return before
    return {**told, "checkedTime": time_text(admission.checked_at)}
