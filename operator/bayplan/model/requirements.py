"""Requirements on labels as sets: which values one label may have.

`In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt`, `Lt` of Kubernetes are one kind of set: some values
or all but some values, within integer bounds, and with or without acceptance of an absent label.
The model is Karpenter's algebra (kubernetes-sigs/karpenter, pkg/scheduling/requirement.go).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

Labels = Mapping[str, str]

_HOSTNAME = "kubernetes.io/hostname"
_MOST_DIGITS = 64  # a label's value has at most this many
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1  # the range that Kubernetes parses in Gt and Lt


@dataclass(frozen=True, slots=True)
class Requirement:
    """The values that one label may have.

    `complement` makes `values` the forbidden values. `absent_ok` says whether an object without
    the label is accepted: true for NotIn and DoesNotExist only (Kubernetes' rule). `above` and
    `below` are exclusive integer bounds; a value that is not an integer never meets a bound.
    """

    values: frozenset[str] = frozenset()
    complement: bool = False
    absent_ok: bool = False
    above: int | None = None
    below: int | None = None

    def has(self, value: str | None) -> bool:
        """Whether a label of this value (None: the label is absent) is accepted."""
        if value is None:
            return self.absent_ok
        if (value in self.values) is self.complement:
            return False
        if self.above is None and self.below is None:
            return True
        number = _integer(value)
        if number is None:
            return False
        above = self.above is None or number > self.above
        return above and (self.below is None or number < self.below)

    def __and__(self, other: "Requirement") -> "Requirement":
        """What both accept: `(a & b).has(v) == (a.has(v) and b.has(v))` for every value."""
        match self.complement, other.complement:
            case True, True:
                values, complement = self.values | other.values, True
            case True, False:
                values, complement = other.values - self.values, False
            case False, True:
                values, complement = self.values - other.values, False
            case _:
                values, complement = self.values & other.values, False
        aboves = [bound for bound in (self.above, other.above) if bound is not None]
        belows = [bound for bound in (self.below, other.below) if bound is not None]
        return Requirement(
            values,
            complement=complement,
            absent_ok=self.absent_ok and other.absent_ok,
            above=max(aboves, default=None),
            below=min(belows, default=None),
        )


ANYTHING = Requirement(complement=True, absent_ok=True)
NOTHING = Requirement()


def requirement(operator: str, values: Collection[str] = ()) -> Requirement:
    """The set for a Kubernetes operator and its values.

    An operator or a bound that Kubernetes does not know accepts nothing: a pod that asks for
    something unknown waits with a reason and does not run where it should not.
    """
    match operator:
        case "In":
            return Requirement(frozenset(values))
        case "NotIn":
            return Requirement(frozenset(values), complement=True, absent_ok=True)
        case "Exists":
            return Requirement(complement=True)
        case "DoesNotExist":
            return Requirement(absent_ok=True)
        case "Gt" | "Lt":
            bound = _integer(next(iter(values), ""))
            if bound is None:
                return NOTHING
            if operator == "Gt":
                return Requirement(complement=True, above=bound)
            return Requirement(complement=True, below=bound)
        case _:
            return NOTHING


@dataclass(frozen=True, slots=True)
class Term:
    """Requirements that must all hold: on labels, and on fields (`metadata.name` only)."""

    labels: tuple[tuple[str, Requirement], ...] = ()
    name: Requirement = ANYTHING
    never: bool = False  # an empty node selector term matches nothing (Kubernetes' rule)

    def matches(self, labels: Labels, name: str = "") -> bool:
        if self.never or not self.name.has(name):
            return False
        return all(wanted.has(labels.get(key)) for key, wanted in self.labels)

    def names_only(self, labels: Labels, name: str) -> bool:
        """Whether it asks for this object by a name of its own, so that no other is accepted.

        A label whose value is the object's name, or that of its host, is such a name.
        """
        own = {name, labels.get(_HOSTNAME, name)}
        asked = [(self.name, name), *((wanted, labels.get(key)) for key, wanted in self.labels)]
        return any(
            not wanted.complement and wanted.values == {value} and value in own
            for wanted, value in asked
        )


def _integer(text: str) -> int | None:
    """As Go's strconv.ParseInt with 64 bits; None if the text is not such a number."""
    digits = text[1:] if text[:1] in {"-", "+"} else text
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS):
        return None
    number = int(text)
    return number if _LEAST <= number <= _MOST else None
