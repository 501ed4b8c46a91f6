"""The refusals: what cannot travel, where, and what to send instead.

Every message is ``what: what to do.``, and no "what to do" holds a colon and a space. Types are told
by module and name, so that nothing needs to be imported to recognise them.
"""

from __future__ import annotations

import types
from typing import Any

from kit.errors import PayloadError

#: (first part of the module, name of the class or ``*``) of a class or one of its bases
_BY_NAME: dict[tuple[str, str], str] = {
    ("numpy", "ndarray"): "send a list, array.tolist()",
    ("numpy", "generic"): "send a plain number, value.item()",
    ("torch", "Tensor"): "send a list, tensor.tolist()",
    ("jax", "*"): "send a list, array.tolist()",
    ("jaxlib", "*"): "send a list, array.tolist()",
    ("tensorflow", "*"): "send a list, tensor.numpy().tolist()",
    ("PIL", "Image"): (
        "save it to PNG and base64 it, buffer = io.BytesIO(); image.save(buffer, 'PNG'); "
        "base64.b64encode(buffer.getvalue()).decode()"
    ),
    ("pandas", "DataFrame"): 'send rows, frame.to_dict("records")',
    ("pandas", "Series"): "send a list, series.tolist()",
    ("pandas", "Timestamp"): "send text, value.isoformat()",
    ("pydantic", "BaseModel"): 'send a dict, model.model_dump(mode="json")',
    ("datetime", "timedelta"): "send seconds, value.total_seconds()",
    ("datetime", "*"): "send text, value.isoformat()",
    ("decimal", "Decimal"): "send str(value), or float(value) if rounding is fine",
    ("fractions", "Fraction"): "send float(value) or str(value)",
    ("pathlib", "PurePath"): "send what the file holds, or str(path) for its name",
    ("uuid", "UUID"): "send str(value)",
    ("enum", "Enum"): "send its value, member.value",
    ("array", "array"): "send a list, array.tolist()",
    ("collections", "deque"): "send list(value)",
    ("io", "IOBase"): "send what it holds, base64.b64encode(file.read()).decode()",
    ("_io", "_IOBase"): "send what it holds, base64.b64encode(file.read()).decode()",
    ("kit", "Secret"): "leave it out; a key must not travel in a payload",
}


def foreign(path: str, value: object) -> PayloadError:
    """A value that JSON has no word for."""
    return PayloadError(
        f"{path} is {a_type(value)}, which JSON has no word for: {remedy_for(value)}.", path
    )


def foreign_key(path: str, key: object) -> PayloadError:
    """A key that is neither a string nor a number, bool or None."""
    return PayloadError(
        f"{path} has a key that is {a_type(key)}, and JSON keys are strings: "
        "use str(key), or a list of [key, value] pairs.",
        path,
    )


def bad_items(path: str, value: object, how: str, plain: str) -> PayloadError:
    """A subclass of dict, list or tuple whose own items() or __iter__() fails."""
    return PayloadError(f"{path} is {a_type(value)}, whose {how}: send a plain {plain}.", path)


def not_finite(path: str, value: float) -> PayloadError:
    """NaN or an infinity."""
    return PayloadError(
        f"{path} is {not_finite_name(value)}, which is not JSON: send None or a number instead, "
        "e.g. value if math.isfinite(value) else None.",
        path,
        code="nan",
    )


def cycle(path: str, ancestor: str) -> PayloadError:
    """A container within itself."""
    return PayloadError(
        f"{path} is the same object as {ancestor}, which holds it, so the text would never end: "
        "send a copy without the loop.",
        path,
        code="cycle",
    )


def too_deep(path: str, limit: int) -> PayloadError:
    """More nesting than the worker's encoder can follow."""
    return PayloadError(
        f"{path} is nested deeper than {limit} levels, more than the worker's json.dumps can "
        "follow: flatten it, e.g. into a list of nodes with the number of their parent.",
        path,
        code="depth",
    )


def surrogate(path: str, what: str = "") -> PayloadError:
    """Half of a character."""
    return PayloadError(
        f"{what}{path} holds half of a character (a lone surrogate), which UTF-8 cannot carry: "
        'replace it, text.encode("utf-8", "replace").decode().',
        path,
        code="surrogate",
    )


def big_integer(path: str, what: str = "is an integer") -> PayloadError:
    """An integer over ``sys.get_int_max_str_digits()``."""
    return PayloadError(
        f"{path} {what} with more digits than Python writes as text: send it as hex(value).",
        path,
        code="bigint",
    )


def explosion(path: str, limit: int) -> PayloadError:
    """Shared containers whose text would be written out over and over."""
    return PayloadError(
        f"{path} holds the same lists or dicts so many times over that its text would pass "
        f"{limit // 10**9} GB: send each of them once.",
        path,
        code="size",
    )


def not_finite_name(value: float) -> str:
    """A number that is not finite, as ``json.dumps`` writes it."""
    plain = float.__float__(value)
    return "NaN" if plain != plain else "Infinity" if plain > 0 else "-Infinity"


def remedy_for(value: object) -> str:
    """Half a sentence: what to send instead of a value."""
    kind = type(value)
    if issubclass(kind, (bytes, bytearray, memoryview)):
        return "base64 it, base64.b64encode(value).decode()"
    if issubclass(kind, (set, frozenset)):
        return "send a list, sorted(value)"
    if issubclass(kind, types.GeneratorType):
        return "send list(value), or make the handler itself a generator with yield"
    if issubclass(kind, types.AsyncGeneratorType):
        return "send [item async for item in value], or make the handler itself yield"
    if issubclass(kind, types.CoroutineType):
        return "await it"
    if issubclass(kind, complex):
        return "send [value.real, value.imag]"
    if issubclass(kind, BaseException):
        return "send its text, str(error), or raise it"
    if issubclass(kind, type) or issubclass(kind, (types.FunctionType, types.BuiltinFunctionType)):
        return "send its name, value.__name__, or the result of calling it"
    for base in _mro(kind):
        room = _module(base).partition(".")[0]
        found = _BY_NAME.get((room, _name(base))) or _BY_NAME.get((room, "*"))
        if found:
            return found
    if class_has(kind, "__dataclass_fields__"):
        return "send a dict, dataclasses.asdict(value)"
    if class_has(kind, "__attrs_attrs__"):
        return "send a dict, attrs.asdict(value)"
    if class_has(kind, "keys") and class_has(kind, "__getitem__"):
        return "send a dict, dict(value)"
    if class_has(kind, "__iter__"):
        return "send a list, list(value)"
    return "send a dict, list, string, number, bool or None made from it"


def a_type(value: object) -> str:
    """A value's type for a sentence: ``bytes``, ``a numpy.ndarray``, ``an int``."""
    kind = type(value)
    if kind is bytes:
        return "bytes"
    room = _module(kind)
    name = _name(kind)
    full = name if room in ("builtins", "__main__", "") else f"{room}.{name}"
    # PIL.Image.Image, torch.Tensor: a name of one's own class may be anything, so it is cut
    full = full if len(full) <= 80 else f"…{full[-79:]}"
    return f"{'an' if full[:1] in 'aeiouAEIOU' else 'a'} {full}"


def class_has(kind: type, name: str) -> object:
    """What a class or its bases have under a name (None: nothing), without running their code."""
    for base in _mro(kind):
        found: object = _namespace(base).get(name)
        if found is not None:
            return found
    return None


# the getters of type itself: a metaclass may answer anything for kind.__mro__ or kind.__name__
_mro: Any = type.__dict__["__mro__"].__get__
_namespace: Any = type.__dict__["__dict__"].__get__


def _name(kind: type) -> str:
    name: Any = type.__dict__["__name__"].__get__(kind)
    return "".join(c if c.isprintable() else "?" for c in name)


def _module(kind: type) -> str:
    # a class may put anything at __module__
    room: Any = type.__dict__["__module__"].__get__(kind)
    return room if isinstance(room, str) else ""
