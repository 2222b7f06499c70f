"""The page of reasons says of each what it means, and knows no other than the operator says."""

import ast
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from bayplan.api import validation
from bayplan.reconcile.batchjob import conditions
from bayplan.reconcile.longservice.status import Reason
from tools import reasons

ROOM = Path(validation.__file__).parents[1]
# Event reasons that are put together, by the function that does; all others stand in the code.
PUT_TOGETHER = {
    "_answers": {"RunNowRefused", "RetryRefused", "Backfill", "BackfillRefused"},
    "events": {"DependencyCycle", "InvalidSpec", "InvalidTemplate", "RolledBack"},  # Stalled
    "blocked": {  # BatchJob
        *("ChildRefused", "QuotaExceeded", "TemplateRefused", "InvalidTemplate"),
        *("WebhookUnavailable", "ApiServerUnavailable"),
        *("InvalidSpec", "InvalidSchedule", "InvalidTimeZone"),
    },
    "news_of_refusals": {  # LongService
        *("ChildRefused", "QuotaExceeded", "TemplateRefused"),
        *("WebhookUnavailable", "ApiServerUnavailable"),
    },
    "_turns_of_rollout": {
        *("RolledBack", "Paused", "StepReached", "ProgressDeadlineExceeded"),
        *("MassLossBrake", "WaitingForDependencies"),
    },
}


def emitted() -> tuple[set[str], Counter[str]]:
    """Reasons that stand in calls of EmitEvent, and how often which function puts one together."""
    stated: set[str] = set()
    others: Counter[str] = Counter()
    for path in sorted(ROOM.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            for call in ast.walk(function):
                name = getattr(call, "func", None)
                if isinstance(call, ast.Call) and getattr(name, "id", "") == "EmitEvent":
                    match call.args[0]:
                        case ast.Constant(value=str(word)):
                            stated.add(word)
                        case _:
                            others[function.name] += 1
    return stated, others


def test_every_event_is_explained() -> None:
    """Those of the code and no others; a new call that puts one together has to be told here."""
    stated, others = emitted()
    together = set().union(*PUT_TOGETHER.values())

    once = {"events": 1, "blocked": 1, "news_of_refusals": 1}
    assert {"_answers": 2, "_turns_of_rollout": 2, **once} == others
    assert stated | together == reasons.EVENTS.keys() | reasons.AS_CONDITIONS.keys()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (reasons.JOB, {str(one) for one in conditions.Reason}),
        (reasons.SERVICE, {str(one) for one in Reason}),
    ],
)
def test_every_reason_of_a_condition_is_explained(kind: str, words: set[str]) -> None:
    """Beside its own each kind has the problems of a spec that can be its."""
    told = {word for word, one in reasons.CONDITIONS.items() if kind in one.kinds}
    of_specs = set(get_args(validation.Reason))

    assert words == told - (of_specs - words)
    assert of_specs <= reasons.CONDITIONS.keys()


def of_pools() -> set[str]:
    """Reasons that stand in the code about Pools: of problems, and of conditions beside them."""
    found = set()
    for path in sorted((ROOM / "reconcile/pool").glob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            name = getattr(getattr(call, "func", None), "id", "")
            if isinstance(call, ast.Call) and name in {"Problem", "true", "false", "unknown"}:
                said = call.args[0 if name == "Problem" else 1]
                if isinstance(said, ast.Constant):
                    found.add(str(said.value))
    return found


def test_every_reason_of_a_pool_is_explained() -> None:
    """Those of the code and no others; of the two that it puts together each is known."""
    told = {word for word, one in reasons.CONDITIONS.items() if reasons.POOL in one.kinds}

    assert of_pools() | {"NodePoolNotQuiet"} == told


def test_what_a_person_must_mend_has_a_remedy() -> None:
    """A warning says what to do."""
    warnings = [word for word, one in reasons.EVENTS.items() if one.type == reasons.WARNING]

    assert all(reasons.EVENTS[word].remedy for word in warnings)
