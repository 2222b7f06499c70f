"""Room that a Pool keeps free for pods to come: placeholders that wait like pods and never run."""

from bayplan import units
from bayplan.api import names
from bayplan.api.pool import PoolSpec
from bayplan.model import resources
from bayplan.model.pods import Constraints, Toleration
from bayplan.model.workloads import PodClass, Waiting
from bayplan.scheduler.pools.menus import Menus

_CPU_MILLI, _MEMORY_BYTES = 1000, 4 << 30  # of a piece, at most
NAMESPACE = "~headroom"  # no real namespace can have this name
_LOWEST = -(1 << 31)


def headroom(menus: Menus) -> list[Waiting]:
    """The headroom of each buying Pool, in pieces that small nodes hold."""
    return [
        group
        for name, spec in menus.buying.items()
        if (group := _placeholders(name, spec)) is not None
    ]


def _placeholders(pool: str, spec: PoolSpec) -> Waiting | None:
    wanted = spec.buying.headroom
    cpu, memory = units.milli(wanted.cpu), units.milli(wanted.memory) // 1000
    if not (cpu or memory):
        return None
    pieces = max(-(-cpu // _CPU_MILLI), -(-memory // _MEMORY_BYTES))
    request = {
        resources.CPU: -(-cpu // pieces),
        resources.MEMORY: -(-memory // pieces),
        resources.PODS: 1,
    }
    constraints = Constraints(
        selector=((names.POOL, pool),), tolerations=(Toleration("", "Exists", "", ""),)
    )
    kind = PodClass(NAMESPACE, resources.Vector(request), constraints, priority=_LOWEST)
    return Waiting(kind, tuple((NAMESPACE, f"{pool}-{number}") for number in range(pieces)))
