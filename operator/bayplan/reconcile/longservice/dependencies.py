"""What a service waits for before its first start and before an update, for a limited time.

In Marathon, a service waited for ever for a dependency that never got healthy. Here each wait has
an end, and a circle is reported instead of waited for. Running instances are never touched.
"""

from collections.abc import Callable

from bayplan.api.longservice import LongServiceSpec
from bayplan.api.resource import Resource
from bayplan.model import graph
from bayplan.reconcile import conditions
from bayplan.reconcile.view import FREE, Dependencies

LOOK_AGAIN_SECONDS = 5  # a waiting service asks this often; nobody rings for it

Find = Callable[[str], Resource | None]  # a LongService of the namespace by name


def of(service: Resource, find: Find) -> Dependencies:
    """What is known of the services that this one depends on; nothing if it depends on none."""
    names = _names(service)
    if not names:
        return FREE
    found = {name: find(name) for name in names}
    ready = {
        name: conditions.status_of(one.status.get("conditions"), conditions.READY) == "True"
        and one.status.get("observedGeneration") == one.generation
        for name, one in found.items()
        if one is not None and not one.deleting
    }
    return Dependencies(ready, graph.cycle(service.name, lambda name: _names(find(name))))


def unmet(spec: LongServiceSpec, known: Dependencies, since: int, now: int) -> dict[str, int]:
    """The services still waited for, and until when (epoch seconds)."""
    return {
        one.name: since + one.timeout_seconds
        for one in spec.depends_on
        if not known.ready.get(one.name) and since + one.timeout_seconds > now
    }


def _names(service: Resource | None) -> tuple[str, ...]:
    if service is None or not isinstance(service.spec, LongServiceSpec):
        return ()
    return tuple(one.name for one in service.spec.depends_on)
