"""Three hundred random calls of `simulate` and `lint`; `make hostile-cli` tries twenty thousand."""

from tests.hostile import called


def test_random_calls_answer_or_refuse() -> None:
    """No traceback, exit codes as documented, JSON that is JSON; each way of ending is met."""
    tally = called.tried(range(300))

    assert [] == tally.broken
    assert {0, 1, 2} == set(tally.codes)
    assert all(count > 10 for count in tally.codes.values())
