"""How kopf is set up to deliver."""

import kopf

from bayplan.handlers import lifecycle


def test_a_long_list_does_not_hold_up_what_is_new() -> None:
    """Kopf's workers, each kept for the idle time after an object, turn over 1,000 a second."""
    settings = kopf.OperatorSettings()
    lifecycle.configure(settings)
    queueing = settings.queueing

    assert queueing.worker_limit is not None
    assert 1000 <= queueing.worker_limit / queueing.idle_timeout
