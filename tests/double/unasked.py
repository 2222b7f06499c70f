"""Admissions where nobody may ask the API server: they know what statuses tell, and no more."""

from collections.abc import Mapping
from typing import Any

from bayplan.cluster import pods
from bayplan.model.pods import Pod
from bayplan.scheduler import admission
from tests.builders import NOON


async def _never(body: Mapping[str, Any], *, strict: bool) -> Pod:
    raise AssertionError(f"nobody asks: {body}, {strict}")


def make_admissions() -> admission.Admissions:
    return admission.Admissions(
        dry_run=_never, read=pods.pod_from_dict, now=lambda: NOON, answered=lambda _: None
    )
