"""A kind is one row of `api.kinds` and its rooms.

The tests add the kind Probe to a copy of the product as architecture.md says: a row, a module of
models, a reconcile function. Nothing else is edited, and whoever goes over all kinds knows it.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest

from bayplan.api import kinds
from bayplan.api.definitions import definition_of
from bayplan.scheduler.deciders import DECIDERS
from tests.builders import make_pod
from tests.planted import asked, edit, ran

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent

ROW = """
    WorkloadKind(
        name="Probe",
        plural="probes",
        short="prb",
        word="look",
        module="bayplan.api.probe",
        label="bayplan.dev/probe",
        references="after",
    ),
"""
RECONCILE = '''
"""Probes: nothing runs; they are looked at again in a minute."""

from bayplan.model import intents


def reconcile(resource, pods, view, now):
    return intents.Outcome(wake_at=now + 60)
'''


def planted(source: Path) -> None:
    """Add the kind Probe to the product in `source`."""
    edit(source / "api/kinds.py", "KINDS = (\n", f"KINDS = ({ROW}")
    shutil.copy(HERE / "probe.py", source / "api")
    (source / "reconcile/probe.py").write_text(RECONCILE)
    deciders = source / "scheduler/deciders.py"
    imported = "from bayplan.reconcile.view import View\n"
    edit(deciders, imported, f"from bayplan.reconcile import probe\n{imported}")
    edit(
        deciders,
        "    names.BATCHJOB: reconcile_batchjob,\n",
        '    "Probe": probe.reconcile,\n    names.BATCHJOB: reconcile_batchjob,\n',
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `operator` of a product that knows Probes."""
    copy = tmp_path_factory.mktemp("product") / "operator"
    shutil.copytree(ROOT / "operator", copy, ignore=shutil.ignore_patterns("__pycache__"))
    planted(copy / "bayplan")
    return copy


@pytest.fixture(scope="module")
def told(source: Path) -> dict[str, Any]:
    """What this product says of Probes, by the question."""
    return answers(source)


def answers(source: Path) -> dict[str, Any]:
    return asked(source, "tests.unit.api.probe_told")


def test_its_definition_is_written(source: Path, tmp_path: Path) -> None:
    """`python -m bayplan.api.crds --write` writes a file of it beside the others."""
    ran(source, "-m", "bayplan.api.crds", "--write", str(tmp_path))
    text = (tmp_path / "probes.bayplan.dev.yaml").read_text()

    assert "singular: probe\n" in text
    assert "description: What is looked at." in text
    assert {"batchjobs", "longservices", "pools", "probes"} == {
        path.name.partition(".")[0] for path in tmp_path.iterdir()
    }


def test_it_is_listed(told: dict[str, Any]) -> None:
    """By the operator when it lists all kinds anew, over pages, with the pods that it owns."""
    assert "/apis/bayplan.dev/v1alpha1/probes" in told["listed"]
    assert "bayplan.dev/probe" in told["selectors"]


def test_it_is_watched(told: dict[str, Any]) -> None:
    """By kopf, which delivers what happens to it; the informers leave it to kopf."""
    assert "probes" in told["delivered"]
    assert "Probe" not in told["informed"]


def test_it_is_read(told: dict[str, Any]) -> None:
    """As a resource, with a spec of its own model; what is wrong with it has its field."""
    assert ["ProbeSpec", "here"] == told["spec"]
    assert ["spec.target"] == told["problems"]


def test_its_pods_are_ours(told: dict[str, Any]) -> None:
    """They carry the label of the row, and restart as its pods do."""
    assert {"bayplan.dev/probe": "x"}.items() <= told["labels"].items()
    assert ["Always", []] == told["pod"]


def test_it_is_decided_on(told: dict[str, Any]) -> None:
    """A cycle of the loop asks its reconcile function."""
    assert 60 == told["wakes in"]


@pytest.mark.parametrize("named", ["Probe/x", "probes/x", "prb/x", "look/x", "x"])
def test_it_is_explained(told: dict[str, Any], named: str) -> None:
    """`bayplan explain` finds it by each of its words, and by its name alone."""
    assert ["Probe", "x"] == told["explained"][named]


def test_the_words_are_told(told: dict[str, Any]) -> None:
    """Who writes another kind reads which there are."""
    assert "look" in told["unknown"]


def test_it_is_completed(source: Path) -> None:
    """`bayplan explain lo<TAB>`; pydantic is not loaded for that."""
    program = (
        "import sys; from bayplan.cli.completion import plugin; plugin();"
        "assert 'pydantic' not in sys.modules"
    )

    assert ["look/", ":4"] == ran(source, "-c", program, "explain", "lo").splitlines()
    assert {"job/", "service/", "pod/", "look/"} < set(
        ran(source, "-c", program, "explain", "").splitlines()
    )


def test_its_rights_are_examined(told: dict[str, Any]) -> None:
    """`bayplan doctor` asks whether the operator may list, watch and write them."""
    assert {
        ("probes", "list"),
        ("probes", "watch"),
        ("probes/status", "patch"),
        ("probes/finalizers", "update"),
    } <= {(resource, verb) for _, resource, verb in told["rights"]}


def test_it_is_linted_and_counted(told: dict[str, Any]) -> None:
    """`bayplan lint` reads its schema; what manifests say of it is taken for a workload."""
    assert ["spec"] == told["linted"]
    assert "workload" == told["sort"]


@pytest.mark.parametrize(
    ("module", "own", "question"),
    [
        (
            "handlers/delivery.py",
            ("for kind in KINDS:", "for kind in KINDS[-2:]:"),
            test_it_is_watched,
        ),
        (
            "cluster/informer.py",
            ("for kind in kinds.KINDS)", 'for kind in kinds.KINDS if kind.name != "Probe")'),
            test_it_is_listed,
        ),
        (
            "cli/ops/rights.py",
            (
                'f"{kind.plural}/status" for kind in KINDS',
                'f"{kind.plural}/status" for kind in KINDS[1:]',
            ),
            test_its_rights_are_examined,
        ),
    ],
)
def test_a_list_of_its_own_is_found(
    source: Path, tmp_path: Path, module: str, own: tuple[str, str], question: Any
) -> None:
    """Who goes over kinds of its own choice fails the test above."""
    copy = tmp_path / "operator"
    shutil.copytree(source, copy)
    edit(copy / "bayplan" / module, *own)

    found = answers(copy)

    with pytest.raises(AssertionError):
        question(found)


@pytest.mark.parametrize("kind", kinds.KINDS, ids=kinds.NAMES)
def test_a_row_is_whole(kind: kinds.WorkloadKind) -> None:
    """It has models and a reconcile function, and packing knows whether its pods end."""
    pod = make_pod("a", owner_uid="uid-a", owner_kind=kind.name)

    assert definition_of(kind.name).spec is not None
    assert kind.name in DECIDERS
    assert kind.runs == pod.passing


def test_nobody_decides_for_a_kind_without_a_row() -> None:
    """The table of reconcile functions has the kinds of the table of kinds, and no others."""
    assert set(kinds.NAMES) == DECIDERS.keys()


def test_no_word_means_two_kinds() -> None:
    """Each word of the command line, and each label, is one kind's."""
    words = [word for kind in kinds.KINDS for word in set(kind.words)]

    assert len(words) == len(set(words))
    assert len({kind.label for kind in kinds.KINDS}) == len(kinds.KINDS)
