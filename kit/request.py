"""Tell an input from a request, and make the request a handler gets."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kit.errors import UsageError
from kit.events import Finding
from kit.findings import withheld
from kit.payload import encode, size_findings
from kit.policy import NONE as NO_POLICY
from kit.policy import Policy, policy_of
from kit.secret import strip_request

_BESIDE_INPUT = frozenset({"webhook", "policy", "s3Config"})
_MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class Request:
    """A job on its way in.

    Attributes
    ----------
    id : str
        RunPod's id: the request's own, else a new one.
    text : str
        What the handler gets, as JSON text, without ``id``.
    stored : str
        What may be written to disk: the same without secrets.
    findings : tuple of Finding
        About the input's way through JSON.
    policy : Policy
        What the request asks for itself.
    """

    id: str
    text: str
    stored: str
    findings: tuple[Finding, ...]
    policy: Policy = NO_POLICY

    @property
    def withholds(self) -> bool:
        """Whether something was left out of ``stored``."""
        return self.stored != self.text


def is_request(value: Any) -> bool:
    """Whether a bare argument is a whole request rather than an input.

    It is one if it is a dict with ``input`` and ``id``, or with ``input`` and otherwise only
    ``webhook``, ``policy`` and ``s3Config``.
    """
    if not isinstance(value, Mapping) or "input" not in value:
        return False
    return "id" in value or set(value) - {"input"} <= _BESIDE_INPUT


def make(value: Any = _MISSING, *, input: Any = _MISSING, request: Any = _MISSING) -> Request:
    """Make a request from ``kit.run``'s arguments, of which exactly one is given.

    Raises
    ------
    UsageError
        None or several were given, ``request`` is not a dict with ``input``, or its ``policy`` is
        outside RunPod's ranges.
    PayloadError
        The input cannot be sent as JSON; ``.path`` says where.
    """
    given = [v for v in (value, input, request) if v is not _MISSING]
    if len(given) != 1:
        raise UsageError(
            "kit.run takes one input: kit.run(x), kit.run(input=x) or kit.run(request={...})."
        )
    if input is not _MISSING:
        fields: dict[str, Any] = {"input": input}
    elif request is not _MISSING or is_request(given[0]):
        fields = _fields(given[0])
    else:
        fields = {"input": value}
    if len(fields) == 1:
        return _of_input(fields["input"])
    id = str(fields.pop("id", None) or uuid.uuid4())
    whole = encode(fields)
    kept = strip_request(fields)
    stored = whole.text if kept == fields else encode(kept).text
    notes = [*whole.findings, *size_findings(whole.size_bytes, "input")]
    if stored != whole.text:
        notes.append(withheld([k for k in fields if kept.get(k) != fields[k]]))
    return Request(id, whole.text, stored, tuple(notes), policy_of(fields))


def _fields(request: Any) -> dict[str, Any]:
    if not isinstance(request, Mapping) or "input" not in request:
        raise UsageError("a request is a dict with `input`: kit.run(request={'input': {...}}).")
    return dict(request)


def _of_input(value: Any) -> Request:
    # the common case, without a dict around the value: one dump, one string
    whole = encode(value, root="$.input")
    text = f'{{"input": {whole.text}}}'
    notes = (*whole.findings, *size_findings(whole.size_bytes, "input"))
    return Request(str(uuid.uuid4()), text, text, notes)
