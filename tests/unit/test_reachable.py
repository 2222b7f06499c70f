"""Every module of the product is imported, at some remove, by a program that a user starts."""

import ast
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "operator"

# What users start beside the commands that pyproject.toml installs.
STARTED = {
    "bayplan.__main__": "python -m bayplan",
    "bayplan.kopf_run": "kopf run -m bayplan.kopf_run",
    "bayplan.api.crds": "python -m bayplan.api.crds",
}


def entries() -> set[str]:
    """The modules that users start."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    return {*STARTED, *(target.partition(":")[0] for target in scripts.values())}


def modules(source: Path) -> dict[str, Path]:
    """Dotted name -> file of every module of the product."""
    found = {}
    for path in source.glob("bayplan/**/*.py"):
        parts = path.relative_to(source).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


class _Named(ast.NodeVisitor):
    """The names that a module imports wherever it does so, and those it keeps to load later.

    What stands under `if TYPE_CHECKING:` is left out: it is not imported when the program runs.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" in ast.dump(node.test):
            for each in node.orelse:
                self.visit(each)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.names.update(one.name for one in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, "imports are absolute"
        self.names.update(f"{node.module}.{one.name}" for one in node.names)

    def visit_Constant(self, node: ast.Constant) -> None:
        """`"bayplan.cli.jobs.next:next_"`: a module that is loaded when it is asked for."""
        if isinstance(node.value, str) and node.value.startswith("bayplan."):
            self.names.add(node.value.partition(":")[0])


def reached(known: Mapping[str, Path], started: set[str]) -> set[str]:
    """The modules that the programs load, with all that these load."""
    found: set[str] = set()
    ahead = [*started]
    while ahead:
        module = ahead.pop()
        if module not in found:
            found.add(module)
            ahead.extend(_imported(known, module))
    return found


def _imported(known: Mapping[str, Path], module: str) -> Iterator[str]:
    """What one module imports, and the packages around it."""
    visitor = _Named()
    visitor.visit(ast.parse(known[module].read_text(encoding="utf-8")))
    for name in {module, *visitor.names}:
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            if (around := ".".join(parts[:length])) in known:
                yield around


def unreached(source: Path) -> set[str]:
    """The modules that no program loads."""
    known = modules(source)
    return known.keys() - reached(known, entries())


def test_a_user_reaches_every_module() -> None:
    """No module is there for tests or benchmarks alone."""
    assert set() == unreached(SOURCE)


@pytest.mark.parametrize(
    ("importer", "line", "found"),
    [
        (None, "", True),
        ("scheduler/loop.py", "\nfrom bayplan.placement import planted\n", False),
        ("scheduler/loop.py", "\nfrom bayplan.placement.planted import x\n", False),
        ("cli/main.py", "\ndef late():\n    import bayplan.placement.planted\n", False),
        ("cli/main.py", '\nLATE = "bayplan.placement.planted:x"\n', False),
        ("cli/main.py", "\nif TYPE_CHECKING:\n    import bayplan.placement.planted\n", True),
        ("placement/also_planted.py", "\nimport bayplan.placement.planted\n", True),
    ],
)
def test_a_module_that_nobody_imports_is_found(
    tmp_path: Path, importer: str | None, line: str, found: bool
) -> None:
    """A planted module is told unless a module that is reached imports it."""
    shutil.copytree(SOURCE, tmp_path, dirs_exist_ok=True)
    (tmp_path / "bayplan/placement/planted.py").write_text("x = 1\n")
    (tmp_path / "bayplan/placement/also_planted.py").write_text("")
    if importer is not None:
        with (tmp_path / "bayplan" / importer).open("a") as file:
            file.write(line)

    planted = {"bayplan.placement.planted"} if found else set()
    others = {"bayplan.placement.also_planted"} | unreached(SOURCE)
    assert others | planted == unreached(tmp_path)
