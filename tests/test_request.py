"""What is an input, what is a request, and what of it may be written to disk."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import PayloadError, UsageError
from kit.request import is_request, make

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ({"input": 1}, True),
        ({"input": None}, True),
        ({"input": 1, "id": "a"}, True),
        ({"input": 1, "id": "a", "anything": 2}, True),
        ({"input": 1, "webhook": "https://example.com"}, True),
        ({"input": 1, "policy": {}, "s3Config": {}}, True),
        ({"input": 1, "prompt": "a dog"}, False),
        ({"prompt": "a dog"}, False),
        ({"id": "a"}, False),
        ({}, False),
        ([{"input": 1}], False),
        ("input", False),
        (None, False),
    ],
)
def test_the_rule_of_the_bare_argument(value: Any, answer: bool) -> None:
    assert is_request(value) is answer
    made = make(value)
    assert json.loads(made.text)["input"] == (value["input"] if answer else value)


@given(values)
def test_input_and_request_force_the_reading(value: Any) -> None:
    made = make(input=value)
    assert json.loads(made.text) == {"input": value}
    assert uuid.UUID(made.id)
    again = make(request={"input": value, "id": "mine"})
    assert json.loads(again.text) == {"input": value}
    assert again.id == "mine"
    assert not made.withholds
    assert not again.withholds


def test_ids_are_made_when_missing_and_never_twice() -> None:
    ids = {make(input=1).id for _ in range(1_000)}
    ids |= {make(request={"input": 1, "id": empty}).id for empty in ("", None) for _ in range(2)}
    assert len(ids) == 1_004
    assert make({"input": 1, "id": 7}).id == "7"


def test_the_handler_gets_the_keys_of_a_request_unchanged() -> None:
    request = {"id": "a", "input": {"x": 1}, "policy": {"executionTimeout": 5000}, "extra": [1]}
    made = make(request)
    assert json.loads(made.text) == {k: v for k, v in request.items() if k != "id"}
    assert request["id"] == "a", "what was given is left alone"


def test_secrets_of_a_request_are_not_in_what_is_stored() -> None:
    made = make(
        {
            "input": {"x": 1},
            "webhook": "https://user:canary-a@example.com/hook?token=canary-b#canary-c",
            "s3Config": {"accessSecret": "canary-d"},
        }
    )
    assert made.withholds
    assert [found.code for found in made.findings] == ["K222"]
    for canary in ("canary-a", "canary-b", "canary-c", "canary-d"):
        assert canary in made.text
        assert canary not in made.stored
    assert "s3Config" in made.findings[0].sentence
    assert "webhook" in made.findings[0].sentence
    kept = json.loads(made.stored)
    assert kept == {"input": {"x": 1}, "webhook": "https://example.com/hook"}


def test_a_plain_webhook_is_stored_whole() -> None:
    made = make({"input": 1, "webhook": "https://example.com/hook"})
    assert not made.withholds
    assert made.stored == made.text
    assert not made.findings


@pytest.mark.parametrize(
    ("value", "path", "code"),
    [
        ({"image": b"x"}, "$.input.image", "type"),
        ({"x": [float("nan")]}, "$.input.x[0]", "nan"),
        ("\ud800", "$.input", "surrogate"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_path(value: Any, path: str, code: str) -> None:
    for give in (lambda: make(input=value), lambda: make(request={"input": value, "id": "a"})):
        with pytest.raises(PayloadError) as caught:
            give()
        assert (caught.value.path, caught.value.code) == (path, code)


def test_what_changes_on_the_way_is_said() -> None:
    assert [found.code for found in make({"x": (1, 2)}).findings] == ["K101"]
    assert [found.code for found in make({"x": "a" * 10_000_000}).findings] == ["K107"]
    assert not make({"x": [1, 2]}).findings


@pytest.mark.parametrize(
    "give",
    [
        lambda: make(),
        lambda: make(1, input=1),
        lambda: make(input=1, request={"input": 1}),
        lambda: make(request=1),
        lambda: make(request={"prompt": 1}),
        lambda: make(request=[]),
    ],
)
def test_exactly_one_input_is_taken(give: Any) -> None:
    with pytest.raises(UsageError, match="input"):
        give()


def test_none_is_an_input() -> None:
    assert json.loads(make(None).text) == {"input": None}
    assert json.loads(make(input=None).text) == {"input": None}
