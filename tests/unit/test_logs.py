"""One logging style: words that can be searched for, and fields beside them."""

import json
import logging
import re
from pathlib import Path

import pytest

import bayplan
from bayplan import logs


@pytest.fixture(autouse=True)
def _restored() -> object:
    """What a test sets up for the process ends with it."""
    root, ours = logging.getLogger(), logs.logger()
    before = list(root.handlers), root.level, ours.level, list(ours.handlers)
    yield
    root.handlers[:], ours.handlers[:] = before[0], before[3]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def test_as_json_every_field_is_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up_logging("json", "info")

    logs.say(logging.WARNING, "write again", verb="patch", what="BatchJob", delay_seconds=0.5)

    line = json.loads(capsys.readouterr().err)
    assert ("write again", "warning") == (line["message"], line["level"])
    assert ("patch", "BatchJob", 0.5) == (line["verb"], line["what"], line["delay_seconds"])


def test_as_text_fields_follow_the_words(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up_logging("text", "info")

    logs.say(logging.INFO, "lease gained", identity="me", why='a "b"')

    assert capsys.readouterr().err.endswith('INFO    lease gained identity=me why="a \\"b\\""\n')


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up_logging("text", "warning")

    logs.say(logging.INFO, "place", node="n1")

    assert not capsys.readouterr().err


def test_nobody_logs_past_it() -> None:
    """Fields inside the text of a message cannot be searched for: one module makes all lines."""
    product = Path(bayplan.__file__).parent
    loggers = re.compile(r"logging\.(getLogger|debug|info|warning|error|exception)\(")
    found = {
        str(file.relative_to(product)): line.strip()
        for file in product.rglob("*.py")
        for line in file.read_text().splitlines()
        if loggers.search(line)
    }

    assert {"logs.py"} == found.keys(), found
