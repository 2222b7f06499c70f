"""What a random call must do: answer, refuse in one line, or say that the cluster is not there."""

import dataclasses
import json
import tempfile
from pathlib import Path

from click.testing import CliRunner

from bayplan.cli.main import main
from tests.hostile import commands

_CODES = frozenset({0, 1, 2})  # 3 is the cluster's, which no random call asks for


@dataclasses.dataclass(slots=True)
class Tally:
    """How calls ended, and those that broke a rule."""

    codes: dict[int, int] = dataclasses.field(default_factory=dict)
    broken: list[str] = dataclasses.field(default_factory=list)

    def add(self, other: "Tally") -> None:
        for code, count in other.codes.items():
            self.codes[code] = self.codes.get(code, 0) + count
        self.broken += other.broken


def tried(seeds: range) -> Tally:
    tally = Tally()
    for seed in seeds:
        code, wrong = judged(commands.call(seed))
        tally.codes[code] = tally.codes.get(code, 0) + 1
        if wrong:
            tally.broken.append(f"{seed}: {wrong}")
    return tally


def judged(call: commands.Call) -> tuple[int, str]:
    """The exit code, and what is wrong with the answer; empty when nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in call.files.items():
            file = Path(folder, name)
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(data)
        words = [word.replace("{}", folder) for word in call.words]
        result = CliRunner().invoke(main, words, input=call.text)
    code = result.exit_code
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return code, f"{type(result.exception).__name__}: {result.exception} ({words})"
    if code not in _CODES:
        return code, f"exit code {code} ({words})"
    if "Traceback" in result.output:
        return code, f"a traceback ({words})"
    if code == 2 and "Error: " not in result.stderr:
        return code, f"nothing says what is wrong ({words}): {result.output[:200]}"
    chosen = [words[at + 1] for at, word in enumerate(words[:-1]) if word == "-o"]
    if code != 2 and chosen == ["json"]:
        try:
            json.loads(result.stdout)
        except ValueError:
            return code, f"no JSON ({words}): {result.stdout[:200]}"
    return code, ""
