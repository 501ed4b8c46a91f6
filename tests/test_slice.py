"""Which statements stay: notebooks nobody tidied, and programs made by chance."""

from __future__ import annotations

import textwrap
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from kit.source.record import Cell
from tests.executed import Notebook, call, load, notebook


@dataclass(frozen=True)
class Case:
    """Cells, what must and must not be in the file, and inputs whose outputs must be equal."""

    name: str
    cells: tuple[str, ...]
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    expression: str = "handler"
    options: tuple[tuple[str, str], ...] = ()
    inputs: tuple[Any, ...] = ({},)
    questions: tuple[str, ...] = ()
    plain: bool = field(default=True)


def case(name: str, *cells: str, **more: Any) -> Case:
    return Case(name, tuple(textwrap.dedent(c).strip("\n") for c in cells), **more)


CASES = [
    case(
        "a model that is set up by a bare call",
        """
        class Predictor:
            def setup(self): self.weights = [1, 2]
            def predict(self, x): return [w * x for w in self.weights]
        """,
        "MODEL = Predictor()\nMODEL.setup()",
        "%%handler\ndef handler(job): return MODEL.predict(job['input'])",
        keep=("MODEL.setup()",),
        inputs=(3,),
    ),
    case(
        "mutation in a cell after the handler's",
        "LABELS = ['a']",
        "%%handler\ndef handler(job): return LABELS",
        "LABELS.append('b')",
        keep=("LABELS.append('b')",),
    ),
    case(
        "a mutation before the last definition goes",
        "cfg = {}\ncfg['x'] = 1",
        "cfg = {'y': 2}",
        "%%handler\ndef handler(job): return cfg",
        drop=("cfg['x']", "cfg = {}"),
    ),
    case(
        "a redefinition that reads the older value",
        "xs = [3, 1, 2]",
        "xs = sorted(xs)",
        "%%handler\ndef handler(job): return xs",
        keep=("xs = [3, 1, 2]", "xs = sorted(xs)"),
    ),
    case(
        "an older value is needed at load, the latest at run",
        "SIZE = 2",
        "def build(): return [0] * SIZE\nmodel = build()",
        "SIZE = 5",
        "%%handler\ndef handler(job): return [model, SIZE]",
        keep=("SIZE = 2", "SIZE = 5"),
    ),
    case(
        "test cells, prints and probes after the handler",
        "%%handler\ndef generate(job): return job['input'] * 2",
        "input_ = {'input': 2}\nimage = generate(input_)\nimage",
        "print(generate({'input': 3}))\nfor i in range(3): print(generate({'input': i}))",
        expression="generate",
        drop=("image", "print", "input_"),
        inputs=(4,),
    ),
    case(
        "a shadowed builtin that only a test cell binds",
        "%%handler\ndef handler(input): return input['input']",
        "input = {'input': 7}\nout = handler(input)",
        drop=("input = {",),
        inputs=(1,),
    ),
    case(
        "schema built by copy and item assignment, with lambdas over later globals",
        "BASE = {'a': {'type': int, 'check': lambda v: v < LIMIT}}",
        "SCHEMA = BASE.copy()\nSCHEMA['b'] = {'type': str}",
        "LIMIT = 10",
        "%%handler\ndef handler(job): return [sorted(SCHEMA), SCHEMA['a']['check'](job['input'])]",
        keep=("SCHEMA['b']", "LIMIT = 10"),
        inputs=(5, 50),
    ),
    case(
        "environment set before the import that reads it, read with a default",
        "import os\nos.environ['KIT_T_MODE'] = 'fast'",
        "import json\nMODE = os.environ.get('KIT_T_MODE', 'slow')\nN = int(os.environ.get('KIT_T_N', 4))",
        "%%handler\ndef handler(job): return json.dumps([MODE, N])",
        keep=("os.environ['KIT_T_MODE'] = 'fast'", "os.environ.get('KIT_T_N', 4)"),
    ),
    case(
        "logging and warnings are configured",
        "import logging, warnings\nlogging.basicConfig(level=logging.INFO)",
        "warnings.filterwarnings('ignore')\nlog = logging.getLogger('w')\nlog.setLevel(logging.DEBUG)",
        "%%handler\ndef handler(job):\n    log.debug('x')\n    return log.level",
        keep=("logging.basicConfig", "warnings.filterwarnings", "log.setLevel"),
    ),
    case(
        "seeds stay where their library does, and go where it does not",
        "import random, math\nrandom.seed(3)",
        "noise = random.random()",
        "%%handler\ndef handler(job): return math.pi + noise",
        keep=("random.seed(3)",),
    ),
    case(
        "seed of a library nobody needs",
        "import random\nrandom.seed(3)",
        "%%handler\ndef handler(job): return 1",
        drop=("random",),
    ),
    case(
        "module-level with, if, try and for that bind",
        "import contextlib, sys",
        "with contextlib.suppress(OSError):\n    table = {}\n    table['n'] = 1",
        "if sys.maxsize > 0:\n    device = 'cuda'\nelse:\n    device = 'cpu'",
        "try:\n    import no_such_module as fast\nexcept ImportError:\n    fast = None",
        "for name in ('a', 'b'):\n    table[name] = device",
        "%%handler\ndef handler(job): return [table, device, fast is None]",
        keep=("with contextlib", "if sys.maxsize", "except ImportError", "for name in"),
    ),
    case(
        "a conditional value keeps the unconditional one",
        "mode = 'slow'",
        "import os\nif os.environ.get('KIT_T_NEVER'):\n    mode = 'fast'",
        "%%handler\ndef handler(job): return mode",
        keep=("mode = 'slow'", "mode = 'fast'"),
    ),
    case(
        "the guard loads the model",
        "def load(): return {'w': 2}",
        """
        %%handler
        def handler(job): return MODEL['w'] * job['input']
        if __name__ == "__main__":
            MODEL = load()
            text = '''two
          lines'''
            MODEL['t'] = text
            start = None
        """,
        keep=("MODEL = load()", "MODEL['t'] = text"),
        drop=("start = None",),
        inputs=(3,),
    ),
    case(
        "lazy model behind global",
        "PIPE = None\ndef pipe():\n    global PIPE\n    if PIPE is None: PIPE = [1]\n    return PIPE",
        "%%handler\ndef handler(job): return pipe()",
        "handler({'input': 1})\npipe()",
        keep=("global PIPE",),
        drop=("handler({",),
    ),
    case(
        "a function that fills a global, called bare or for a value nobody needs",
        "CACHE = {}\ndef warm(n):\n    CACHE[n] = n * 2\n    return True",
        "warm(3)",
        "ok = warm(4)",
        "%%handler\ndef handler(job): return CACHE",
        keep=("warm(3)", "ok = warm(4)"),
    ),
    case(
        "a function that changes what it is given",
        "def tune(m): m['lr'] = 1",
        "model = {}\nother = {}\ntune(model)\ntune(other)",
        "%%handler\ndef handler(job): return model",
        keep=("tune(model)",),
        drop=("tune(other)", "other = {}"),
    ),
    case(
        "fit that is assigned",
        "class M:\n    def fit(self, x):\n        self.mean = sum(x) / len(x)\n        return [0.1]",
        "model = M()\nhistory = model.fit([1, 2, 3])",
        "print(history)",
        "%%handler\ndef handler(job): return model.mean",
        keep=("history = model.fit",),
        drop=("print",),
    ),
    case(
        "parts of an object under another name",
        "class N: pass\nmodel = N()\nmodel.layers = [N(), N()]",
        "for layer in model.layers:\n    layer.frozen = True",
        "first = model.layers[0]\nfirst.frozen = 'no'",
        "%%handler\ndef handler(job): return [l.frozen for l in model.layers]",
        keep=("for layer in", "first.frozen = 'no'"),
    ),
    case(
        "an object that was handed on, and changed afterwards",
        "routes = {}\nclass App:\n    def __init__(self, r): self.r = r",
        "app = App(routes)",
        "routes['x'] = 1",
        "%%handler\ndef handler(job): return app.r",
        keep=("routes['x'] = 1",),
    ),
    case(
        "a getter in between",
        "class N:\n    mode = 'train'\n    def eval(self): self.mode = 'eval'",
        "MODEL = N()\ndef get_model(): return MODEL",
        "get_model().eval()",
        "m = get_model()\nm.size = 3",
        "%%handler\ndef handler(job): return [MODEL.mode, MODEL.size]",
        keep=("get_model().eval()", "m.size = 3"),
    ),
    case(
        "registration by decorator, with nobody naming the function",
        "REGISTRY = {}\ndef register(name):\n    def wrap(f):\n        REGISTRY[name] = f\n        return f\n    return wrap",
        "@register('double')\ndef double(x): return 2 * x",
        "@register('half')\ndef half(x): return x / 2",
        "%%handler\ndef handler(job): return {k: f(job['input']) for k, f in REGISTRY.items()}",
        keep=("def double", "def half"),
        inputs=(4,),
    ),
    case(
        "imports split to what is used, in functions too",
        "import os, sys, json as j\nfrom math import (pi,\n    tau, e as euler)",
        "def late():\n    import base64\n    return base64.b64encode(b'x').decode()",
        "%%handler\ndef handler(job): return [j.dumps(1), tau, late()]",
        keep=("import json as j", "from math import tau", "import base64"),
        drop=("import os", "import sys", "pi", "euler"),
    ),
    case(
        "dotted imports add to one name",
        "import xml.etree.ElementTree\nimport xml.dom.minidom",
        "%%handler\ndef handler(job): return [xml.etree.ElementTree.__name__, xml.dom.minidom.__name__]",
        keep=("import xml.etree.ElementTree", "import xml.dom.minidom"),
    ),
    case(
        "the same import in many cells is written once",
        "import json",
        "import json\nA = json.dumps(1)",
        "import json\n%%nothing".replace("\n%%nothing", ""),
        "%%handler\nimport json\ndef handler(job): return json.loads(A)",
    ),
    case(
        "from __future__ is hoisted",
        "x = 1",
        "from __future__ import annotations\n",
        "%%handler\ndef handler(job: Nowhere) -> 'AlsoNowhere': return x",
        keep=("from __future__ import annotations",),
    ),
    case(
        "names only in annotations, defaults, f-strings, comprehensions, match",
        "Size = int\nFALLBACK = 3\nWIDTH = 4\nITEMS = [1, 2]\nKIND = 'a'",
        """
        %%handler
        class K: A = 'a'
        def handler(job, n: Size = FALLBACK):
            match job['input']:
                case K.A: word = 'is a'
                case {'k': kind, **rest}: word = f'{kind}{sorted(rest)}'
                case [first, *others]: word = f'{first}/{len(others)}'
                case _: word = 'else'
            return [f'{n:>{WIDTH}}', [i for i in ITEMS if i], word]
        """,
        keep=("Size = int", "FALLBACK", "WIDTH", "ITEMS"),
        drop=("KIND",),
        inputs=("a", {"k": 1, "z": 2}, [1, 2, 3], 0),
    ),
    case(
        "closures, decorators, classes with bases",
        "def scale(by):\n    def wrap(f):\n        def inner(job): return f(job) * by\n        return inner\n    return wrap",
        "FACTOR = 3\nclass Base:\n    def size(self): return FACTOR\nclass Model(Base): pass",
        "%%handler\n@scale(FACTOR)\ndef handler(job): return Model().size() + job['input']",
        keep=("def scale", "class Base", "class Model"),
        inputs=(1,),
    ),
    case(
        "a bound method of an object that is set up later",
        "class Service:\n    def __init__(self): self.n = 0\n    def load(self): self.n = 5\n    def handle(self, job): return self.n + job['input']",
        "%%handler\nservice = Service()",
        "service.load()",
        expression="service.handle",
        keep=("service.load()", '"handler": service.handle'),
        inputs=(1,),
    ),
    case(
        "a factory, its options a lambda over a global",
        "class Engine:\n    max_concurrency = 3\nengine = Engine()",
        "%%handler\ndef make_handler(e):\n    def handle(job): return e.max_concurrency\n    return handle",
        expression="make_handler(engine)",
        options=(("concurrency_modifier", "lambda current: engine.max_concurrency"),),
        keep=('"concurrency_modifier": lambda current: engine.max_concurrency',),
    ),
    case(
        "generator",
        "N = 3",
        "%%handler\ndef handler(job):\n    for i in range(N): yield {'i': i}",
    ),
    case(
        "async generator with a helper",
        "import asyncio\nasync def tick(i):\n    await asyncio.sleep(0)\n    return i * STEP\nSTEP = 2",
        "%%handler\nasync def handler(job):\n    for i in range(3): yield await tick(i)",
        keep=("STEP = 2", "async def tick"),
    ),
    case(
        "two handlers named alike: the one asked for",
        "%%handler\ndef handler(job): return 'second'",
        "unused = 1",
        drop=("unused",),
    ),
    case(
        "star import",
        "from math import *",
        "%%handler\ndef handler(job): return floor(sqrt(job['input']))",
        keep=("from math import *",),
        questions=("from math import *",),
        inputs=(17,),
    ),
    case(
        "walrus, chained and unpacked targets",
        "if (n := 4) > 3: pass\na = b = [n]\n(c, *d), e = (1, 2, 3), 4",
        "b.append(5)",
        "%%handler\ndef handler(job): return [a, c, d, e]",
        keep=("b.append(5)",),
    ),
    case(
        "semicolons, line continuations, several statements a line",
        "x = 1; y = 2; z = [x,\n   y]; z.append(3)",
        "w = x + \\\n    y",
        "%%handler\ndef handler(job): return [z, w]",
    ),
    case(
        "monkeypatch of a module before the import that needs it",
        "import types, sys\nmod = types.ModuleType('kit_t_mod')\nsys.modules['kit_t_mod'] = mod\nmod.answer = 1",
        "import kit_t_mod",
        "%%handler\ndef handler(job): return kit_t_mod.answer",
        keep=("sys.modules['kit_t_mod'] = mod",),
    ),
    case(
        "augmented assignment",
        "total = 1",
        "total += 2\nfor i in range(3): total += i",
        "%%handler\ndef handler(job): return total",
    ),
    case(
        "names deleted to free memory",
        "state = {'w': 1}\nmodel = dict(state)\ndel state",
        "%%handler\ndef handler(job): return [model, 'state' in globals()]",
        keep=("del state",),
        questions=("def handler(job): return [model, 'state' in globals()]",),
    ),
    case(
        "comments of kept statements, and a directive each way",
        "# the size of it\nSIZE = 3  # pixels\n\n# unrelated\nOTHER = 1",
        "NOISY = print  # kit: keep\nTABLE = {}\n# kit: drop\nTABLE['a'] = 1",
        "%%handler\n\n# what it does\ndef handler(job): return [SIZE, sorted(TABLE)]",
        keep=("# the size of it", "# pixels", "# what it does", "NOISY = print"),
        drop=("unrelated", "OTHER", "TABLE['a']"),
        plain=False,
    ),
    case(
        "assertions in the handler's cell stay, others go",
        "x = 1\nassert x == 1",
        "%%handler\nassert x < 2\ndef handler(job): return x",
        keep=("assert x < 2",),
        drop=("assert x == 1",),
    ),
    case(
        "bare calls in the handler's own cell",
        "def check_service(url): return None",
        "%%handler\ndef handler(job): return 1\ncheck_service('http://127.0.0.1')",
        keep=("check_service('http://127.0.0.1')",),
    ),
    case(
        "a list that another function of the handler grows",
        "SEEN = []\ndef note(x): SEEN.append(x)",
        "%%handler\ndef handler(job):\n    note(job['input'])\n    return list(SEEN)",
        inputs=(1, 2),
    ),
    case(
        "setattr changes its first argument",
        "class O: pass\no = O()\nsetattr(o, 'v', 3)",
        "%%handler\ndef handler(job): return o.v",
        keep=("setattr(o, 'v', 3)",),
    ),
    case(
        "a call into a library with everything it needs kept anyway",
        "import random, heapq\nheap = [5, 1, 4]\nheapq.heapify(heap)",
        "%%handler\ndef handler(job): return [heap, heapq.nsmallest(1, heap)]",
        keep=("heapq.heapify(heap)",),
        questions=("heapq.heapify(heap)",),
    ),
    case(
        "library calls made for what they do, where the library is needed and where it is not",
        "import mimetypes, subprocess, os",
        "mimetypes.add_type('x/y', '.zz')\nmimetypes.guess_type('a.zz')",
        "subprocess.run(['true'])",
        "%%handler\ndef handler(job): return mimetypes.guess_type('a.zz')[0]",
        keep=("mimetypes.add_type",),
        drop=("subprocess", "mimetypes.guess_type('a.zz')\n\n"),
        questions=("mimetypes.add_type('x/y', '.zz')",),
    ),
    case(
        "a loop that waits for what is kept",
        "import threading, time\nready = threading.Event()\nready.set()",
        "while not ready.is_set():\n    time.sleep(0.01)",
        "%%handler\ndef handler(job): return ready.is_set()",
        keep=("while not ready.is_set()", "ready.set()"),
        questions=("while not ready.is_set():\n    time.sleep(0.01)",),
    ),
    case(
        "a bare annotation binds nothing",
        "x = 1",
        "x: int",
        "%%handler\ndef handler(job): return x",
        keep=("x = 1",),
        drop=("x: int",),
    ),
    case(
        "classes with attributes from globals",
        "DEPTH = 2\nclass Config:\n    depth = DEPTH\n    sizes = [DEPTH for _ in range(3)]",
        "%%handler\ndef handler(job): return [Config.depth, Config.sizes]",
    ),
    case(
        "late functions, early calls: order of execution",
        "def a(): return b() + 1",
        "def b(): return 1",
        "value = a()",
        "def b(): return 100",
        "%%handler\ndef handler(job): return [value, a()]",
        keep=("def b(): return 1\n", "def b(): return 100"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_case(case: Case) -> None:
    book = notebook(*case.cells)
    sliced = book.slice(case.expression, options=case.options)
    text = book.render(case.expression, options=case.options)
    for fragment in case.keep:
        assert fragment in text
    for fragment in case.drop:
        assert fragment not in text
    asked = {d.statement.text for d in sliced.decisions if d.question and d.kept}
    assert asked == set(case.questions)
    assert sliced.missing == {}
    assert len(sliced.decisions) >= len(sliced.kept)
    if case.plain:
        exported = load(text)
        for value in case.inputs:
            assert call(exported, case.expression, value) == call(
                book.namespace, case.expression, value
            )


def test_same_input_same_bytes() -> None:
    for one in CASES[:10]:
        first = notebook(*one.cells).render(one.expression, options=one.options)
        assert first == notebook(*one.cells).render(one.expression, options=one.options)


def cells_in(*runs: tuple[str, str]) -> Notebook:
    book = Notebook()
    for cell_id, source in runs:
        assert book.run(source, cell_id), source
    return book


HANDLER = ("h", "%%handler\ndef handler(job): return [x, y, z]")


def test_a_cell_run_again_moves_up_and_is_told() -> None:
    book = cells_in(("p", "x = [1]"), ("q", "y = x\nz = 0"), HANDLER, ("p", "x = [1]"))
    sliced = book.slice()
    assert [s.text for s in sliced.kept][:2] == ["x = [1]", "y = x"]
    assert any("`x` is defined in In [4], line 1, which was run again" in n for n in sliced.notes)
    assert call(load(book.render()), "handler", 0) == [[1], [1], 0]


def test_an_order_that_cannot_be_told_is_told() -> None:
    book = cells_in(
        ("p", "x = [5]"), ("q", "y = list(x)"), ("r", "x = [1]"), ("s", "z = x + [2]"), HANDLER,
        ("p", "x = [5]"),
    )  # fmt: skip
    sliced = book.slice()
    assert any("order in which `x` got its values" in note for note in sliced.notes)


def test_mutations_that_a_rerun_definition_undid_go() -> None:
    book = cells_in(
        ("p", "x = [1]"), ("q", "x.append(2)"), ("r", "y = z = 0"), HANDLER, ("p", "x = [1]")
    )  # fmt: skip
    sliced = book.slice()
    assert "x.append(2)" not in book.render()
    reason = next(d.reason for d in sliced.decisions if d.statement.text == "x.append(2)")
    assert reason == "changes `x`, which In [5], line 1 defines again afterwards"
    assert call(load(book.render()), "handler", 0) == [[1], 0, 0]


def test_what_ran_more_than_once_and_adds_up_is_told() -> None:
    book = cells_in(
        ("p", "x = []\ny = z = 0"), ("q", "x.append(1)"), ("q", "x.append(1)"), HANDLER
    )  # fmt: skip
    notes = book.slice().notes
    assert any("adds to `x`, and its cell ran 2 times" in note for note in notes)


def test_a_cell_that_raised_after_changing_what_is_kept_is_told() -> None:
    book = cells_in(("p", "x = {}\ny = z = 0"), HANDLER)
    assert not book.run("x['late'] = 1\n1 / 0")
    sliced = book.slice()
    assert any("In [3], line 1 was to change `x` in a cell that raised" in n for n in sliced.notes)


def test_cells_after_the_handler_are_told() -> None:
    book = cells_in(("p", "x = y = 1"), HANDLER, ("q", "z = 2"))
    assert any("In [3] ran after the handler's cell" in note for note in book.slice().notes)


def test_what_cannot_be_seen_is_told() -> None:
    book = cells_in(
        ("p", "import sys\nsys.path.insert(0, 'lib')\nexec('x = 1')\nx = y = z = eval('1')"),
        HANDLER,
    )
    sliced = book.slice()
    notes = "\n".join(sliced.notes)
    assert any(d.kept and d.question and "uses eval()" in d.reason for d in sliced.decisions)
    assert any(not d.kept and d.question and "uses exec()" in d.reason for d in sliced.decisions)
    assert "sys.path.insert" in notes
    assert "must be in the image" in notes


@pytest.mark.parametrize(
    ("source", "reason", "question"),
    [
        ("%matplotlib inline", "is a magic", False),
        ("%load_ext kit", "is the kit's own", False),
        ("%load_ext autoreload", "is a magic", False),
        ("%pip install x", "installs packages", False),
        ("!pip install x", "installs packages", False),
        ("!apt-get install ffmpeg", "`RUN apt-get update && apt-get install -y ffmpeg`", True),
        ("!wget -q x.bin && ls", "the image needs `RUN wget -q x.bin` if", True),
        ("!ls -la | grep x", "only shows something", False),
        ("!echo x > y", "the image needs `RUN", True),
        ("%cd /content", "with `WORKDIR /content`", True),
        ("cd /content", "with `WORKDIR /content`", True),
        ("%env A=B", "becomes ENV A of the image", False),
        ("%env HF_TOKEN=abc", "sets HF_TOKEN, which looks like a key", True),
        ("%env A=$x", "sets A to what Python computes", True),
        ("%run tools.py", "import what it defines", True),
        ("%%writefile a.txt\nx", "the image needs that file", True),
        ("%store -r q", "define them in a cell", True),
        ("%store", "is a magic", False),
        ("%%bash\nls", "only shows something", False),
        ("%%bash\nls\nmake -C x\nmake test", "the image needs `RUN make -C x` and 1 more", True),
        ("!pip install x --index-url https://u:p@h/", "with a key in the line", True),
        ("!pip install {name}", "packages that Python names", True),
        ("exec('q = 1')", "uses exec()", True),
        ("import random\nrandom.seed(1)", "sets up `random`, which the file does not need", False),
        ("import copy\nspare = copy.copy(1)", "nothing needs `spare`", False),
        ("import shutil\nshutil.copy('a', 'b')", "if what shutil.copy does is needed", True),
        ("%%html\n<b>", "is a magic", False),
        ("import kit", "is the kit's own", False),
        ("job = kit.run(1)\njob", "is the kit's own", False),
        ("out = await job", "nothing needs `out`", False),
        ("x += [kit.run(1)]", "changes `x`, but through the kit", True),
        ("assert x", "is a check", False),
        ("print(x)", "only shows something", False),
        ("print(x);", "nothing needs what it does", False),
        ("r = handler({'input': 1})", "tries out what the worker serves", False),
        ("emb = x.encode()", "nothing needs its result; if it changes `x`", True),
        ("import subprocess\nsubprocess.run(['ls'])\n1", "subprocess.run does is needed", True),
        ("import runpod\nrunpod.serverless.start({'handler': handler})", "becomes the start()", False),
        ("import runpod\ndef main():\n    x.append(1)\n    runpod.serverless.start({'handler': handler})\nmain()", "does more than that (changes `x`)", True),
        ("globals()['x'].append(1);", "what it defines or changes cannot be seen", True),
        ("y = 1", "`y` is defined again in In [3], line 1", False),
        ("import json, os\nos.sep", "nothing needs `json`", False),
    ],
)  # fmt: skip
def test_why_a_statement_goes(source: str, reason: str, question: bool) -> None:
    book = Notebook()
    assert book.run("x = []\ny = z = 0", "p")
    book.record.add(Cell(2, "probe", source, True, 2.0))
    book.count = 2
    book.run("y = 2", "y")
    assert book.run(HANDLER[1], "h")
    sliced = book.slice()
    dropped = [d for d in sliced.decisions if d.statement.cell.number == 2 and not d.kept]
    assert any(reason in d.reason and d.question == question for d in dropped), [
        (d.statement.text, d.reason, d.question) for d in dropped
    ]
    assert len(dropped) == sum(d.statement.cell.number == 2 for d in sliced.decisions)


def test_a_notebook_of_many_cells_is_sliced_in_time() -> None:
    body = "def f{n}(x):\n    return x + {n} + K{m}\nK{n} = {n}\nd{n} = [f{m}(K{m})]\nd{n}.append(1)\nd{n}"
    book = Notebook()
    for number in range(360):
        source = body.format(n=number, m=max(0, number - 1))
        book.record.add(Cell(number + 1, str(number), source, True, float(number)))
    book.count = 360
    book.namespace["handler"] = None
    reads = ", ".join(f"f{n}(1), d{n}" for n in range(0, 360, 10))
    assert book.run(f"%%handler\ndef handler(job): return [{reads}]")
    began = time.perf_counter()
    sliced = book.slice()
    took = time.perf_counter() - began
    assert len(sliced.kept) > 200
    assert took < 2.0  # about 0.2 s alone on two cores; CI shares them


def test_a_long_chain_of_names_does_not_exhaust_the_stack() -> None:
    lines = ["x0 = []", *(f"x{n} = x{n - 1}" for n in range(1, 3000)), "x0.append(1)"]
    book = cells_in(("p", "\n".join(lines)), ("h", "%%handler\ndef handler(job): return x2999"))
    sliced = book.slice()
    assert len(sliced.kept) == 3002
