"""The price of a node: from its own label, else by its instance type."""

import dataclasses

from bayplan.cloud import catalogue
from bayplan.cloud.prices import Book, Price
from bayplan.model.nodes import INSTANCE_TYPE, PRICE, Node

HOURS_A_MONTH = 730  # AWS counts a month so
MODELLED = Book()  # without a file and a cloud: the model gives the price of each type


def price_of(node: Node, book: Book = MODELLED) -> int | None:
    """Microdollars an hour; None for a node of an unknown type without a label for its price."""
    if node.price_microdollars is not None:
        return node.price_microdollars
    known = _of_type(node, book)
    return known.microdollars_per_hour if known is not None else None


def with_price(node: Node, book: Book) -> tuple[Node, str]:
    """The node with a price, and the source of the price; `unknown` without a price."""
    if node.price_microdollars is not None:
        return node, f"the node itself ({PRICE})"
    price = _of_type(node, book)
    if price is None:
        return node, "unknown"
    return dataclasses.replace(node, price_microdollars=price.microdollars_per_hour), price.source


def _of_type(node: Node, book: Book) -> Price | None:
    known = catalogue.load().get(node.labels.get(INSTANCE_TYPE, ""))
    return book.of(known) if known is not None else None
