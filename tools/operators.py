"""The table of constraint operators in docs/reference/placement.md."""

from collections.abc import Iterator

from bayplan.model.constraints import AllTogether, AtMost, EvenShares, Meaning, Operator

Row = tuple[str, str, str, str]


def rows() -> Iterator[Row]:
    """The word, the value beside it, what it means, and what an autoscaler reads in the pod."""
    for operator in Operator:
        meaning = operator.meaning
        value = meaning.value.words if meaning.value is not None else "none"
        if meaning.optional:
            value += ", or none"
        yield f"`{operator.value}`", value, meaning.says, " or ".join(_compiled(meaning))


def _compiled(meaning: Meaning) -> Iterator[str]:
    """What `bayplan.api.compiled_rules` makes of the operator."""
    test = meaning.node
    if test is not None and test.literal:
        yield "node affinity"
    elif test is not None:
        listed = "`NotIn`" if test.negated else "`In`"
        yield f"node affinity, {listed} the known values that match"
    match meaning.coupling:
        case AtMost(limit=1):
            yield "required anti-affinity to its peers"
        case AtMost():
            yield "label `bayplan.dev/place`, anti-affinity to peers with the same place"
        case AllTogether():
            yield "pod affinity to its peers"
        case EvenShares():
            yield "topology spread, `maxSkew: 1`, `DoNotSchedule`"
        case None:
            return
