"""Which sight is the newest; deletions are remembered while older news may come, and no longer."""

from bayplan.cluster.versions import MOST_REMEMBERED, REMEMBERED_SECONDS, Versions
from bayplan.cluster.wire import Seen


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def seen(name: str, version: int, uid: str = "") -> Seen:
    return Seen("default", name, uid or f"uid-{name}", version, None)


def test_late_news_does_not_bring_an_object_back() -> None:
    """Neither an older sight, nor any of the uid that has gone; a namesake is another object."""
    book = Versions(Clock())
    book.newer(seen("a", 5))
    book.ended(("default", "a"), "uid-a", 7)

    assert not book.newer(seen("a", 6))
    assert not book.newer(seen("a", 9))
    assert not book.newer(seen("a", 6, "uid-before"))
    assert book.newer(seen("a", 8, "uid-after"))


def test_deletions_are_forgotten_once_no_older_news_can_come() -> None:
    """Memory follows how many are deleted in two minutes, not how many ever were."""
    clock = Clock()
    book = Versions(clock)
    sizes = []
    for number in range(20 * 120):
        clock.now += 0.5
        key = "default", f"p{number}"
        book.newer(seen(key[1], 2 * number + 1))
        book.ended(key, f"uid-{key[1]}", 2 * number + 2)
        sizes.append(len(book.buried))
    last = book.buried["default", f"p{20 * 120 - 1}"]

    assert 2 * REMEMBERED_SECONDS == max(sizes) == sizes[-1]
    assert not book.known
    assert clock.now == last[2]


def test_so_many_deletions_are_remembered_at_the_most() -> None:
    """A storm of them within two minutes: the oldest are forgotten."""
    book = Versions(Clock())
    for number in range(MOST_REMEMBERED + 5):
        book.ended(("default", f"p{number}"), f"u{number}", number)

    assert MOST_REMEMBERED == len(book.buried)
    assert ("default", "p4") not in book.buried
    assert ("default", "p5") in book.buried


def test_a_deletion_told_again_counts_from_then() -> None:
    clock = Clock()
    book = Versions(clock)
    book.ended(("default", "a"), "u", 1)
    clock.now = REMEMBERED_SECONDS - 1
    book.ended(("default", "a"), "u", 3)
    book.ended(("default", "b"), "v", 4)
    clock.now = REMEMBERED_SECONDS + 1
    book.ended(("default", "c"), "w", 5)

    assert {"a", "b", "c"} == {name for _, name in book.buried}
