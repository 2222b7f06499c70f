"""Orders for nodes wait in line, so that few claims are without an instance at any time.

Karpenter launches some nodes a second: EC2's CreateFleet allows 50 calls at once and then 5 a
second. While a claim has no instance, Karpenter buys nothing for anybody else, and a claim that
waits for long counts as stuck. So the next order goes out when an earlier order has its instance.
"""

from collections import deque
from collections.abc import Callable

from bayplan.cluster.pools import Pools

MOST_UNLAUNCHED = 40


class ClaimLine:
    """`join` calls `send` at once, or later from `move`; a claim in line counts as on its way."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools
        self._line: deque[tuple[str, Callable[[bool], None]]] = deque()
        self._moving = False
        pools.heard = self.move

    def join(self, name: str, send: Callable[[bool], None]) -> None:
        """Send the order of this claim when it may; `send` is told whether it has waited."""
        if not self._line and self._unlaunched(besides=name) < MOST_UNLAUNCHED:
            send(False)
        else:
            self._line.append((name, send))

    def move(self) -> None:
        """Send the next orders if they may; call this when a claim has changed."""
        if self._moving or not self._line:
            return
        self._moving = True
        try:
            free = MOST_UNLAUNCHED - self._unlaunched()
            while self._line and free > 0:
                _, send = self._line.popleft()
                send(True)
                free -= 1
        finally:
            self._moving = False

    def _unlaunched(self, besides: str = "") -> int:
        """How many claims are sent and have no instance, whoever ordered them."""
        waiting = {name for name, _ in self._line} | {besides}
        return sum(
            not (claim.provider_id or claim.deleting or claim.group or claim.name in waiting)
            for claim in self._pools.claims.values()
        )
