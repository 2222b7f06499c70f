"""Rules about what is written into statuses: I7, I8 and a part of P10."""

from collections import Counter

from tests.audit import readings
from tests.audit.verdicts import Verdicts
from tests.audit.world import Object, World

QUIET_SECONDS = 10.0  # without news: whatever follows from the last news has been written
MOST_QUIET_WRITES = 3  # of one status; what a deadline or the clock brings
_COUNTERS = ("runs", "successes", "failures", "missed", "lost", "cancelled")


class Statuses:
    """Is told of all news, and of each write of a status with the version before it."""

    def __init__(self, world: World, verdicts: Verdicts) -> None:
        self._world, self._verdicts = world, verdicts
        self._moves: dict[str, dict[str, int]] = {}  # service's uid -> pod's uid -> begun when
        self._stirred = 0.0  # when there was news of anything but a status of ours
        self._writes: Counter[str] = Counter()  # of statuses since it is quiet, by uid

    def compare(self, before: Object, after: Object) -> None:
        """Of one resource."""
        self._judge_counts(before, after)
        self._judge_moves(readings.uid(after), after)

    def _judge_counts(self, before: Object, after: Object) -> None:
        """P10: what was counted stays counted, and the clock of slots never goes back."""
        old, new = before.get("status", {}), after.get("status", {})
        for word in _COUNTERS:
            was = old.get("statistics", {}).get(word, 0)
            now = new.get("statistics", {}).get(word, 0)
            if now < was:
                self._verdicts.wrong("P10", after, f"statistics.{word} fell from {was} to {now}")
        if old.get("lastSlotTime") and new.get("lastSlotTime", "") < old["lastSlotTime"]:
            self._verdicts.wrong(
                "P10", after, f"lastSlotTime {old['lastSlotTime']} → {new.get('lastSlotTime')}"
            )

    def _judge_moves(self, uid: str, body: Object) -> None:
        """I7: in no hour more moves than some spec allowed, also those that the status forgets."""
        begun = self._moves.setdefault(uid, {})
        for move in body.get("status", {}).get("recentMoves", ()):
            if move["uid"] in begun:
                continue
            at = begun[move["uid"]] = readings.seconds(move["time"])
            most = max(map(readings.most_moves, self._world.specs[uid]))
            count = sum(at - 3600 < other <= at for other in begun.values())
            if count > most:
                self._verdicts.wrong("I7", body, f"began move {count} of at most {most} an hour")

    def judge_quiet(self, body: Object, at: float) -> None:
        """I8: where nothing happens, nothing is written: of a service, whom no schedule wakes."""
        if at - self._stirred < QUIET_SECONDS:
            return
        uid = readings.uid(body)
        self._writes[uid] += 1
        if self._writes[uid] == MOST_QUIET_WRITES + 1:
            seconds = int(at - self._stirred)
            self._verdicts.wrong(
                "I8", body, f"its status changes on, {seconds} s after the last news"
            )

    def stir(self, at: float) -> None:
        self._stirred = at
        self._writes.clear()

    def is_heartbeat(self, body: Object) -> bool:
        """A node that says again what is known of it."""
        known = self._world.nodes.get(body["metadata"]["name"]) if body["kind"] == "Node" else None
        return known is not None and readings.same_node(known.now, body)
