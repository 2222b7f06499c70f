"""The columns of workloads and namespaces: what each of them costs."""

from bayplan.cli.screen.columns import Column, Row

_MICRO = 1_000_000
_GIB = 1 << 30


def _dollars(row: Row) -> str:
    return f"{row['costMicrodollarsPerHour'] / _MICRO:,.4f}"


def _month(row: Row) -> str:
    return f"{row['costDollarsPerMonth']:,.2f}"


def _cpu(row: Row) -> str:
    return f"{row['requested'].get('cpu', 0) / 1000:,.1f}"


def _memory(row: Row) -> str:
    return f"{row['requested'].get('memory', 0) / _GIB:,.1f}"


def _unpriced(row: Row) -> str:
    return str(row["podsOnNodesOfUnknownPrice"] or "")


_FIGURES = (
    Column("$/h", _dollars, right=True),
    Column("$/month", _month, right=True),
    Column("Pods", lambda row: str(row["pods"]), right=True),
    Column("CPU", _cpu, right=True),
    Column("GiB", _memory, right=True),
    Column("Unpriced", _unpriced, right=True, wide=True),
)

WORKLOADS = (Column("Workload", lambda row: str(row["workload"]), names=True), *_FIGURES)
NAMESPACES = (Column("Namespace", lambda row: str(row["namespace"]), names=True), *_FIGURES)
