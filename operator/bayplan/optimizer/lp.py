"""The only module that calls HiGHS: silent, single-threaded, matrices as coordinate triples."""

from typing import Any

import highspy
import numpy as np
import numpy.typing as npt

from bayplan.optimizer.problem import FloatVector, IntVector

FREE = highspy.kHighsInf
Entries = tuple[IntVector, IntVector, FloatVector]  # column, row, value


def solver() -> Any:
    """HiGHS on a single thread, because a plan must not depend on the number of cores."""
    highs: Any = highspy.Highs()  # type: ignore[no-untyped-call]
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("log_to_console", False)
    highs.setOptionValue("threads", 1)
    return highs


def columnwise(entries: Entries, columns: int) -> tuple[npt.NDArray[np.int32], Any, FloatVector]:
    """Starts, rows and values by column; `starts` has one entry more than there are columns."""
    column, row, value = entries
    order = np.argsort(column, kind="stable")
    starts = np.searchsorted(column[order], np.arange(columns + 1)).astype(np.int32)
    return starts, row[order].astype(np.int32), value[order].astype(np.float64)


def program(
    entries: Entries,
    *,
    cost: FloatVector,
    upper: FloatVector,
    row_lower: FloatVector,
    row_upper: FloatVector,
    maximise: bool = False,
    whole: bool = False,
) -> Any:
    """A program over columns from 0 to `upper`; with `whole` they are integers."""
    made: Any = highspy.HighsLp()
    made.num_col_, made.num_row_ = len(cost), len(row_lower)
    made.sense_ = highspy.ObjSense.kMaximize if maximise else highspy.ObjSense.kMinimize
    made.col_cost_, made.col_lower_, made.col_upper_ = cost, np.zeros(len(cost)), upper
    made.row_lower_, made.row_upper_ = row_lower, row_upper
    if whole:
        made.integrality_ = [highspy.HighsVarType.kInteger] * len(cost)
    starts, rows, values = columnwise(entries, len(cost))
    made.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    made.a_matrix_.start_, made.a_matrix_.index_, made.a_matrix_.value_ = starts, rows, values
    return made
