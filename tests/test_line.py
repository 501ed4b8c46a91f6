"""The ``%%handler`` line: names, options, and JSON that no word splitter may touch."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kit.errors import UsageError
from kit.line import HandlerLine, HelpAsked, options, parse, parser, read_json

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
#: how a person writes JSON on one line
json_texts = st.builds(
    lambda value, tight, ascii_only: json.dumps(
        value, separators=(",", ":") if tight else (", ", ": "), ensure_ascii=ascii_only
    ),
    json_values,
    st.booleans(),
    st.booleans(),
)
names = st.sampled_from(
    ["", "handler", "service.handle", "make(cfg)", "make(cfg, 2)", "make(a - 1)", "h[0]", "f(-1)"]
)
before = st.lists(
    st.sampled_from(["--no-run", "--aggregate", "--refresh", "--timeout 30", "--wait=0"]),
    unique=True,
    max_size=3,
)
after = st.lists(
    st.sampled_from(["--concurrency 4", "--target local", "--concurrency=4"]), max_size=1
)


# -- the cutter ------------------------------------------------------------------------------------


@given(json_texts, names, before, after, st.sampled_from([" ", "  ", "=", "\t"]), st.booleans())
@example('"--input"', "", [], [], " ", False)
@example('{"a": "--input {\\"b\\": 1} --no-run"}', "handler", [], ["--concurrency 4"], " ", False)
@example("-1", "", [], [], " ", False)
@settings(max_examples=400)
def test_the_input_is_cut_out_whole_wherever_it_stands(
    text: str, name: str, first: list[str], last: list[str], gap: str, quoted: bool
) -> None:
    shown = f"'{text}'" if quoted else text
    line = parse(" ".join([name, *first, f"--input{gap}{shown}", *last]))
    assert line.input == text
    assert (line.handler.name or "") == name
    assert line.run is ("--no-run" not in first)
    assert line.handler.aggregate is ("--aggregate" in first)
    assert line.timeout_s == (30 if "--timeout 30" in first else None)
    assert line.wait_s == (0 if "--wait=0" in first else 2)
    assert line.handler.concurrency == (4 if any("concurrency" in o for o in last) else None)
    assert line.target == ("local" if "--target local" in last else None)


@given(json_texts, st.text(alphabet=" \t--inputa{}\"'1", max_size=12))
def test_the_reader_takes_the_json_and_not_one_character_more(text: str, rest: str) -> None:
    try:
        value, used = read_json(text + rest, "--input")
    except UsageError:
        # it may refuse, but only where something is glued to the JSON
        assert rest[:1] not in ("", " ", "\t")
        return
    if rest[:1] in ("", " ", "\t"):
        assert (value, used) == (text, len(text))
    assert json.loads(value) is not NotImplemented


@given(st.text(max_size=60))
@settings(max_examples=500)
def test_any_line_is_parsed_or_refused_in_one_sentence(text: str) -> None:
    try:
        line = parse(text.replace("\n", " "))
    except HelpAsked:
        return
    except UsageError as exc:
        sentence = str(exc)
        assert sentence[-1] in ".?!", sentence
        assert "--input" in sentence or "%%handler" in sentence
        return
    assert isinstance(line, HandlerLine)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("--input", "--input needs a value"),
        ("--input   ", "--input needs a value"),
        ("--input {'a': 1}", 'JSON needs double quotes: {"prompt": "a dog"}.'),
        ('--input {"a": }', "is not JSON at column 7"),
        ('--input {"a": 1', "is not JSON at column"),
        ('--input \'{"a": 1}', "starts with ' and does not end with it"),
        ('--input {"a": 1}--no-run', "something follows the JSON without a space: '--no-run'"),
        ("--input dog", "is not JSON at column 1, near 'dog'"),
        ('--input {"a": 1} --input {"a": 2}', "--input is there twice"),
        ('--input {"a": 1} --input-file x.json', "give --input or --input-file, not both"),
        ('--input {"a": 1} handler', "does not understand 'handler': the name comes first"),
    ],
)
def test_a_bad_input_is_said_with_its_place(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert says in str(caught.value)


# -- options ---------------------------------------------------------------------------------------


def test_a_bare_line_has_the_documented_defaults() -> None:
    line = parse("")
    assert line == HandlerLine(line.handler)
    assert line.handler.name is None
    assert (line.wait_s, line.run, line.timeout_s, line.target) == (2.0, True, None, None)


def test_every_option_of_the_documentation_exists() -> None:
    assert set(options()) == {
        "--input", "--input-file", "--timeout", "--target", "--aggregate", "--refresh",
        "--concurrency", "--wait", "--no-run", "--help",
    }  # fmt: skip
    text = parser().format_help()
    for option in options():
        assert option in text


@pytest.mark.parametrize("option", ["--help", "-h", "name --help", "--input 1 -h", "?", " ? "])
def test_help_is_asked_for(option: str) -> None:
    with pytest.raises(HelpAsked):
        parse(option)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("--inputs 1", "no option --inputs. Did you mean --input?"),
        ("--timout 3", "no option --timout. Did you mean --timeout?"),
        ("--zoom", "no option --zoom. See %%handler --help."),
        ("-x", "no option -x"),
        ("--agg", "no option --agg."),
        ("--timeout", "--timeout"),
        ("--timeout soon", "--timeout"),
        ("--timeout 0", "--timeout is 0; give seconds above 0"),
        ("--timeout inf", "--timeout is inf; give seconds above 0"),
        ("--timeout -3", "--timeout is -3"),
        ("--timeout nan", "--timeout is nan"),
        ("--wait -1", "--wait is -1"),
        ("--wait nan", "--wait is nan"),
        ("--concurrency 0", "--concurrency is 0; give at least 1"),
        ("--concurrency 1.5", "--concurrency"),
        ("--concurrency", "--concurrency"),
        ("--no-run=yes", "--no-run"),
        ("--target", "--target"),
    ],
)
def test_what_is_wrong_is_named(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("classify", "classify"),
        ("service.handle --no-run", "service.handle"),
        ("make(cfg, 2) --no-run", "make(cfg, 2)"),
        ("make(x - 1) --no-run", "make(x - 1)"),
        ("make(-1)", "make(-1)"),
        ("  spaced   --no-run", "spaced"),
        ("registry['a b']", "registry['a b']"),
        ("-h2 if False else h", None),
    ],
)
def test_the_name_is_any_expression_before_the_first_option(text: str, name: str | None) -> None:
    if name is None:
        with pytest.raises(UsageError):
            parse(text)
        return
    assert parse(text).handler.name == name


def test_numbers_take_their_units_from_the_option() -> None:
    line: Any = parse("--timeout 1e-1 --wait 0 --concurrency 8 --input-file a.json")
    assert (line.timeout_s, line.wait_s, line.handler.concurrency) == (0.1, 0.0, 8)
    assert line.input_file == "a.json"
