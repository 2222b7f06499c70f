"""Files that cannot be read are named without their text, which may be secret."""

from pathlib import Path

import pytest

from bayplan.cli.errors import NoCluster
from bayplan.cli.target import Target, named_by_context
from bayplan.notifications import receivers

BROKEN = "a: 1\ntoken: secret: x\n"


def test_a_broken_file_is_not_quoted(tmp_path: Path) -> None:
    """Neither a kubeconfig nor a file of receivers; the line is told."""
    file = tmp_path / "file"
    file.write_text(BROKEN)

    with pytest.raises(NoCluster, match=r"file is no YAML, line 2$"):
        named_by_context(Target(kubeconfig=file))

    with pytest.raises(receivers.ReceiversError, match=r"file is no YAML, line 2$"):
        receivers.read(file)
