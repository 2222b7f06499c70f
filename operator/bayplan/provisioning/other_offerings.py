"""Finds options with which a pod would fit: other types, a larger disk, labels of a pool."""

import re
from collections.abc import Callable, Sequence

from bayplan.cloud import prices
from bayplan.model import label_values, requirements, resources
from bayplan.model.workloads import PodClass
from bayplan.provisioning import offerings
from bayplan.provisioning.demand import Shop
from bayplan.provisioning.offerings import Offer

_MICRO = 1_000_000
_ANY = "true"  # a label's value where every one will do
_LABEL_VALUE = re.compile(label_values.LABEL_VALUE)
_LARGEST_DISK = 16 << 10  # GiB of a volume of EBS


def hint(
    kind: PodClass,
    menu: Sequence[Offer],
    shop: Callable[[Sequence[Offer]], Shop],
    book: prices.Book,
) -> tuple[str, ...]:
    """A hint such as `on new nodes with --instance-type g4dn.xlarge`; empty if nothing helps."""
    if not menu:
        return ()
    lacking = {key: value for key, value in _wanted(kind).items() if key not in _given(menu[0])}
    storage = kind.request.amount(resources.EPHEMERAL_STORAGE)
    disk = 0
    if storage > max(offer.room.amount(resources.EPHEMERAL_STORAGE) for offer in menu):
        disk = offerings.disk_for(storage)
    if disk > _LARGEST_DISK:
        return ()
    said = [f"--disk {disk}"] if disk else []
    said += [f"--node-label {key}={value}" for key, value in lacking.items()]
    names = [offer.name for offer in menu]
    known = list(dict.fromkeys(names)) if said else []
    for types in (known, *offerings.ladder(names)):
        if not types:
            continue
        offers = offerings.offers(
            types,
            book,
            labels={**dict(menu[0].labels), **lacking},
            disk_bytes=(disk or offerings.DISK_GIB) << 30,
        )
        found = shop(offers).more(kind, 1)
        if found:
            offer = found[0][0]
            if offer.name not in names:
                said = [f"--instance-type {offer.name}", *said]
            return (f"on new nodes with {' '.join(said)} (${offer.price / _MICRO:.4f} an hour)",)
    return ()


def _given(offer: Offer) -> dict[str, str]:
    """Keys of the labels that every node has."""
    return dict(offer.node("any", "any").labels)


def _wanted(kind: PodClass) -> dict[str, str]:
    """Labels that its node must have, with a value for each; the first of alternatives."""
    wanted = dict(kind.constraints.selector)
    for term in (kind.constraints.affinity or ())[:1]:
        for key, one in term.labels:
            value = _example(one)
            if value is not None:
                wanted.setdefault(key, value)
    for constraint in kind.placement.constraints:
        accepts = constraint.accepts()
        if accepts is not None and not constraint.accepts_absence():
            values = filter(_LABEL_VALUE.fullmatch, (constraint.value, _ANY))
            value = next(filter(accepts, values), None)
            if value is not None:
                wanted.setdefault(constraint.label, value)
    return wanted


def _example(wanted: requirements.Requirement) -> str | None:
    """A value that the requirement accepts; None if the label may be absent."""
    if wanted.has(None):
        return None
    return next((one for one in (*sorted(wanted.values), _ANY) if wanted.has(one)), None)
