"""The order of a file: imports, configuration, definitions, model load, handler."""

from __future__ import annotations

import pytest

from tests.executed import call, load, notebook

H = "%%handler\ndef handler(job): return {}"


def order_of(text: str, *fragments: str) -> list[int]:
    for fragment in fragments:
        assert fragment in text, fragment
    return [text.index(fragment) for fragment in fragments]


def test_a_mess_comes_out_in_sections() -> None:
    book = notebook(
        "def scale(x): return x * FACTOR",
        "class Model:\n    def load(self): self.ready = True",
        "model = Model()\nmodel.load()",
        "import os\nLIMIT = int(os.environ.get('KIT_T_LIMIT', 3))",
        H.format("[scale(LIMIT), model.ready, SCHEMA, json.dumps(1)]"),
        "FACTOR = 2  # twice",
        "import json\nSCHEMA = {'a': 1}\nSCHEMA['b'] = 2",
    )
    text = book.render()
    fragments = (
        "import json", "import os", "import runpod", "LIMIT =", "FACTOR = 2  # twice",
        "SCHEMA = {'a': 1}", "def scale", "class Model", "model = Model()", "model.load()",
        "SCHEMA['b'] = 2", "def handler", "__main__",
    )  # fmt: skip
    places = order_of(text, *fragments)
    assert places == sorted(places)
    assert call(load(text), "handler", 0) == call(book.namespace, "handler", 0)


@pytest.mark.parametrize(
    ("cells", "first", "second"),
    [
        # what reads an older value stays in front of the newer one
        (("N = 1", "def f(): return N\nx = f()", "N = 2", H.format("[x, N]")), "x = f()", "N = 2"),
        # a definition that reads what a call made stays below the call
        (("x = sorted([2, 1])", "def f(a=x): return a", H.format("f()")), "x = sorted", "def f"),
        # an environment variable that is read after it was set
        (
            ("import os\nos.environ['KIT_T_S'] = 'a'\nx = os.environ['KIT_T_S']", H.format("x")),
            "os.environ['KIT_T_S'] = 'a'",
            "x = os.environ",
        ),
        # a list that is copied after it was changed
        (("a = [1]\na.append(2)", "b = list(a)", H.format("b")), "a.append(2)", "b = list(a)"),
        # a class that registers what is derived from it
        (
            (
                "SEEN = []\nclass B:\n    def __init_subclass__(cls): SEEN.append(cls.__name__)",
                "SEEN.append('between')",
                "class C(B): pass",
                H.format("[SEEN, C.__name__]"),
            ),
            "SEEN.append('between')",
            "class C(B)",
        ),
        # a decorator of the notebook's own runs when it stands there
        (
            (
                "SEEN = []\ndef note(f):\n    SEEN.append(f.__name__)\n    return f",
                "SEEN.append('x')",
                "@note\ndef g(): return 1",
                H.format("[SEEN, g()]"),
            ),
            "SEEN.append('x')",
            "def g()",
        ),
        # exec may read anything above it
        (("exec('y = 1')  # kit: keep", "x = 3", H.format("x")), "exec(", "x = 3"),
    ],
    ids=lambda value: None,
)
def test_what_would_mean_something_else_is_not_moved(
    cells: tuple[str, ...], first: str, second: str
) -> None:
    book = notebook(*cells)
    text = book.render()
    places = order_of(text, first, second)
    assert places == sorted(places)
    assert call(load(text), "handler", 0) == call(book.namespace, "handler", 0)


def test_sorted_once_more_it_is_the_same() -> None:
    book = notebook("def f(): return N", "m = f", "N = 1", H.format("m()"))
    once = book.render()
    again = notebook("%%handler\n" + once.replace("runpod.serverless.start(", "print("))
    assert again.render().split('"""')[-1].count("N = 1") == 1
    assert order_of(once, "N = 1", "def f", "m = f") == sorted(
        order_of(once, "N = 1", "def f", "m = f")
    )
