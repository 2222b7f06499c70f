"""The table of constraint operators, and one constraint of `placement.constraints`.

`Operator` is the table: each member holds everything that distinguishes an operator, and every
other module (the definition, validation, placement, the rules compiled into pods, drift, demand,
the importers, the reference) reads it from there. To add an operator, add a member.

An operator either tests each node by the node's own label (`node`), or couples the pods of one
workload and template (`coupling`). An operator that can do both tests the node when it has a value
and couples the pods when it has none. The first seven operators come from Marathon.
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
    """The rule for a constraint's `value`.

    `must` ends the sentence "the value must be …" and contains an example. `form` is a regular
    expression for the whole value; if it is empty, any text will do. `reads` checks what a regular
    expression cannot check, and `unreadable` follows the value in the error about it.
    """

    words: str  # for the reference
    must: str
    form: str = ""
    reads: Callable[[str], object] | None = None  # a false answer or None: the value cannot be read
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
    """A test of a node's own label.

    `reads` makes the test from a constraint's value; it returns None if it cannot read the value,
    and then every node fails. `negated`: nodes that pass the test are refused, and nodes without
    the label are accepted. `literal`: the constraint's value is itself a label value that passes.
    """

    reads: Callable[[str], Test | None]
    negated: bool = False
    literal: bool = False


@dataclass(frozen=True, slots=True)
class AtMost:
    """At most `limit` pods at each value of the label; if None, the constraint's value says it."""

    limit: int | None = None

    @property
    def numbered(self) -> bool:
        """Whether one value may have several pods, whose places are then numbered."""
        return self.limit != 1


@dataclass(frozen=True, slots=True)
class AllTogether:
    """All pods at one value of the label, wherever the first one lands."""


@dataclass(frozen=True, slots=True)
class EvenShares:
    """An even share of the pods at each value of the label, differing by one pod at most.

    The constraint's value is the number of groups; without it, the known groups are counted.
    """


Coupling = AtMost | AllTogether | EvenShares


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """Everything that distinguishes an operator.

    `says` is one clause for the reference and the definition. `value` is the rule for the
    constraint's value, or None if the operator takes no value; `optional`: the value may be left
    out. `marathon` are Marathon's words for the operator, as the importer reads them.
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
        """Make the word the member's value, so that `Operator("Unique")` finds the member."""
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
        """The test of a node's own label; None if the node alone cannot tell."""
        meaning = self.operator.meaning
        return meaning.node if self.value or meaning.coupling is None else None

    @property
    def coupling(self) -> Coupling | None:
        """How the constraint couples pods; None if the node alone can tell."""
        return self.operator.meaning.coupling if self.node is None else None

    @property
    def count(self) -> int:
        """The number of pods (`AtMost`) or groups (`EvenShares`) in it; 0 without a number."""
        coupling = self.operator.meaning.coupling
        limit = coupling.limit if isinstance(coupling, AtMost) else None
        return count(self.value) if limit is None else limit

    def accepts(self) -> Test | None:
        """The test that a node's value must pass; None if the node alone cannot tell."""
        node = self.node
        if node is None:
            return None
        test, negated = node.reads(self.value), node.negated
        return lambda value: test is not None and test(value) is not negated

    def accepts_absence(self) -> bool:
        """Whether the constraint accepts a node without the label."""
        return self.node is not None and self.node.negated and bool(self.node.reads(self.value))

    def problem(self) -> str:
        """What is wrong with the value and how to correct it; empty if the value is right."""
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
    """What the value of a constraint with this operator must be, as text for people."""
    meaning = operator.meaning
    if meaning.value is None:
        return f"must be absent beside {operator.value}, which takes no value; remove `value`"
    return f"must be {'absent or ' if meaning.optional else ''}{meaning.value.must}"
