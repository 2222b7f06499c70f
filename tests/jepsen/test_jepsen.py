"""Jepsen's test of Chronos, two minutes of it: `make jepsen` lives through the whole of it."""

import json
from pathlib import Path

import pytest

from tests.jepsen.__main__ import figures
from tests.jepsen.play import Profile, live

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(480)]

# A request a second and shorter rests make up for the shorter time: all five kinds of
# faults come, the fourth 20 seconds before the end. What is lost while who leads is replaced and
# the API server starts anew depends on the machine: windows are wider by that much.
BRIEF = Profile(
    busy_seconds=60, quiet_seconds=50, every_seconds=1, rest_seconds=(2, 5), widened=20, seed=3
)


def test_no_slot_is_lost_or_doubled_whatever_the_nemesis_does(tmp_path: Path) -> None:
    """P1 to P10 with replicas killed, stopped and cut off, and the API server started anew."""
    verdict = live(BRIEF, tmp_path)
    said = figures(verdict)
    print(f"\njepsen: {json.dumps(said)}")  # noqa: T201  figures to publish

    assert not verdict.wrong, "\n".join(verdict.wrong)
    assert verdict.report.met == verdict.report.targets >= 5
    assert len({fault.name for fault in verdict.history.faults}) >= 4
    assert min(verdict.family.values()) >= 1, verdict.family
