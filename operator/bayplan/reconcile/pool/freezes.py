"""Why no pod of a Pool begins to move now: each cause with its reason, a sentence and a remedy.

What moves already goes on.
"""

from bayplan.api.times import rfc3339
from bayplan.reconcile.pool.quiet import Problem


def waiting(pods: int) -> Problem:
    """Pods wait for a node of the Pool; they come first."""
    return Problem("PodsWait", f"Pods that wait for room come first ({pods}).")


def unpriced() -> Problem:
    """Without prices nobody knows what a move would save."""
    return Problem(
        "PricesUnknown",
        "Prices are not known, so that nobody can tell what a move saves. Make the metrics of "
        "Karpenter reachable, or set --karpenter-metrics or --prices-file.",
    )


def degraded(words: str) -> Problem:
    """The API server does not answer, or refuses writes; `words` are its own."""
    said = f" ({words[:300].strip().rstrip('.')})" if words else ""
    return Problem(
        "ApiDegraded",
        f"The API server does not do all that it is asked{said}. Mend what it complains of.",
    )


def outside(opens_at: int | None) -> Problem:
    """No window is open; the next opens at `opens_at` (epoch seconds), None if none ever does."""
    opens = f"; the next opens at {rfc3339(opens_at)}" if opens_at is not None else ""
    return Problem("OutsideWindows", f"No window of spec.consolidation.windows is open{opens}.")


def silence() -> Problem:
    """So many nodes fell silent that nothing is moved anywhere."""
    return Problem(
        "NodesSilent",
        "Many nodes fell silent at once, so that nothing moves until they answer or are gone.",
    )


def spent(most: int) -> Problem:
    """As many pods as may move within an hour have moved."""
    return Problem(
        "MovesSpent",
        f"{most} pods moved within the last hour, as many as spec.consolidation."
        "maximumMovesPerHour allows. Raise it, or wait.",
    )


def forbidden(field: str) -> Problem:
    """A field of `spec.consolidation` that is 0 lets no pod move."""
    return Problem(
        "MovesForbidden",
        f"spec.consolidation.{field} is 0, so that no pod is moved; nodes are given back as their "
        "pods leave by themselves. Raise it to have pods moved.",
    )
