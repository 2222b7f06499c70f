"""A stopwatch that counts the optimiser's work instead of time.

A search that ends by the clock finds less on a busy machine. This stopwatch goes on by the steps of
the search itself, so the same input gives the same plan on a machine however busy or slow it is.
Its seconds are about those of a core that has nothing else to do.
"""

import contextvars
from typing import Any

# Seconds of a free core, measured on the mixes of tests/scale/packing/mixes.py.
_A_CALL = 1.3e-5  # of numpy on small arrays
_AN_ELEMENT = 4e-8  # of an array, with the few operations that are done on it
_A_SEARCH, _A_STEP, _A_FILLING = 3.6e-4, 5.8e-5, 4.2e-7  # of the beam
_A_RUN, _AN_ITERATION, _AN_ENTRY = 1.6e-4, 2.3e-5, 6.5e-8  # of the solver

_done: contextvars.ContextVar[float] = contextvars.ContextVar("_done", default=0.0)


def done() -> float:
    """Seconds of work that this thread has done so far; it is read as a clock is."""
    return _done.get()


def did(calls: int, elements: int) -> None:
    """Count calls of numpy that together go over so many elements."""
    _add(calls * _A_CALL + elements * _AN_ELEMENT)


def searched(steps: int, fillings: int) -> None:
    """Count a search of the beam, by its steps and by the fillings that it keeps in all steps."""
    _add(_A_SEARCH + steps * _A_STEP + fillings * _A_FILLING)


def solved(highs: Any) -> None:
    """Count the last run of a solver."""
    iterations = max(0, highs.getInfo().simplex_iteration_count)
    _add(_A_RUN + iterations * _AN_ITERATION + highs.getNumNz() * _AN_ENTRY)


def _add(seconds: float) -> None:
    _done.set(_done.get() + seconds)
