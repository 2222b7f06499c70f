"""Fixtures: `audited` makes any cluster test fail that leaves a broken rule behind.

A conftest that has a session fixture `site` takes both in:

    from tests.audit.fixtures import audited, auditor  # noqa: F401

and may mark all its tests with `pytest.mark.usefixtures("audited")`.
"""

from collections.abc import Iterator

import pytest

from tests.audit.watcher import Watcher
from tests.cluster.under_test import Site


@pytest.fixture(scope="session")
def auditor(site: Site) -> Iterator[Watcher]:
    """Listens to the site's API server from now to the end of the session."""
    with Watcher(site.kube.kubeconfig) as watcher:
        yield watcher
        watcher.check()


@pytest.fixture
def audited(auditor: Watcher) -> Iterator[Watcher]:
    """Fails the test in or since which a rule was broken; `excuse` what people did in it."""
    before = set(auditor.judged())
    yield auditor
    broken = [one for one in auditor.judged() if one not in before]
    assert not broken, "the auditor found:\n" + "\n".join(map(str, broken))
