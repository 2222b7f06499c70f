"""The table of constraint operators, and one constraint of `placement.constraints`.

`Operator` is the table: each member has all that distinguishes it, and every other module (the
definition, validation, placement, what is compiled into pods, drift, demand, the importers, the
reference) reads it from there. To add an operator is to add a member.

An operator asks each node by its own label (`node`), or it couples the pods of one workload and
template (`coupling`). One that does both asks the node when it has a value, and couples the pods
when it has none. The first seven operators are Marathon's.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import re2

from bayplan import units
from bayplan.model.label_values import (
    LABEL_VALUE,
    WHOLE_NUMBER,
    Test,
    count,
    equal,
    equal_number,
    pattern,
)
from bayplan.model.nodes import HOSTNAME, INSTANCE_TYPE, REGION, ZONE

# Short names of node labels in `placement.constraints`.
ALIASES = {
    "hostname": HOSTNAME,
    "zone": ZONE,
    "region": REGION,
    "instance-type": INSTANCE_TYPE,
}


@dataclass(frozen=True, slots=True)
class ValueRule:
    """What the value beside an operator must be.

    `must` ends the sentence "the value must be …", with an example to write. `form` is a regular
    expression of whole values; empty for any text. `reads` looks at what a regular expression
    cannot tell, and `unreadable` follows the value in the error about it.
    """

    words: str  # for the reference
    must: str
    form: str = ""
    reads: Callable[[str], object] | None = None  # a false answer, or None: it cannot be read
    unreadable: str = ""


PODS = ValueRule(
    "number of pods", 'a whole number of pods, as text; write `value: "2"`', WHOLE_NUMBER
)
GROUPS = ValueRule(
    "number of groups", 'a whole number of groups, as text; write `value: "3"`', WHOLE_NUMBER
)
LABEL = ValueRule(
    "label value",
    "a label value (at most 63 letters, digits, dashes, dots and underscores); write "
    "`value: us-east-1a` or the like",
    LABEL_VALUE,
)
EXPRESSION = ValueRule(
    "regular expression",
    "a regular expression of whole values; write `value: us-east-1[ab]` or the like",
    reads=pattern,
    unreadable="is no regular expression of RE2 (no look-around, no back-references); write one "
    "that matches whole values, such as us-east-1[ab]",
)


@dataclass(frozen=True, slots=True)
class NodeTest:
    """A question that a node's own label answers.

    `reads` makes the test for a constraint's value; None where the value cannot be read, and then
    every node fails. `negated`: nodes that pass the test are refused, and nodes without the label
    are accepted. `literal`: the constraint's value is itself a value of the label that passes.
    """

    reads: Callable[[str], Test | None]
    negated: bool = False
    literal: bool = False


@dataclass(frozen=True, slots=True)
class AtMost:
    """At most `limit` pods at each value of the label; None: the constraint's value says it."""

    limit: int | None = None

    @property
    def numbered(self) -> bool:
        """Whether the pods at one value have numbered places, since there may be several."""
        return self.limit != 1


@dataclass(frozen=True, slots=True)
class AllTogether:
    """All pods at one value of the label, wherever the first one lands."""


@dataclass(frozen=True, slots=True)
class EvenShares:
    """An even share of the pods at each value of the label, differing by one pod at most.

    The constraint's value is the number of groups, else those that are known.
    """


Coupling = AtMost | AllTogether | EvenShares


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """All that distinguishes an operator.

    `says` is one clause for the reference and the definition. `value` is what the value must be,
    None where there must be none; `optional`: it may be left out. `marathon` are Marathon's words
    for the operator, as the importer reads them.
    """

    says: str
    value: ValueRule | None = None
    optional: bool = False
    node: NodeTest | None = None
    coupling: Coupling | None = None
    marathon: tuple[str, ...] = ()


class Operator(enum.Enum):
    """The words of `placement.constraints[].operator`, each with its meaning."""

    UNIQUE = (
        "Unique",
        Meaning(
            says="one pod at each value of the label",
            coupling=AtMost(1),
            marathon=("UNIQUE",),
        ),
    )
    MAX_PER = (
        "MaxPer",
        Meaning(
            says="at most so many pods at each value of the label as `value` says",
            value=PODS,
            coupling=AtMost(),
            marathon=("MAX_PER",),
        ),
    )
    GROUP_BY = (
        "GroupBy",
        Meaning(
            says="an even share of the pods at each value of the label, differing by one at most; "
            "`value` is the number of groups, else those that are known",
            value=GROUPS,
            optional=True,
            coupling=EvenShares(),
            marathon=("GROUP_BY",),
        ),
    )
    CLUSTER = (
        "Cluster",
        Meaning(
            says="all pods at one value of the label, the given one or that of the first pod",
            value=LABEL,
            optional=True,
            node=NodeTest(equal, literal=True),
            coupling=AllTogether(),
            marathon=("CLUSTER",),
        ),
    )
    IS = (
        "Is",
        Meaning(
            says="the value of the label equals `value` as text, or as a number at three decimals",
            value=LABEL,
            node=NodeTest(equal_number, literal=True),
            marathon=("IS", "EQUALS"),
        ),
    )
    LIKE = (
        "Like",
        Meaning(
            says="the whole value of the label matches a regular expression (RE2)",
            value=EXPRESSION,
            node=NodeTest(pattern),
            marathon=("LIKE",),
        ),
    )
    UNLIKE = (
        "Unlike",
        Meaning(
            says="the whole value of the label does not match a regular expression (RE2)",
            value=EXPRESSION,
            node=NodeTest(pattern, negated=True),
            marathon=("UNLIKE",),
        ),
    )

    _value_: str
    meaning: Meaning

    def __new__(cls, word: str, meaning: Meaning) -> Self:
        """The member is found by its word: `Operator("Unique")`."""
        made = object.__new__(cls)
        made._value_ = word
        made.meaning = meaning
        return made


@dataclass(frozen=True, slots=True)
class PlaceConstraint:
    """One `placement.constraints` entry: `key` is a node label or one of ALIASES."""

    key: str
    operator: Operator
    value: str = ""

    @property
    def label(self) -> str:
        return ALIASES.get(self.key, self.key)

    @property
    def node(self) -> NodeTest | None:
        """How a node's own label is asked; None where the node alone cannot tell."""
        meaning = self.operator.meaning
        return meaning.node if self.value or meaning.coupling is None else None

    @property
    def coupling(self) -> Coupling | None:
        """How it couples pods; None where the node alone can tell."""
        return self.operator.meaning.coupling if self.node is None else None

    @property
    def count(self) -> int:
        """How many pods (`AtMost`) or groups (`EvenShares`) it names; 0 without a number."""
        coupling = self.operator.meaning.coupling
        limit = coupling.limit if isinstance(coupling, AtMost) else None
        return count(self.value) if limit is None else limit

    def accepts(self) -> Test | None:
        """What a node's value must pass; None where the node alone cannot tell."""
        node = self.node
        if node is None:
            return None
        test, negated = node.reads(self.value), node.negated
        return lambda value: test is not None and test(value) is not negated

    def accepts_absence(self) -> bool:
        """Whether a node without the label will do."""
        return self.node is not None and self.node.negated and bool(self.node.reads(self.value))

    def problem(self) -> str:
        """What is wrong with the value, with the remedy; empty when it is right."""
        rule = self.operator.meaning.value
        if rule is None:
            return requirement(self.operator) if self.value else ""
        if not self.value and self.operator.meaning.optional:
            return ""
        if not self.value or (rule.form and re2.fullmatch(rule.form, self.value) is None):
            return requirement(self.operator)
        if rule.reads is not None and not rule.reads(self.value):
            return f"{units.shown(self.value)} {rule.unreadable}"
        return ""


def requirement(operator: Operator) -> str:
    """What the value beside an operator must be, for people."""
    meaning = operator.meaning
    if meaning.value is None:
        return f"must be absent beside {operator.value}, which takes no value; remove `value`"
    return f"must be {'absent or ' if meaning.optional else ''}{meaning.value.must}"
