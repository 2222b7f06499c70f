"""The generator refuses, at generation, what the API server would refuse at the first apply."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from bayplan.api.meta import Integer, Part, crd
from bayplan.api.structural import SchemaError, structural

SAID = Field(description="Said.")


class Inner(Part):
    """An inner object."""

    kind: Literal["Only"] = Field(default="Only", description="Which.")


class Good(Part):
    """All that is allowed."""

    number: Integer = Field(default=3, ge=0, le=9, description="A number.")
    inner: Inner = Field(default=Inner(), description="Said here.")
    maybe: Inner | None = Field(default=None, description="May be absent.")
    words: tuple[Annotated[str, Field(max_length=5)], ...] = Field(
        default=(), max_length=2, description="Words.", json_schema_extra=crd(list_type="set")
    )


def test_translates() -> None:
    """References inlined, nulls and structures dropped, constants as enums, formats added."""
    properties = structural(Good, defaults=True)["properties"]

    assert ("object", "Said here.") == (
        properties["inner"]["type"],
        properties["inner"]["description"],
    )
    assert ["Only"] == properties["maybe"]["properties"]["kind"]["enum"]
    assert (3, "int32") == (properties["number"]["default"], properties["number"]["format"])
    assert "set" == properties["words"]["x-kubernetes-list-type"]
    assert not {"default", "anyOf", "$ref", "title"} & properties["maybe"].keys()
    assert "default" not in properties["words"]
    assert "default" not in structural(Good, defaults=False)["properties"]["number"]


def refused(**fields: tuple[Any, Any]) -> str:
    """Why a model with these fields is refused."""
    annotations = {name: annotation for name, (annotation, _) in fields.items()}
    values = {name: value for name, (_, value) in fields.items()}
    model = type("Bad", (Part,), {"__annotations__": annotations, "__module__": __name__, **values})
    with pytest.raises(SchemaError) as error:
        structural(model, defaults=True)
    return str(error.value)


@pytest.mark.parametrize(
    ("annotation", "value", "why"),
    [
        (str, SAID, "maxLength"),
        (Integer, Field(ge=0), "needs a description"),
        (Annotated[int, Field(le=2**40)], SAID, "fits its format"),
        (float, SAID, "'number'"),
        (int | str, SAID, "no alternatives"),
        (tuple[Integer, ...], Field(max_length=3, description="Said."), "list type"),
        (
            tuple[Integer, ...],
            Field(description="Said.", json_schema_extra=crd(list_type="set")),
            "maxItems",
        ),
        (tuple[int, str], SAID, "no prefixItems"),
        (set[int], SAID, "no uniqueItems"),
        (dict[str, int], SAID, "maxProperties"),
        (dict[str, Any], SAID, "say what the values are"),
        (Annotated[int, Field(gt=0)], SAID, "no exclusiveMinimum"),
        (Any, SAID, "of type ''"),
    ],
)
def test_refuses(annotation: object, value: Any, why: str) -> None:
    """What is unbounded, unexplained or not structural is named with its path."""
    message = refused(field=(annotation, value))

    assert why in message


class Spoken(Part):
    """Its field is a word that YAML 1.1 takes for a boolean."""

    on: Integer = Field(default=3, ge=0, le=9, description="A number.")


def test_refuses_names_that_yaml_does_not_take_for_names() -> None:
    """`on: [Failed]` reaches the server as `true: [Failed]`, and an enumerated `Off` as false."""
    switch = Literal["Off", "Full"]

    assert "unquoted on" in refused(field=(Spoken, SAID))
    assert "unquoted Off" in refused(field=(switch, SAID))
