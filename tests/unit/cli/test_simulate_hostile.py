"""Bad input to `bayplan simulate`: one clear line, exit code 2, never a traceback."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import bayplan
from bayplan.cli.main import main

POD = """
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  containers:
  - name: a
    image: x
    resources: {requests: {%s}}
"""
DEPLOYMENT = """
kind: Deployment
metadata: {name: d}
spec:
  replicas: %s
  template:
    spec: {containers: [{name: a, image: x}]}
"""

AMOUNTS = (
    "-1", "-500m", "1mi", "1e", "one", "''", "NaN", ".inf", "-.inf", "1Gib",
    "9999999999999999999", "1e400", "99999999999Ei", "[]", "{a: 1}", "true", "1 Gi", "½", "１",
    "1..5", "--1", "'+-1'", "2026-01-01",
)  # fmt: skip
COUNTS = (
    "-1", "1.5", "'3'", "many", "[]", "{}", "true", "9999999999", "1e3", "0b11x", ".nan",
)  # fmt: skip
BROKEN = (
    "", "   \n", "---\n---\n", "null", "just text", "42", "[1, 2]", "- a\n- b", "a: [", "a: {b: ",
    "a: b: c", "\t- x", "'", '"', "%YAML 9.9\n---\na", "&a [*a]", "a: &a\n  b: *a", "*nobody",
    "!!python/object/apply:os.system ['true']", "!!python/name:os.system", "!secret x",
    "kind: [Pod]", "kind: {a: b}", "kind: 7", "kind: ''", "kind: null", "? [a, b]\n: c",
    "kind: Pod\nkind: Pod\n? {a: b}\n: c", "kind: Pod\n!!binary aGk=: x", "kind: !!set {a, b}",
    "kind: Pod\nmetadata: {name: !!binary gIGC}", "\x00", "kind: Pod\x00", "a\x01b: c", "\x7f: x",
    "{" * 5000, "[" * 5000, "- " * 3000, "a:\n " * 400, "kind: List\nitems: [1]",
    "kind: List\nitems: [{kind: Nonsense}]", "kind: List\nitems: [[]]", "kind: List\nitems: []",
    "kind: PodList\nitems: [{metadata: {name: x}}]", "kind: Unheard", "kind: Certificate",
    "kind: Pod", "kind: Pod\nspec: []", "kind: Pod\nspec: {containers: {}}", "kind: Job\nspec: 3",
    "kind: Pod\nspec: {containers: []}", "kind: Pod\nspec: {containers: [1]}",
    "kind: Pod\nspec: {containers: [{resources: 1}], tolerations: 5}",
    "kind: Pod\nspec: {containers: [{name: a}], affinity: [1]}",
    "kind: Pod\nspec: {containers: [{name: a}], nodeSelector: [x]}",
    "kind: Pod\nmetadata: [x]\nspec: {containers: [{name: a}], priority: high}",
    "kind: Pod\nmetadata: {labels: [x]}\nspec: {containers: [{name: a}], overhead: {cpu: -1}}",
    "kind: Deployment\nspec: {replicas: 1}", "kind: Deployment\nspec: {template: []}",
    "kind: CronJob\nspec: {jobTemplate: {spec: {}}}", "kind: StatefulSet", "kind: DaemonSet",
    "kind: LongService\nspec: {}", "kind: LongService\nspec: []", "kind: LongService",
    "kind: BatchJob\nmetadata: {name: b}\nspec: {schedule: never, template: {}}",
    "kind: BatchJob\nmetadata: {name: b}\nspec: {tasks: many, template: {spec: {}}}",
    "kind: Node", "kind: Node\nmetadata: {name: n}", "kind: Node\nstatus: {allocatable: {cpu: 1}}",
    "kind: Node\nmetadata: {name: n}\nstatus: {allocatable: {cpu: -4}}",
    "kind: Node\nmetadata: {name: n}\nstatus: {allocatable: [1]}",
    "kind: Node\nmetadata: {name: n}\nspec: {taints: 7}\nstatus: {allocatable: {cpu: 4}}",
    "\n---\n".join(["kind: Node\nmetadata: {name: n}\nstatus: {allocatable: {cpu: 1}}"] * 2),
    "kind: Pod\nspec: {containers: [{name: a}], topologySpreadConstraints: {a: b}}",
)  # fmt: skip

TEXTS = [
    *BROKEN,
    *(POD % f"{name}: {amount}" for name, amount in itertools.product(("cpu", "memory"), AMOUNTS)),
    *(POD % f"nvidia.com/gpu: {amount}" for amount in AMOUNTS[:12]),
    *(DEPLOYMENT % count for count in COUNTS),
    *(POD.replace("requests", "limits") % f"cpu: {amount}" for amount in AMOUNTS[:14]),
    *(POD.replace("containers", "initContainers") % f"cpu: {amount}" for amount in AMOUNTS[:14]),
    *((POD % "cpu: 1")[:cut] for cut in range(4, 70, 4)),
    *((POD % "cpu: 1").replace(" ", character, 3) for character in "\x0b\u00a0{[&*!|>%@`"),
    *((POD % "cpu: 1").encode("utf-32"), b"\xff\xfe\xfd", b"\xc3\x28", b"\x80kind: Pod"),
]


@pytest.mark.parametrize("index", range(len(TEXTS)))
def test_one_clear_line(index: int, tmp_path: Path) -> None:
    """Either it is understood, or one line names the file and what is wrong with it."""
    text = TEXTS[index]
    file = tmp_path / "input.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    result = CliRunner().invoke(main, ["simulate", "--seconds", "0.01", str(file)])
    lines = result.output.strip().splitlines()

    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.exit_code == 2, (text, result.output)
    assert 1 == len(lines)
    assert lines[0].startswith("Error: ")
    assert "input.yaml" in lines[0]
    assert len(lines[0]) < 420


def test_there_are_two_hundred_of_them() -> None:
    """As many as were promised."""
    assert 200 <= len(TEXTS)


def test_aliases_cannot_multiply(tmp_path: Path) -> None:
    """Nine layers of nine aliases are a small file and a billion values."""
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    layers += [
        f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 10)
    ]
    file = tmp_path / "bomb.yaml"
    file.write_text("\n".join(layers) + "\nkind: Pod\n")
    result = CliRunner().invoke(main, ["simulate", str(file)])

    assert 2 == result.exit_code
    assert "too many values" in result.output


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["nowhere.yaml"],
        ["-", "--instance-type", "m99.huge"],
        ["-", "--scale", "web"],
        ["-", "--scale", "=3"],
        ["-", "--scale", "web=-3"],
        ["-", "--scale", "web=99999999999"],
        ["-", "--scale", "ghost=3"],
        ["-", "--remove-node", "ghost"],
        ["-", "--prices", "nowhere.csv"],
        ["-", "--seconds", "0"],
        ["-", "-o", "xml"],
        ["-", "--picture", "/nowhere/at/all.svg"],
    ],
)
def test_wrong_options(options: list[str]) -> None:
    """Exit code 2 and the option's name."""
    result = CliRunner().invoke(main, ["simulate", *options], input=DEPLOYMENT % 1)

    assert 2 == result.exit_code
    assert "Error: " in result.output
    assert "Traceback" not in result.output


def test_an_empty_folder(tmp_path: Path) -> None:
    """No manifest is told, not simulated."""
    result = CliRunner().invoke(main, ["simulate", str(tmp_path)])

    assert (2, True) == (result.exit_code, "no .yaml" in result.output)


def test_unknown_kinds_may_be_skipped() -> None:
    """--ignore-unknown: a repository may hold what other controllers read."""
    text = "kind: Certificate\n---\n" + DEPLOYMENT % 1
    asked = ["simulate", "--seconds", "0.01", "-"]

    assert 2 == CliRunner().invoke(main, asked, input=text).exit_code
    assert 0 == CliRunner().invoke(main, [*asked, "--ignore-unknown"], input=text).exit_code


def test_no_cluster_is_one_line(tmp_path: Path) -> None:
    """Exit code 3; what the library says by itself is not said twice. In a process of its own."""
    asked = [sys.executable, "-c", "from bayplan.cli.main import main; main()"]
    found = subprocess.run(
        [*asked, "simulate", "--cluster"],
        env={
            "KUBECONFIG": str(tmp_path / "none"),
            "PYTHONPATH": str(Path(bayplan.__file__).parents[1]),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert (3, "") == (found.returncode, found.stdout)
    assert 1 == len(found.stderr.splitlines())
    assert found.stderr.startswith("Error: the current cluster: no usable configuration")
