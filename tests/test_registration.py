"""Which function of a cell is the handler, with which options, or one sentence why none is."""

from __future__ import annotations

import functools
import textwrap
from typing import Any

import pytest

from kit.errors import RegistrationError
from kit.handler import Handler, HandlerKind
from kit.line import parse
from kit.registration import Cell, register

_NONE: Any = object()


def cell(
    code: str, line: str = "", namespace: dict[str, Any] | None = None, **known: Any
) -> Handler:
    """Run a cell as the notebook would and register it; ``start`` in it keeps its config."""
    code = textwrap.dedent(code)
    names: dict[str, Any] = {} if namespace is None else namespace
    kept: list[Any] = []

    class Serverless:
        @staticmethod
        def start(config: Any) -> None:
            kept.append(config)

    class Runpod:
        serverless = Serverless

    names.update(runpod=Runpod, serverless=Serverless, start=Serverless.start)
    exec(compile(code, "<cell>", "exec"), names)
    source = f"%%handler {line}\n{code}"
    config = kept[-1] if kept else None
    return register(
        Cell(source, "\n" + code, 3),
        parse(line).handler,
        names,
        config,
        known.get("before") or nothing,
    )


def nothing(name: str) -> Handler | None:
    return None


def refusal(code: str, line: str = "", namespace: dict[str, Any] | None = None) -> str:
    with pytest.raises(RegistrationError) as caught:
        cell(code, line, namespace)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith((".", "?")), sentence
    return sentence


# -- which function --------------------------------------------------------------------------------


def test_handler_is_found_by_its_name_among_others() -> None:
    found = cell(
        """
        def load(path): ...
        def handler(job): return 1
        def other(job): ...
        """
    )
    assert (found.name, found.info.expression, found.info.line) == ("handler", "handler", 4)
    assert found.function({}) == 1
    assert (found.version, found.info.cell, found.info.lines_changed) == (1, 3, None)


def test_the_only_function_with_one_argument_is_found() -> None:
    found = cell(
        """
        def helper(a, b): ...
        def nothing(): ...
        async def classify(job, top=3): ...
        """
    )
    assert (found.name, found.kind) == ("classify", HandlerKind.ASYNC)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("handler = lambda job: 1", "handler"),
        ("h = lambda job: 1", "h"),
        ("class S:\n    def handle(self, job): return 1\nhandler = S().handle", "handler"),
        ("import functools\nrun = functools.partial(lambda a, job: 1, 0)", "run"),
        ("if True:\n    def handler(job): return 1\nelse:\n    def handler(job): return 2", "handler"),
        ("try:\n    def one(job): return 1\nexcept ImportError:\n    pass", "one"),
        ("def outer(job): return 1\nclass K:\n    def method(self): ...", "outer"),
        ("def handler(*args): return 1", "handler"),
        ("handler: object = lambda job: 1", "handler"),
        ("def handler(job): return 1\nhandler.tag = 'x'", "handler"),
    ],
)  # fmt: skip
def test_functions_are_found_however_they_are_bound(code: str, name: str) -> None:
    found = cell(code)
    assert found.name == name
    assert found.function({}) == 1


def test_only_what_this_cell_binds_counts() -> None:
    names: dict[str, Any] = {"handler": lambda job: "old", "earlier": lambda job: 2}
    assert cell("def classify(job): return 3", namespace=names).name == "classify"
    assert "defines no function that takes one argument" in refusal("x = 1", namespace=names)
    # an imported helper is not bound to something the cell made
    assert "defines no function" in refusal("from textwrap import dedent")


def test_an_imported_handler_names_itself() -> None:
    assert cell("from textwrap import dedent as handler").name == "handler"


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("service.handle", "service.handle"),
        ("make(2)", "make(2)"),
        ("make(1 + 1)", "make(1 + 1)"),
        ("second", "second"),
    ],
)
def test_any_expression_may_be_named(line: str, name: str) -> None:
    found = cell(
        """
        class Service:
            def handle(self, job): return "service"
        service = Service()
        def make(n):
            def made(job): return n
            return made
        def first(job): return 1
        def second(job): return "second"
        """,
        line,
    )
    assert (found.name, found.info.expression) == (name, name)
    assert found.function({}) in ("service", 2, "second")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("def handler(job): return 1", HandlerKind.SYNC),
        ("async def handler(job): return 1", HandlerKind.ASYNC),
        ("def handler(job): yield 1", HandlerKind.GENERATOR),
        ("async def handler(job): yield 1", HandlerKind.ASYNC_GENERATOR),
        ("class H:\n    def __call__(self, job): yield 1\nhandler = H()", HandlerKind.SYNC),
    ],
)
def test_four_kinds(body: str, kind: HandlerKind) -> None:
    assert cell(body).kind is kind


def test_two_candidates_are_refused_by_name() -> None:
    says = refusal("def a(job): ...\ndef b(job): ...\ndef c(job): ...")
    assert "`a`, `b` and `c`" in says
    assert "`%%handler c`" in says
    assert "`a` and `b`" in refusal("def a(job): ...\ndef b(job): ...")


@pytest.mark.parametrize(
    ("code", "line", "says"),
    [
        ("x = 1", "", "defines no function that takes one argument"),
        ("", "", "defines no function that takes one argument"),
        ("def handler(): ...", "", "`handler` takes no argument"),
        ("def f(): ...", "", "`f` takes no argument"),
        ("def handler(job, model): ...", "", "`handler` needs 2 arguments"),
        ("def handler(job, *, model): ...", "", "`handler` needs keyword-only arguments"),
        ("handler = 3", "", "`handler` is an int, not a function"),
        ("handler = None", "", "`handler` is a NoneType, not a function"),
        ("def handler(job): ...", "nope", "names `nope`, but name 'nope' is not defined"),
        ("def classify(job): ...", "clasify", "Did you mean `classify`?"),
        ("def handler(job): ...", "nope", "Leave the name off, or write `%%handler handler`."),
        ("def a(job): ...\ndef b(job): ...", "nope", "not defined. Write `%%handler a`."),
        ("class cls: ...", "cls", "`cls` is a class, and a class is no handler"),
        ("class Two:\n    def __init__(self, job): ...", "Two", "a method of an object"),
        ("def f(job): ...", "f.x", "names `f.x`, which raised AttributeError"),
        ("def f(job): ...", "1/0", "names `1/0`, which raised ZeroDivisionError"),
        ("def f(job): ...", "3", "names `3`, which is an int, not a function"),
        ("def f(job): ...", "f(", "names `f(`, which raised SyntaxError"),
    ],
)
def test_bad_cells_get_one_clear_sentence(code: str, line: str, says: str) -> None:
    assert says in refusal(code, line)


# -- start() ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        'runpod.serverless.start({"handler": work})',
        'if __name__ == "__main__":\n    runpod.serverless.start({"handler": work})',
        'serverless.start({"handler": work})',
        'start({"handler": work})',
        'start(config={"handler": work})',
        "runpod.serverless.start(dict(handler=work))",
        'config = {"handler": work}\nrunpod.serverless.start(config)',
    ],
)
def test_start_says_which_function(call: str) -> None:
    code = f"def handler(job): return 0\ndef work(job): return 1\n{call}"
    found = cell(code, namespace={"__name__": "__main__"})
    assert found.function({}) == 1
    assert found.info.expression == "work"


def test_options_of_start_are_kept_with_their_source() -> None:
    found = cell(
        """
        async def handler(job): yield 1
        def scale(current): return min(current + 1, 8)
        runpod.serverless.start({
            "handler": handler,
            "concurrency_modifier": scale,
            "return_aggregate_stream": True,
            "refresh_worker": 1 > 2,
        })
        """
    )
    assert found.options.return_aggregate_stream is True
    assert found.options.refresh_worker is False
    assert found.options.concurrency_modifier is not None
    assert found.options.concurrency_modifier(3) == 4
    assert found.info.options == (
        ("return_aggregate_stream", "True"),
        ("concurrency_modifier", "scale"),
        ("refresh_worker", "1 > 2"),
    )


@pytest.mark.parametrize("start", ["start", "serverless.start", "runpod.serverless.start"])
def test_other_things_that_a_cell_starts_are_not_taken_for_it(start: str) -> None:
    found = cell(
        f"""
        class Metrics:
            def start(self, port): ...
        def handler(job): return 1
        def scale(current): return 2
        Metrics().start(8000)
        {start}({{"handler": handler, "concurrency_modifier": scale}})
        Metrics().start({{"port": 8000}})
        """
    )
    assert found.info.expression == "handler"
    assert found.info.options == (("concurrency_modifier", "scale"),)


def test_options_of_the_line_become_options_of_start() -> None:
    found = cell("def handler(job): yield 1", "--aggregate --refresh --concurrency 4")
    assert found.options.return_aggregate_stream
    assert found.options.refresh_worker
    assert found.options.concurrency_modifier is not None
    assert found.options.concurrency_modifier(99) == 4
    assert dict(found.info.options) == {
        "return_aggregate_stream": "True",
        "refresh_worker": "True",
        "concurrency_modifier": "lambda current: 4",
    }


def test_the_same_option_twice_is_fine_if_both_agree() -> None:
    found = cell(
        "def handler(job): yield 1\n"
        'start({"handler": handler, "return_aggregate_stream": True,\n'
        '       "concurrency_modifier": lambda current: 4})',
        "--aggregate --concurrency 4",
    )
    assert found.options.return_aggregate_stream
    assert dict(found.info.options)["concurrency_modifier"] == "lambda current: 4"


@pytest.mark.parametrize(
    ("config", "line", "says"),
    [
        ('{"handler": handler, "handlr": 1}', "", "`handlr`, which RunPod's worker ignores. Did you mean `handler`?"),
        ('{"handler": handler, "concurrency": 4}', "", "`concurrency`"),
        ('{"handler": handler, handler: 1}', "", "which RunPod's worker ignores"),
        ("{}", "", "start() was given no `handler` that can be called"),
        ('{"handler": 3}', "", "start() was given no `handler` that can be called"),
        ("3", "", "start() was given an int, not a dict"),
        ("handler", "", "start() was given a function, not a dict"),
        ('{"handler": handler, "concurrency_modifier": 4}', "", "`concurrency_modifier` is an int, not a function"),
        ('{"handler": handler}', "other", "names `other`, but start() in this cell is given `handler`"),
        ('{"handler": handler, "refresh_worker": False}', "--refresh", "--refresh is on the line, but start() says `refresh_worker` is False"),
        ('{"handler": handler, "concurrency_modifier": lambda c: 2}', "--concurrency 4", "concurrency_modifier that gives 2"),
        ('{"handler": handler, "concurrency_modifier": lambda c: 1/0}', "--concurrency 4", "an error (ZeroDivisionError)"),
        ('{"handler": lambda: 1}', "", "takes no argument"),
    ],
)  # fmt: skip
def test_a_bad_start_gets_one_clear_sentence(config: str, line: str, says: str) -> None:
    code = f"def handler(job): ...\ndef other(job): ...\nstart({config})"
    assert says in refusal(code, line)


def test_a_bound_method_on_the_line_and_in_start_is_the_same_function() -> None:
    # every access of a bound method makes a new object: `is` would refuse this
    found = cell(
        """
        class Service:
            def handle(self, job): return 1
        service = Service()
        runpod.serverless.start({"handler": service.handle})
        """,
        "service.handle",
    )
    assert found.name == "service.handle"


@pytest.mark.parametrize("key", ["rp_args", "jobs_fetcher", "stop_signals_fetcher"])
def test_keys_that_the_worker_reads_itself_are_no_mistake(key: str) -> None:
    found = cell(f'def handler(job): ...\nstart({{"handler": handler, "{key}": None}})')
    assert found.name == "handler"


# -- versions --------------------------------------------------------------------------------------


def test_versions_count_per_name_and_say_how_much_changed() -> None:
    known: dict[str, Handler] = {}

    def again(code: str) -> Handler:
        found = cell(code, before=known.get)
        known[found.name] = found
        return found

    first = again("def handler(job):\n    return 1\n")
    same = again("def handler(job):\n    return 1\n")
    changed = again("def handler(job):\n    x = 2\n    return x\n")
    other = again("def other(job):\n    return 1\n")
    assert [v.version for v in (first, same, changed, other)] == [1, 2, 3, 1]
    assert [v.info.lines_changed for v in (first, same, changed, other)] == [None, 0, 2, None]


def test_the_source_is_kept_as_typed() -> None:
    found = cell("def handler(job):\n    return 1", "--no-run")
    assert found.info.source == "%%handler --no-run\ndef handler(job):\n    return 1"


def test_an_object_without_a_signature_is_taken_as_it_is() -> None:
    names: dict[str, Any] = {"kept": functools.partial(max, 1)}
    assert cell("handler = kept", namespace=names).name == "handler"


def test_the_decorated_function_s_own_line_is_found() -> None:
    found = cell(
        """
        import functools
        def traced(function):
            @functools.wraps(function)
            def wrapper(job):
                return function(job)
            return wrapper

        @traced
        def handler(job):
            return 1
        """
    )
    assert found.info.line == 11
