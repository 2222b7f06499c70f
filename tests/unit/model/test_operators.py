"""An operator of `placement.constraints` is one member of `model.constraints.Operator`.

The tests add two operators to a copy of the product, as architecture.md says: a member each.
Nothing else is edited, and every module that deals with operators knows them.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest

from bayplan.api import kinds
from bayplan.model.constraints import Operator, PlaceConstraint
from tests import planted

ROOT = Path(__file__).parents[3]
MEMBERS = """
    BEGINS_WITH = (
        "BeginsWith",
        Meaning(
            says="the value of the label begins with `value`; all pods at one value without it",
            value=LABEL,
            optional=True,
            node=NodeTest(lambda start: lambda value: value.startswith(start)),
            coupling=AllTogether(),
            marathon=("BEGINS",),
        ),
    )
    PAIR = (
        "Pair",
        Meaning(says="two pods at most at each value of the label", coupling=AtMost(2)),
    )
"""
FIRST = "    UNIQUE = (\n"


@pytest.fixture(name="product", scope="module")
def _product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product that knows both operators, with its definitions and its reference."""
    copy = tmp_path_factory.mktemp("product")
    unwanted = shutil.ignore_patterns("__pycache__")
    for folder in ("operator", "tools", "docs/reference", "crds"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=unwanted)
    table = copy / "operator/bayplan/model/constraints.py"
    planted.edit(table, FIRST, MEMBERS + FIRST)
    words = ("-m", "bayplan.api.crds", "--write", str(copy / "crds"))
    planted.ran(copy / "operator", *words, folder=copy)
    return copy


def answers(product: Path) -> dict[str, Any]:
    return planted.asked(product / "operator", "tests.unit.model.operator_told", product)


@pytest.fixture(scope="module")
def told(product: Path) -> dict[str, Any]:
    """What this product says of the operators, by the question."""
    return answers(product)


def test_they_are_in_the_definitions(product: Path) -> None:
    """With their words and the rules for their values, of each kind of workload."""
    for kind in kinds.KINDS:
        path = product / "crds" / f"{kind.plural}.bayplan.dev.yaml"
        text = " ".join(path.read_text().split())

        assert "- BeginsWith - Pair - Unique" in text, path.name
        assert "self.operator != 'Pair' || !has(self.value)" in text, path.name
        assert "self.operator != 'BeginsWith' || !has(self.value) ||" in text, path.name


def test_they_are_placed(told: dict[str, Any]) -> None:
    """The node test shuts the others out, the coupling counts pods."""
    assert {"east-1", "east-2"} >= told["placed"]["begins"].keys()
    assert 5 == sum(told["placed"]["begins"].values())
    assert [5] == told["placed"]["together"]
    assert 2 == max(told["placed"]["pairs"].values())
    assert 5 == sum(told["placed"]["pairs"].values())


def test_their_refusals_are_told(told: dict[str, Any]) -> None:
    """A node that refuses names the constraint."""
    assert ["zone BeginsWith"] == told["refused"]["begins"]
    assert ["zone Pair"] == told["refused"]["pairs"]


def test_they_are_compiled(told: dict[str, Any]) -> None:
    """An autoscaler reads the known values, an affinity, or a numbered place."""
    (term,) = told["compiled"]["begins"]

    assert [
        {
            "key": "topology.kubernetes.io/zone",
            "operator": "In",
            "values": ["east-1", "east-2"],
        }
    ] == term["matchExpressions"]
    assert ["topology.kubernetes.io/zone"] == told["compiled"]["together"]
    assert ("1", [2]) == (told["compiled"]["pairs"], told["caps"])


def test_they_are_stripped(told: dict[str, Any]) -> None:
    """The packer looks at a pod without what was compiled into it."""
    assert [True, True] == told["stripped"]


def test_they_count_for_drift(told: dict[str, Any]) -> None:
    """Instances that stand against them are found; the youngest of a group goes."""
    assert ["web-1", "web-3"] == told["drifted"]["begins"]
    assert ["web-2"] == told["drifted"]["together"]
    assert ["web-2"] == told["drifted"]["pairs"]
    assert [1, 0] == told["movable"]


def test_they_tell_what_to_buy(told: dict[str, Any]) -> None:
    """A cap on hosts bounds what one node holds."""
    assert not told["bought"]["begins"][0]
    assert [True, 2] == told["bought"]["pairs"]


def test_wrong_values_are_refused(told: dict[str, Any]) -> None:
    """By the operator and by lint, with the same sentence."""
    field = "spec.placement.constraints[0].value"

    assert [field] * 2 == [where for where, _ in told["problems"]]
    sentences = [text for _, text in told["problems"]]
    assert "must be absent beside Pair, which takes no value; remove `value`" == sentences[0]
    assert sentences[1].startswith("must be absent or a label value")
    assert sentences == told["linted"][:2]
    assert '"BeginsWith", "Pair", "Unique"' in told["linted"][2]


def test_one_on_each_node_takes_what_asks_nodes(told: dict[str, Any]) -> None:
    """With mode PerNode: BeginsWith with a value, and nothing that couples pods."""
    accepted, *refused = told["per node"]

    assert [] == accepted
    assert [1, 1] == [len(sentences) for sentences in refused]
    for (sentence,) in refused:
        assert "Unlike, BeginsWith with a value or Cluster with a value when mode" in sentence


def test_marathons_word_is_imported(told: dict[str, Any]) -> None:
    """As the operator that names it."""
    assert {"key": "zone", "operator": "BeginsWith", "value": "east"} == told["imported"]


def test_they_are_documented(told: dict[str, Any]) -> None:
    """In the table of the page on placement, and in the reference of each field."""
    page, fields = told["documented"]

    assert "| `BeginsWith` | label value, or none | the value of the label begins" in page
    assert "| `Pair` | none | two pods at most at each value of the label |" in page
    assert "Pair: two pods at most at each value of the label." in fields


@pytest.mark.parametrize(
    ("module", "own", "question"),
    [
        (
            "placement/constraints.py",
            ("coupling = constraint.coupling\n", "coupling = None\n"),
            test_they_are_placed,
        ),
        (
            "reconcile/longservice/drift.py",
            ("allowed = [one.count] * len(largest)", "allowed = [1] * len(largest)"),
            test_they_count_for_drift,
        ),
        (
            "api/compiled_rules.py",
            ("named = {value for value in known", "named = {value for value in ()"),
            test_they_are_compiled,
        ),
    ],
)
def test_a_rule_of_its_own_is_found(
    product: Path, tmp_path: Path, module: str, own: tuple[str, str], question: Any
) -> None:
    """A module that does not follow the table fails the test above."""
    copy = tmp_path / "product"
    shutil.copytree(product, copy)
    planted.edit(copy / "operator/bayplan" / module, *own)

    with pytest.raises(AssertionError):
        question(answers(copy))


@pytest.mark.parametrize("operator", Operator)
def test_an_operator_has_a_question(operator: Operator) -> None:
    """Of the node or of its company; one that has both needs a value that may be left out."""
    meaning = operator.meaning

    assert meaning.node or meaning.coupling
    assert meaning.optional or not (meaning.node and meaning.coupling)
    assert bool(meaning.node) <= bool(meaning.value)


@pytest.mark.parametrize(
    ("operator", "value", "said"),
    [
        ("Unique", "", ""),
        ("Unique", "1", "must be absent beside Unique"),
        ("MaxPer", "2", ""),
        ("MaxPer", "", "must be a whole number of pods"),
        ("MaxPer", "0", "must be a whole number of pods"),
        ("MaxPer", "02", "must be a whole number of pods"),
        ("MaxPer", "1234567890", "must be a whole number of pods"),
        ("GroupBy", "", ""),
        ("GroupBy", "3", ""),
        ("GroupBy", "-3", "must be absent or a whole number of groups"),
        ("Cluster", "", ""),
        ("Cluster", "us-east-1a", ""),
        ("Cluster", "-a", "must be absent or a label value"),
        ("Is", "", "must be a label value"),
        ("Is", "a" * 64, "must be a label value"),
        ("Is", "0.80", ""),
        ("Like", "", "must be a regular expression"),
        ("Like", "a|b", ""),
        ("Like", "(", "'(' is no regular expression of RE2"),
        ("Unlike", "(?=a)", "is no regular expression of RE2"),
    ],
)
def test_what_a_value_must_be(operator: str, value: str, said: str) -> None:
    """One sentence names what is wrong and what to write; none where all is right."""
    found = PlaceConstraint("zone", Operator(operator), value).problem()

    assert said in found
    assert bool(said) == bool(found)
