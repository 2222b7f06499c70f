"""Names of runs and their pods."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bayplan.api import names, run_names

SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
UID = "0f1e2d3c-4b5a"


def test_a_pod_is_named_after_job_uid_slot_and_attempt() -> None:
    """JOB-UID5-TRIGGER-ATTEMPT, the slot in base 36."""
    prefix = run_names.prefix("nightly", UID)
    run = run_names.slot_run(1_790_000_000)

    assert "nightly-0f1e2-stlpwu8-3" == run_names.pod_name(prefix, run, 3)
    assert 1_790_000_000 == run_names.slot_of(run)


@given(
    st.from_regex(SUBDOMAIN, fullmatch=True).filter(lambda name: len(name) <= 253),
    st.integers(min_value=0, max_value=253_402_300_799),
    st.integers(min_value=0, max_value=run_names.LARGEST_ATTEMPT),
    st.none() | st.integers(min_value=0, max_value=run_names.MOST_TASKS - 1),
)
@example("x" * 253, 253_402_300_799, 999, 999)
@example("a.b", 0, 0, None)
def test_a_name_tells_what_it_was_made_of(
    job: str, slot: int, attempt: int, index: int | None
) -> None:
    """Any pod name is a DNS label of at most 63 characters; gives run, attempt and index back."""
    prefix = run_names.prefix(job, UID)
    for run in (run_names.slot_run(slot), run_names.token_run(job)):
        name = run_names.pod_name(prefix, run, attempt, index)

        assert (run, attempt, index or 0) == run_names.attempt_of(prefix, name)
        assert len(name) <= 63
        assert re.fullmatch(r"[a-z0-9][-a-z0-9]*[a-z0-9]", name)


@given(st.text(), st.text())
def test_tokens_name_different_runs(one: str, other: str) -> None:
    """Whatever a token holds, it names one run; another token another."""
    assert run_names.is_run(run_names.token_run(one))
    assert (one == other) == (run_names.token_run(one) == run_names.token_run(other))


@pytest.mark.parametrize(
    "name",
    [
        "nightly-0f1e2-stlpwu8",
        "nightly-0f1e2-stlpwu8-",
        "nightly-0f1e2-stlpwu8-00",
        "nightly-0f1e2-stlpwu8-1-",
        "nightly-0f1e2-stlpwu8-1-01",
        "nightly-0f1e2-stlpwu8-1-1-1",
        "nightly-0f1e2-stlpwu8-1-1000",
        "nightly-0f1e2-stlpwu8-1000",
        "nightly-0f1e2-stlpwu8-x",
        "nightly-0f1e2-s0tlqi8w-1",
        "nightly-0f1e2-s-1",
        "nightly-0f1e2-r12345-1",
        "nightly-0f1e2-x123-1",
        "nightly-0f1e3-stlpwu8-1",
        "nightly-0f1e2-s１-1",
        "other",
        "",
    ],
)
def test_other_names_are_nobodys_run(name: str) -> None:
    """Only names that this module makes are read, each in one way."""
    assert None is run_names.attempt_of("nightly-0f1e2-", name)


def test_long_names_stay_apart() -> None:
    """Names that are cut at the same place, or differ in a dot only, have different prefixes."""
    jobs = ["x" * 60 + "a", "x" * 60 + "b", "a.b", "a-b"]

    assert len(jobs) == len({run_names.prefix(job, UID) for job in jobs})


def test_a_label_holds_at_most_63_characters() -> None:
    """A short name is its own label, a long one is cut."""
    assert "a.b" == names.owner_value("a.b")
    assert len(names.owner_value("x" * 253)) <= 63
