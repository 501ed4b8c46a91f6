"""The keys of an input, as a schema, a model or a signature declares them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: names of JSON's kinds, and what an input of that kind begins as
KINDS: dict[str, Any] = {
    "string": "",
    "integer": 0,
    "number": 0.0,
    "boolean": False,
    "array": [],
    "object": {},
    "null": None,
}
_OF_PYTHON = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    tuple: "array",
    dict: "object",
    type(None): "null",
}
#: kinds that pydantic turns into another by itself, unless the model is strict
_TURNED = {
    "string": ("string",),
    "integer": ("integer", "number", "string", "boolean"),
    "number": ("integer", "number", "string", "boolean"),
    "boolean": ("boolean", "integer", "number", "string"),
    "array": ("array",),
    "object": ("object",),
    "null": ("null",),
}
#: fields that are told, characters of what their author says of one, references that are followed
MOST = 100
_TEXT = 300
_HOPS = 3
_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Field:
    """One key of the input.

    Attributes
    ----------
    name : str
    required : bool
        Whether the handler fails, or refuses, without it.
    kind : str
        What it should be, for a person: one of ``KINDS`` or several, ``"string or null"``; ``""``
        if nothing tells.
    accepts : tuple of str
        Kinds that are not refused; empty if nothing tells.
    default : str or None
        JSON text of what stands in for a missing key; None if nothing does, or it is no JSON.
    about : str
        What its author says of it.
    """

    name: str
    required: bool
    kind: str = ""
    accepts: tuple[str, ...] = ()
    default: str | None = None
    about: str = ""

    @property
    def first(self) -> Any:
        """A value to begin with."""
        if self.default is not None:
            return json.loads(self.default)
        kind = self.kind.split(" or ")[0]
        return KINDS.get(kind, "") if self.required or not kind else None


def of_validator(schema: Mapping[Any, Any]) -> list[Field]:
    """``rp_validator``: name to ``{"type", "required", "default", "constraints"}``."""
    fields = []
    for key, rules in list(schema.items())[:MOST]:
        if isinstance(rules, str):  # rp_validator reads JSON text too
            try:
                rules = json.loads(rules)
            except ValueError:
                continue
        if not isinstance(rules, Mapping):
            continue
        default = rules.get("default")
        types = rules.get("type")
        kinds = [_OF_PYTHON[t] for t in _each(types) if t in _OF_PYTHON]
        accepts = [*kinds]
        # isinstance(True, int), and an int where a float is asked for is made one
        accepts += ["boolean"] if "integer" in kinds else []
        accepts += ["integer"] if types is float else []
        if "default" in rules and type(default) in _OF_PYTHON:
            accepts.append(_OF_PYTHON[type(default)])
        fields.append(
            Field(
                str(key),
                bool(rules.get("required")),
                " or ".join(dict.fromkeys(kinds)),
                tuple(dict.fromkeys(accepts)) if kinds else (),
                json_text(default) if "default" in rules else None,
            )
        )
    return fields


def of_json_schema(schema: Mapping[str, Any], *, turned: bool) -> list[Field]:
    """A JSON schema; ``turned`` if values are made to fit where they can be, as pydantic does."""
    fields = []
    required = set(schema.get("required") or ())
    definitions = schema.get("$defs") or schema.get("definitions") or {}
    for key, given in list((schema.get("properties") or {}).items())[:MOST]:
        if not isinstance(given, Mapping):
            continue
        rules = _referred(given, definitions)
        kinds = list(dict.fromkeys(_kinds(rules, definitions)))
        accepts = set(kinds) | ({"integer"} if "number" in kinds else set())
        if turned:
            accepts = {k for kind in kinds for k in _TURNED.get(kind, ())}
        has_default = "default" in rules or "default" in given
        fields.append(
            Field(
                key,
                key in required,
                " or ".join(kinds),
                tuple(k for k in KINDS if k in accepts),
                json_text(rules.get("default", given.get("default"))) if has_default else None,
                str(rules.get("description") or given.get("description") or "")[:_TEXT],
            )
        )
    return fields


def of_signature(signature: inspect.Signature, given: Collection[str | None]) -> list[Field]:
    """Parameters of what is called with ``**input``; those ``given`` otherwise are left out."""
    fields = []
    for p in signature.parameters.values():
        if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL, p.POSITIONAL_ONLY) or p.name in given:
            continue
        default = None if p.default is p.empty else json_text(p.default)
        kind = _annotated(p.annotation) or kind_of(default)
        fields.append(Field(p.name, p.default is p.empty, kind, (), default))
    return fields[:MOST]


def json_text(value: Any) -> str | None:
    """A value as JSON text; None if it is none, or a long one."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return None
    return text if len(text) <= 10_000 else None


def kind_of(default: str | None) -> str:
    """What a default is, by its JSON text; empty if that tells nothing."""
    if default is None or default == "null":
        return ""
    return _OF_PYTHON.get(type(json.loads(default)), "")


def _each(types: Any) -> Iterator[Any]:
    yield from types if isinstance(types, tuple) else (types,)


def _annotated(annotation: Any) -> str:
    if isinstance(annotation, str):
        head = annotation.split("[")[0].strip()
        return next((k for t, k in _OF_PYTHON.items() if t.__name__ == head), "")
    origin = getattr(annotation, "__origin__", annotation)
    try:
        return _OF_PYTHON.get(origin, "")
    except TypeError:
        return ""


def json_schema_of(model: Any) -> Mapping[str, Any] | None:
    """The JSON schema of a pydantic model (2 or 1), told by its methods; None if it is none."""
    if not isinstance(model, type):
        return None
    ask = getattr(model, "model_json_schema", None)
    if ask is None and hasattr(model, "__fields__"):
        ask = getattr(model, "schema", None)
    if not callable(ask):
        return None
    try:
        schema = ask()
    except Exception:  # a model's own code, or a type that JSON schema cannot say
        return None
    return schema if isinstance(schema, Mapping) else None


def _referred(rules: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    for _ in range(_HOPS):
        name = str(rules.get("$ref", "")).rpartition("/")[2]
        if name not in definitions:
            break
        rules = definitions[name]
    return rules


def _kinds(
    rules: Mapping[str, Any], definitions: Mapping[str, Any], depth: int = 0
) -> Iterator[str]:
    """Kinds that a JSON schema allows; nothing if it does not say."""
    rules = _referred(rules, definitions)
    if depth > _DEPTH:
        return
    kind = rules.get("type")
    if isinstance(kind, str):
        yield kind
    elif isinstance(kind, list):
        yield from (k for k in kind if isinstance(k, str))
    for value in [*(rules.get("enum") or ()), *([rules["const"]] if "const" in rules else ())]:
        if kind is None and type(value) in _OF_PYTHON:
            yield _OF_PYTHON[type(value)]
    for other in (*(rules.get("anyOf") or ()), *(rules.get("oneOf") or ())):
        if isinstance(other, Mapping):
            yield from _kinds(other, definitions, depth + 1)
