"""Laws of the custom resources: schema and model are one, hostile values crash nothing."""

import json
from typing import Any

import pydantic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bayplan.api import times
from bayplan.api.batchjob import BatchJobSpec
from bayplan.api.batchjob_status import BatchJobStatus
from bayplan.api.longservice import LongServiceSpec
from bayplan.api.longservice_status import LongServiceStatus
from bayplan.api.resource import parse_resource
from bayplan.api.template import template_hash
from bayplan.api.validation import problems
from tests.schemas import PRESERVE, Schema, accepted, schema_of, violations

SPECS = {"BatchJob": BatchJobSpec, "LongService": LongServiceSpec}
STATUSES = {"BatchJob": BatchJobStatus, "LongService": LongServiceStatus}
KINDS = tuple(SPECS)

numbers = st.integers() | st.sampled_from([0, -1, 2**31, 2**63])
hostile = st.recursive(
    st.none() | st.booleans() | numbers | st.floats() | st.text(max_size=9),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=8,
)


def leaves(schema: Schema, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Paths of the fields that the model types, down to scalars."""
    if schema.get(PRESERVE) or "properties" not in schema:
        return [path]
    return [
        leaf for name, one in schema["properties"].items() for leaf in leaves(one, (*path, name))
    ]


def changed(value: Any, path: tuple[str, ...], new: object) -> Any:
    """The value with one field replaced; objects on the way are made where they lack."""
    if not path:
        return new
    inner = value if isinstance(value, dict) else {}
    return {**inner, path[0]: changed(inner.get(path[0]), path[1:], new)}


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_schema_accepts_is_read(kind: str) -> None:
    """Every stored spec parses, has at worst problems, and keeps its template.

    `InvalidSpec` is for what CEL refuses and this schema alone does not: constraints on labels.
    """

    @given(accepted(schema_of(kind, "spec")))
    def law(raw: dict[str, Any]) -> None:
        spec = SPECS[kind].model_validate(raw)

        assert raw["template"] == spec.template
        told = problems(kind, spec)
        assert {"InvalidSpec", "InvalidSchedule", "InvalidTimeZone", "InvalidTemplate"} >= {
            found.reason for found in told
        }
        assert all(
            found.field.startswith("spec.placement.constraints")
            for found in told
            if found.reason == "InvalidSpec"
        )

    law()


@pytest.mark.parametrize("kind", KINDS)
def test_schema_and_model_refuse_alike(kind: str) -> None:
    """One field of a good spec made hostile: the model accepts it exactly when the schema does."""
    schema = schema_of(kind, "spec")
    typed = {**schema, "properties": {**schema["properties"]}}
    del typed["properties"]["template"]  # kept raw by the model
    good = {"template": {"spec": {"containers": [{"name": "a"}]}}}

    @given(st.sampled_from(leaves({**typed})), hostile)
    @example(("replicas",), 10_001)
    def law(path: tuple[str, ...], value: object) -> None:
        raw = changed(good, path, value)
        faults = [
            fault
            for fault in violations({**typed, "required": []}, changed({}, path, value))
            if not fault.endswith("pruned")
        ]
        try:
            SPECS[kind].model_validate(raw)
            read = True
        except pydantic.ValidationError:
            read = False
        field = schema["properties"].get(path[0], {})
        for name in path[1:]:
            field = field["properties"][name]
        optional = "default" not in field and value is None  # the API server drops such nulls

        assert read == (not faults) or optional

    law()


@pytest.mark.parametrize("kind", KINDS)
@given(body=hostile)
def test_hostile_objects_have_problems_and_a_name(kind: str, body: object) -> None:
    """Reading an object never raises, whatever was stored under its spec, status and metadata."""
    read = parse_resource({"kind": kind, "metadata": body, "spec": body, "status": body})
    inner = parse_resource({"kind": kind, "metadata": {"name": "a"}, "spec": {"template": body}})

    assert (read.spec is None) <= bool(read.problems)
    assert "a" == inner.name


@pytest.mark.parametrize("kind", KINDS)
def test_statuses_read_back(kind: str) -> None:
    """What a status says, its wire form says: within the schema, and the same when read again."""
    schema = schema_of(kind, "status")

    @given(accepted(schema))
    def law(raw: dict[str, Any]) -> None:
        status = STATUSES[kind].model_validate(raw)
        wire = status.wire()

        assert [] == violations(schema, wire)
        assert status == STATUSES[kind].model_validate(wire)
        assert json.dumps(wire)

    law()


@given(st.integers(0, 2**33))
def test_times_read_back(epoch: int) -> None:
    """RFC 3339 and epoch seconds are the same moment."""
    assert epoch == times.epoch_of(times.rfc3339(epoch))


@given(hostile, st.randoms(use_true_random=False))
def test_a_hash_names_a_value(value: object, chance: Any) -> None:
    """The order of keys is nothing, a JSON round trip is nothing, one more key is something."""
    template = {"spec": value, "metadata": {"labels": {"a": "1", "b": "2"}}}
    keys = list(template)
    chance.shuffle(keys)
    name = template_hash(template)

    assert name == template_hash({key: template[key] for key in keys})
    assert name == template_hash(json.loads(json.dumps(template)))
    assert name != template_hash({**template, "more": 1})
    assert 10 == len(name)
    assert name.isalnum()
