"""Figures and limits in the documentation are those of the files that record them.

`tests/scale/budgets.yaml` has what the benchmarks measured, `docs/demo.md` what the demo printed,
the code its limits. A page that says something else fails here.
"""

import re
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from bayplan.cli.main import main
from bayplan.reconcile.batchjob import runs
from tests.unit.test_docs import ROOT
from tools import reference

BUDGETS: dict[str, Any] = yaml.safe_load((ROOT / "tests/scale/budgets.yaml").read_text())
VALUES: dict[str, Any] = yaml.safe_load((ROOT / "charts/bayplan/values.yaml").read_text())
CHART: dict[str, Any] = yaml.safe_load((ROOT / "charts/bayplan/Chart.yaml").read_text())
COMPARED = "docs/concepts/comparison.md"
HOME = "https://github.com/bayplan/bayplan"


def page(name: str) -> str:
    return " ".join((ROOT / name).read_text(encoding="utf-8").split())


def recorded(path: str) -> float:
    found: Any = BUDGETS
    for part in path.split("/"):
        found = found[part]
    value: float = found.get("measured", found.get("mean"))
    return value


def demo_row(name: str) -> list[str]:
    """The cells of a line of the demo's comparison: ours and theirs."""
    [line] = re.findall(
        rf"^{re.escape(name)}  +(.*)$", (ROOT / "docs/demo.md").read_text(), re.MULTILINE
    )
    return re.split(r"  +", line.strip())


# page -> sentences with the figure's place in budgets.yaml
SENTENCES = [
    ("docs/operate/install.md", "| 200 nodes, 2,000 pods | {} MiB |", "bench-e2e/rss_mib"),
    ("docs/operate/install.md", "resources | {} MiB;", "bench-start/rss_mib"),
    ("docs/operate/install.md", "{} s from a cold start", "bench-start/seconds"),
    ("docs/concepts/packing.md", "one second | {} %", "packing/provision_10k_1s/gap_percent"),
    ("docs/concepts/packing.md", "to plan | {} %", "packing/simulate_10k_10s/gap_percent"),
    ("docs/concepts/packing.md", "0.8 seconds | {} %", "packing/pool_100k_on_10k/gap_percent"),
    (COMPARED, "| {} times as many pods", "bench-e2e/ratio"),
    (COMPARED, "| {} MiB with 5,000 nodes", "bench-start/rss_mib"),
]


@pytest.mark.parametrize(("where", "sentence", "figure"), SENTENCES)
def test_a_figure_is_the_recorded_one(where: str, sentence: str, figure: str) -> None:
    assert sentence.format(recorded(figure)) in page(where)


def test_every_page_has_the_figures_of_the_demo() -> None:
    """README, home, comparison and picture say what the demo printed."""
    ours, theirs = demo_row("nodes used")
    dollars, their_dollars = demo_row("their $/h")
    [pods] = re.findall(
        r"^The same (\d+) pods on 24 nodes", (ROOT / "docs/demo.md").read_text(), re.MULTILINE
    )
    node, of = ours.split(" of ")

    assert theirs == f"{of} of {of}"
    headline = (
        f"the same {pods} pods take **{ours} nodes and {dollars} an hour with Bayplan, {of} nodes"
        f" and {their_dollars} with kube-scheduler**"
    )
    alt = (
        f"![The same {pods} pods on the same {of} nodes: with Bayplan {node} nodes are used, with"
        f" kube-scheduler {of}]"
    )
    for name in ("README.md", "docs/index.md"):
        assert headline in page(name), name
        assert alt in page(name), name
    assert f"{ours} nodes and {dollars} an hour, where kube-scheduler takes {of} and" in page(
        COMPARED
    )
    drawn = page("docs/demo.svg")
    assert f"The same {pods} pods on the same {of} nodes" in drawn
    assert f">{ours} nodes, {dollars} an hour<" in drawn
    assert f">{theirs} nodes, {their_dollars} an hour<" in drawn


def test_the_dollars_beside_karpenter() -> None:
    """The range in README is that of all recorded arms, and the comparison has it by size."""
    arms = ("replicasets", "longservices")
    economy = BUDGETS["economy"]
    shares, gaps = (
        [economy[pods][f"{arm}_{figure}"]["measured"] for pods in sizes for arm in arms]
        for sizes, figure in (
            (("pods_1000", "pods_3000"), "dollars_of_karpenter"),
            (("pods_1000", "pods_3000"), "over_bound_percent"),
        )
    )
    said = f"{min(shares):.0%} to {max(shares):.0%}".replace("%", "").replace("  ", " ").strip()

    assert f"{said} %" in page("README.md")
    assert f"{min(gaps)} to {max(gaps)} % over" in page("README.md")
    assert f"{min(gaps)} to {max(gaps)} % over" in page(COMPARED)
    for pods, shown in (("pods_1000", "1,000"), ("pods_3000", "3,000")):
        share = economy[pods]["replicasets_dollars_of_karpenter"]["measured"]
        assert re.search(rf"{share:.0%}".replace("%", f" %[^|]* {shown}"), page(COMPARED))


def test_a_missed_limit_is_said_as_missed() -> None:
    """Every one on the page of benchmarks; that of speed also where speed is compared, or not."""
    table = (ROOT / "docs/reference/benchmarks.md").read_text().splitlines()
    for case, figures in BUDGETS.items():
        for figure, limits in figures.items() if case.startswith("bench-") else ():
            if isinstance(limits, dict) and reference.kept(limits) == "**missed**":
                start = f"| {case} | {figure.replace('_', ' ')} |"
                assert ["**missed**" in line for line in table if line.startswith(start)] == [True]
    speed = BUDGETS["bench-e2e"]["ratio"]
    is_missed = reference.kept(speed) == "**missed**"
    said = f"The limit that we set ourselves, {speed['least']} times, is missed." in page(COMPARED)

    assert is_missed is said


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"most": 5, "measured": 5}, "yes"),
        ({"most": 5, "mean": 5.1}, "**missed**"),
        ({"least": 2.5, "mean": 1.86}, "**missed**"),
        ({"least": 2.5, "measured": 2.6}, "yes"),
        ({"most": 5}, ""),
        ({"most": 0, "measured": 0}, "yes"),
    ],
)
def test_what_counts_as_kept(limits: dict[str, float], expected: str) -> None:
    assert expected == reference.kept(limits)


def test_limits_of_the_program() -> None:
    """How often a lost attempt is tried again is what the code does."""
    failures, batchjob = page("docs/operate/failures.md"), page("docs/reference/batchjob.md")

    assert f"After {runs.MOST_INTERRUPTIONS} lost attempts" in failures
    assert f"(other runs: after {runs.MOST_DISRUPTIONS})" in failures
    assert f"at most {runs.MOST_DISRUPTIONS} times" in batchjob
    assert f"at most {runs.MOST_DISRUPTIONS} times" in page("docs/operate/troubleshooting.md")


def test_names_of_what_is_published_agree() -> None:
    """One repository, one chart, one image: wherever a reader copies them from."""
    image = f"{VALUES['image']['repository']}:{CHART['appVersion']}"
    for name in ("docs/tutorial.md", "docs/operate/install.md"):
        built = re.findall(r"docker build --tag (\S+)", (ROOT / name).read_text())
        loaded = re.findall(
            r"kind load docker-image --name bayplan (\S+)", (ROOT / name).read_text()
        )
        assert [image] == built == loaded, name
    assert yaml.safe_load((ROOT / "kind-config.yaml").read_text())["name"] == "bayplan"
    for name in ("README.md", "docs/index.md", "docs/operate/install.md"):
        assert f"pipx install git+{HOME}" in page(name)
        assert "oci://ghcr.io/bayplan/charts/bayplan " in page(name)
    assert f"repo_url: {HOME}" in page("mkdocs.yml")
    gitops = [*(ROOT / "examples/gitops").rglob("*.yaml")]
    charts = re.findall(r"ghcr\.io/\S+", "\n".join(file.read_text() for file in gitops))
    assert {"ghcr.io/bayplan/charts/bayplan", "ghcr.io/bayplan/charts/bayplan-crds"} == set(charts)


@pytest.mark.parametrize(
    "word",
    [
        "pending", "ImagePullBackOff", "ErrImagePull", "CrashLoopBackOff", "OOMKilled", "Evicted",
        "quickstart", "troubleshooting", "CreateContainerConfigError", "Terminating", "Forbidden",
    ],
)  # fmt: skip
def test_a_search_finds_a_heading(word: str) -> None:
    """What somebody types who is in trouble is in a heading, which search puts first."""
    headings = [
        line
        for file in (ROOT / "docs").rglob("*.md")
        for line in file.read_text().splitlines()
        if line.startswith("#")
    ]

    assert any(word.lower() in line.lower() for line in headings)


def test_the_transcript_of_the_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    """What README shows of `simulate` is what it prints; the guide has the picture of it."""
    shown = (ROOT / "README.md").read_text().partition("$ bayplan simulate ")[2]
    command, *lines = shown.partition("\n$ ")[0].splitlines()
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(main, ["simulate", command])
    printed = [line.split() for line in result.output.splitlines()]

    assert 0 == result.exit_code, result.output
    assert 8 <= len(lines)
    assert [] == [line for line in lines if line.split() not in printed]

    drawn = (ROOT / "docs/guide/simulate.svg").read_text()

    assert drawn.partition("<title>")[2].partition("</title>")[0] in result.output
