"""The page that explains a row, in the words of `bayplan explain`."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from bayplan.cli.packing import explain, explain_page, node_page, pool_page
from bayplan.cli.printing import plain
from bayplan.cli.screen.columns import Row
from bayplan.cli.screen.logs_page import TEXT
from bayplan.cli.screen.pages import Page, Seen

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient


def of_node(row: Row) -> Page:
    """Why a node stays or goes, and which pods keep it."""

    def said(cluster: "ApiClient") -> Iterable[str]:
        return node_page.lines(node_page.account(cluster, f"node/{row['name']}"), wide=True)

    return _page(str(row["name"]), said)


def of_pool(row: Row) -> Page:
    """What a Pool is, what hinders it, what comes next."""

    def said(cluster: "ApiClient") -> Iterable[str]:
        return pool_page.lines(pool_page.account(cluster, f"pool/{row['name']}"), wide=True)

    return _page(str(row["name"]), said)


def of_kind(kind: str, node_selector: str = "") -> Callable[[Row], Page]:
    """Why an object of this kind waits, or is where it is."""

    def entered(row: Row) -> Page:
        def said(cluster: "ApiClient") -> Iterable[str]:
            body = cluster.get(kind, row["name"], row["namespace"])
            return explain_page.lines(explain.explained(cluster, kind, body, node_selector))

        return _page(str(row["name"]), said)

    return entered


def _page(name: str, said: Callable[["ApiClient"], Iterable[str]]) -> Page:
    def look(cluster: "ApiClient") -> Seen:
        return Seen(TEXT, [{"line": plain(line)} for line in said(cluster)])

    return Page(f"{name} explained", "lines", look, wraps=True)
