"""The text of handler.py: reads as written by hand, and text stays text."""

from __future__ import annotations

import ast
import random
import textwrap

from kit.export.render import render_handler
from tests.executed import Notebook, load, notebook


def test_it_reads_as_if_a_person_had_written_it() -> None:
    book = notebook(
        "from __future__ import annotations\nimport os, json, numpy as np\nfrom PIL import Image",
        "# where the weights are\nPATH = os.environ.get('KIT_T_PATH', 'w.npy')\n\nSIZE = (2,\n        3)  # px\nprint(PATH)",
        "from PIL import ImageOps, ImageDraw\nimport re, base64\nimport numpy as np",
        "class Model:\n    # one weight\n    def __init__(self): self.w = np.ones(SIZE)\n\n    def run(self, x): return x * self.w\nMODEL = Model()\nMODEL.w[0] = 2",
        '%%handler\n\n# the handler\ndef handler(job):\n    """Text\n\n    over lines."""\n    return json.dumps([ImageOps.__name__, Image.__name__, MODEL.run(1).sum()])\n\nhandler({"input": 1})',
    )
    assert book.render() == textwrap.dedent(
        '''\
        """test"""

        from __future__ import annotations

        import json

        import numpy as np
        from PIL import Image, ImageOps
        import runpod

        SIZE = (2,
                3)  # px


        class Model:
            # one weight
            def __init__(self): self.w = np.ones(SIZE)

            def run(self, x): return x * self.w


        MODEL = Model()
        MODEL.w[0] = 2


        # the handler
        def handler(job):
            """Text

            over lines."""
            return json.dumps([ImageOps.__name__, Image.__name__, MODEL.run(1).sum()])


        if __name__ == "__main__":
            runpod.serverless.start({"handler": handler})
        '''
    )


def test_imports_stay_below_what_they_depend_on() -> None:
    book = notebook(
        "import json\nimport os",
        "os.environ['KIT_T'] = '1'",
        "import packaging\nimport re",
        "%%handler\nimport string\ndef handler(job): return [json, packaging, string] and re and 1",
    )
    text = book.render()
    order = [
        "import json",
        "import os",
        "import re",  # the standard library does not read the environment when it is imported
        "import string",
        "import runpod",
        "os.environ[",
        "import packaging",
    ]
    assert [text.index(word) for word in order] == sorted(text.index(word) for word in order)
    assert text.index("import re") < text.index("def handler")


def test_a_name_that_is_imported_and_bound_otherwise_is_not_moved() -> None:
    book = notebook(
        "json = None\nstart = json",
        "import json",
        "%%handler\ndef handler(job): return [start, json.dumps(1)]",
    )
    text = book.render()
    assert text.index("start = json") < text.index("import json")
    assert load(text)["handler"]({}) == [None, "1"]


def test_long_from_imports_are_wrapped() -> None:
    names = ["ascii_letters", "ascii_lowercase", "ascii_uppercase", "punctuation", "whitespace"]
    book = notebook(
        f"from string import {', '.join(names)}",
        f"%%handler\ndef handler(job): return [{', '.join(names)}]",
    )
    assert "from string import (\n    ascii_letters,\n" in book.render()


def test_comments_of_imports_stay_with_them() -> None:
    book = notebook(
        "# order matters here\nimport json  # noqa: E402",
        "%%handler\ndef handler(job): return json.dumps(1)",
    )
    assert "# order matters here\nimport json  # noqa: E402\n" in book.render()


def test_the_sdk_is_imported_once_and_gives_way_to_a_name_of_the_notebook() -> None:
    body = "%%handler\nimport runpod\ndef handler(job): return runpod.__name__"
    assert notebook(body).render().count("import runpod") == 1
    taken = notebook("runpod = 'mine'", "%%handler\ndef handler(job): return runpod").render()
    assert "    import runpod as runpod_sdk\n" in taken
    assert "    runpod_sdk.serverless.start(" in taken
    assert load(taken)["handler"]({}) == "mine"


def test_options_keep_their_source() -> None:
    book = notebook("LIMIT = 3", "%%handler\ndef handler(job): return 1")
    options = (
        ("return_aggregate_stream", "True"),
        ("concurrency_modifier", "lambda current: min(\n    current + 1,  # one more\n    LIMIT)"),
    )
    text = book.render(options=options)
    assert text.endswith(
        "    runpod.serverless.start(\n"
        "        {\n"
        '            "handler": handler,\n'
        '            "return_aggregate_stream": True,\n'
        '            "concurrency_modifier": lambda current: min(current + 1, LIMIT),\n'
        "        }\n"
        "    )\n"
    )
    assert "LIMIT = 3" in text


HOSTILE = [
    '"""', "'''", '"""\nimport os\n"""', "\\", "\\N{DASH}", "\\x41", "a\nb", "a\r\nb", "\u2028", "\0",
    "\x1b[31m", "\ud800", "{x}", "%s", "# syntax=docker/dockerfile:1", "\u202e", "é", '"', "\\\\\"\"\"",
    "FROM scratch", "x" * 10_000, "\N{ZERO WIDTH SPACE}", "\t",
]  # fmt: skip


def test_a_hostile_name_of_the_notebook_stays_inside_the_docstring() -> None:
    book = notebook("%%handler\ndef handler(job): return 1")
    version = book.version()
    plain = ast.dump(ast.parse(render_handler(book.slice(), version, "x").text))
    rng = random.Random(9)
    for _ in range(300):
        header = "".join(rng.choice(HOSTILE) for _ in range(rng.randint(1, 4)))
        text = render_handler(book.slice(), version, header).text
        tree = ast.parse(text.encode("utf-8"))
        assert isinstance(tree.body[0], ast.Expr)
        tree.body[0].value = ast.Constant("x")
        assert ast.dump(tree) == plain, header


def test_lines_of_the_file_know_their_cell() -> None:
    book = Notebook()
    book.run("A = 1\n\nB = (A,\n     2)")
    book.run("%%handler\ndef handler(job):\n    return B\n")
    rendered = render_handler(book.slice(), book.version(), "two\nlines\n")
    lines = rendered.text.splitlines()
    for first, last, statement in rendered.places:
        assert "\n".join(lines[first - 1 : last]) == statement.text
    at = lines.index("    return B") + 1
    found = rendered.statement_at(at)
    assert found is not None
    assert found.place == "In [2], line 2"
    assert rendered.statement_at(1) is None


def test_comments_that_stand_apart_go_with_what_they_stand_above() -> None:
    book = notebook(
        "# --- imports\n\nimport os\nimport json\n\n# for the table\n\nimport sys",
        """\
# --- the model

# loaded once

import math

print("looking")
SCALE = 3  # factor

# of powers

TABLE = [SCALE**n for n in range(4)]


# --- twice

# for "a" # and "b"
def twice(x):
    return 2 * x

# looked at

TABLE
# at the end
""",
        "# a try\ntwice(3)\n\n# which goes\n\ntwice(4)\n\n# which stays\n\nLIMITS = [1]",
        "# the worker\n\n%%handler\n\ndef handler(job):\n"
        "    return json.dumps([twice(SCALE), TABLE, math.pi, LIMITS])\n\n# old\n# start()\n",
    )
    text = book.render()
    assert (
        text
        == '''\
"""test"""

# --- imports

import json
import math

import runpod

# --- the model

# loaded once

SCALE = 3  # factor

# which stays

LIMITS = [1]


# --- twice


# for "a" # and "b"
def twice(x):
    return 2 * x


# of powers

TABLE = [SCALE**n for n in range(4)]


# the worker


def handler(job):
    return json.dumps([twice(SCALE), TABLE, math.pi, LIMITS])


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
'''
    )
    assert load(text)["handler"]({}) == book.namespace["handler"]({})
