"""Notebooks nobody tidied: what must stay of each, what must go, and jobs that must not notice.

Some are written by hand after what real handlers do, others are made by families. Cells run in a real
IPython shell, magics included; one that a test must not run (an install, a download) is only recorded.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cell:
    """A cell; with an ``id`` it can be run again, edited; ``runs`` says whether the test runs it."""

    source: str
    id: str | None = None
    runs: bool = True


@dataclass(frozen=True)
class Messy:
    """A notebook. ``asks`` are fragments of statements about which the export asks."""

    name: str
    cells: tuple[Cell, ...]
    inputs: tuple[Any, ...] = ({},)
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    expression: str = "handler"
    options: tuple[tuple[str, str], ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    pip_lines: tuple[str, ...] = ()


def only(source: str) -> Cell:
    """Recorded as if it had run."""
    return Cell(source, runs=False)


def messy(name: str, *cells: str | Cell, **more: Any) -> Messy:
    made = [c if isinstance(c, Cell) else Cell(textwrap.dedent(c).strip("\n")) for c in cells]
    return Messy(name, tuple(made), **more)


BY_HAND = [
    messy(
        "a model that is loaded under %time, tried under %%time, and timed with %timeit",
        "def load():\n    return {'w': 3}",
        "%time model = load()  # the slow part",
        "%%time\n# once is enough\nscale = model['w'] * 2\nscale",
        "%timeit -n1 -r1 model['w']",
        "%%handler\ndef handler(job): return job['input'] * scale + model['w']",
        inputs=(1, 2),
        keep=("model = load()  # the slow part", "# once is enough\nscale = model['w'] * 2"),
        drop=("time", "get_ipython"),
    ),
    messy(
        "output captured, shell lines between kept code, files written by magics",
        "%%capture out\nlabels = ['a', 'b']\nprint(labels)",
        "!echo looking && ls > /dev/null",
        only("!wget -q https://example.com/model.bin"),
        only("%cd /content/ComfyUI"),
        only("%%writefile notes.txt\nhello"),
        "%%handler\ndef handler(job): return labels",
        keep=("labels = ['a', 'b']",),
        drop=("print(labels)", "wget", "cd ", "system"),
        asks=("wget", "'cd'", "writefile", "echo"),
    ),
    messy(
        "variables set by magics, and what was installed",
        "%env KIT_T_MODE=fast",
        "%set_env KIT_T_SIZE 4",
        "%env KIT_T_MODE=slow",
        only("%pip install -q 'numpy<3' pillow"),
        only("!pip install -U requests --quiet"),
        only("!python -m pip install tqdm"),
        only("pip install tqdm"),
        "import os\nMODE = os.environ['KIT_T_MODE']\nSIZE = int(os.getenv('KIT_T_SIZE', '1'))",
        "%%handler\ndef handler(job): return [MODE, SIZE]",
        keep=("MODE = os.environ['KIT_T_MODE']", "os.getenv('KIT_T_SIZE', '1')"),
        drop=("fast", "slow"),
        env=(("KIT_T_SIZE", "4"), ("KIT_T_MODE", "slow")),
        pip_lines=("-q 'numpy<3' pillow", "-U requests --quiet", "tqdm"),
    ),
    messy(
        "test cell after the handler that shadows a builtin, and a guard that is commented out",
        "import json\nTABLE = {'a': 1}",
        """
        %%handler
        def generate(input):
            values = input["input"]
            return json.dumps([TABLE, values])

        # if __name__ == "__main__":
        #     start()
        """,
        "input = {'input': {'prompt': 'a'}}\nimage = generate(input)\nimage",
        expression="generate",
        inputs=({"prompt": "b"},),
        drop=("image", "input = {"),
    ),
    messy(
        "a predictor that is set up by a bare call, moved and patched",
        """
        class Unet:
            def __init__(self): self.procs = []
            def load_attn_procs(self, name): self.procs.append(name)

        class Pipe:
            def __init__(self): self.unet, self.device = Unet(), "cpu"
            def to(self, device): self.device = device; return self
            def __call__(self, x): return [x, self.device, self.unet.procs]
        """,
        "pipe = Pipe()",
        'pipe.to("cuda")',
        'pipe.unet.load_attn_procs("lora")\npipe("warm")',
        "%%handler\ndef handler(job): return pipe(job['input'])",
        inputs=("a",),
        keep=('pipe.to("cuda")', 'pipe.unet.load_attn_procs("lora")'),
    ),
    messy(
        "a server that is started and waited for",
        """
        import threading
        class Engine:
            def __init__(self): self.up = threading.Event()
            def start_server(self): threading.Thread(target=self.up.set).start()
            def wait_for_server(self): self.up.wait(10)
            def ask(self, x): return [self.up.is_set(), x]
        """,
        "engine = Engine()\nengine.start_server(); engine.wait_for_server()",
        "%%handler\ndef handler(job): return engine.ask(job['input'])",
        inputs=(3,),
        keep=("engine.start_server()", "engine.wait_for_server()"),
    ),
    messy(
        "schemas by copy, item and update, with a lambda over a later global",
        "BASE = {'prompt': {'type': str}, 'steps': {'default': 20}}",
        "DEPTH = BASE.copy()\nDEPTH['detect_resolution'] = {'default': 512}",
        "DEPTH.update(width={'check': lambda w: w < LIMIT})\nDEPTH",
        "LIMIT = 8",
        "%%handler\ndef handler(job): return [sorted(DEPTH), sorted(BASE), DEPTH['width']['check'](job['input'])]",
        inputs=(4, 9),
        keep=("DEPTH['detect_resolution']", "DEPTH.update", "LIMIT = 8"),
    ),
    messy(
        "a module patched where an attribute is missing, and an import that needs it",
        "import types, sys\nhub = types.ModuleType('kit_t_hub')\nsys.modules['kit_t_hub'] = hub",
        "if not hasattr(hub, 'cached_download'):\n    hub.cached_download = lambda url: 'file of ' + url",
        "from kit_t_hub import cached_download",
        "%%handler\ndef handler(job): return cached_download(job['input'])",
        inputs=("a",),
        keep=("hub.cached_download = ", "from kit_t_hub import cached_download"),
    ),
    messy(
        "an optional import with a fallback",
        "try:\n    import no_such_fast_json as fast\nexcept ImportError:\n    import json as fast",
        "import pprint\npprint.pprint(fast.dumps(1))",
        "%%handler\ndef handler(job): return fast.dumps(job['input'])",
        inputs=({"a": 1},),
        keep=("except ImportError",),
        drop=("pprint",),
    ),
    messy(
        "an import and a model inside a module-level with",
        "import contextlib\n@contextlib.contextmanager\ndef cache(where):\n    yield where",
        "with cache('/runpod-volume') as root:\n    from fractions import Fraction\n    half = Fraction(1, 2)",
        "%%handler\ndef handler(job): return [str(half * job['input']), root]",
        inputs=(3,),
        keep=("with cache('/runpod-volume')",),
    ),
    messy(
        "the guard parses arguments and loads the model",
        """
        %%handler
        import argparse

        def handler(job):
            return MODEL[job["input"]] + args.offset

        if __name__ == "__main__":
            parser = argparse.ArgumentParser()
            parser.add_argument("--offset", type=int, default=1)
            args = parser.parse_args([])
            MODEL = {"a": 1}
        """,
        inputs=("a", "b"),
        keep=("parser.add_argument", 'MODEL = {"a": 1}'),
    ),
    messy(
        "a global that is filled when it is first needed",
        "MODEL = None",
        "def get():\n    global MODEL\n    if MODEL is None:\n        MODEL = {'n': 1}\n    return MODEL",
        "get()  # warm",
        "%%handler\ndef handler(job):\n    m = get()\n    m['n'] += 1\n    return m['n']",
        keep=("MODEL = None", "get()  # warm"),
        inputs=(1, 2),
    ),
    messy(
        "a configuration object whose field is set later",
        "import dataclasses\n@dataclasses.dataclass\nclass Config:\n    steps: int = 20\n    name: str = 'a'",
        "cfg = Config()\nother = Config(name='b')",
        "cfg.steps = 5\nother.steps = 6",
        "%%handler\ndef handler(job): return dataclasses.asdict(cfg)",
        keep=("cfg.steps = 5",),
        drop=("other",),
    ),
    messy(
        "a handler that changes its input",
        "%%handler\ndef handler(job):\n    x = job['input']\n    del x['drop']\n    x['more'] = sorted(x)\n    return x",
        "handler({'input': {'drop': 1, 'a': 2}})",
        inputs=({"drop": 1, "z": 2}, {"a": 1}),
        drop=("handler({",),
    ),
    messy(
        "a generator that yields an error in the middle",
        "STEPS = 3",
        "%%handler\ndef steps(job):\n    for n in range(STEPS):\n        if n == job['input']:\n            yield {'error': f'step {n}'}\n            return\n        yield {'n': n}",
        "list(steps({'input': 5}))",
        expression="steps",
        inputs=(5, 1),
        drop=("list(steps",),
    ),
    messy(
        "an async handler behind a semaphore",
        "import asyncio",
        "gate = asyncio.Semaphore(2)\nasync def work(x):\n    async with gate:\n        await asyncio.sleep(0)\n        return x * RATE",
        "RATE = 1.5",
        "%%handler\nasync def handler(job): return {'y': await work(job['input'])}",
        inputs=(2, "a"),
        keep=("gate = asyncio.Semaphore(2)", "RATE = 1.5"),
    ),
    messy(
        "plots and figures between the cells",
        "import types\nplt = types.SimpleNamespace(plot=lambda *a: None, show=lambda: None, figure=lambda **k: None)",
        "losses = [3, 2, 1]\nplt.figure(figsize=(3, 3))\nplt.plot(losses)\nplt.show()",
        "best = min(losses)\nbest",
        "%%handler\ndef handler(job): return best",
        keep=("losses = [3, 2, 1]", "best = min(losses)"),
        drop=("plt",),
    ),
    messy(
        "the handler stands first, what it needs below",
        "%%handler\ndef handler(job): return helper(job['input']) + OFFSET",
        "def helper(x):\n    return math.floor(x)",
        "import math\nOFFSET = 10",
        inputs=(2.7,),
        keep=("def helper", "OFFSET = 10"),
    ),
    messy(
        "a cell edited twice, and one that went wrong in between",
        Cell("size = 1", "p"),
        Cell("size = [2]\nunused = 3", "p"),
        Cell("size = [2, 3]", "p"),
        Cell("total = sum(size)", "q"),
        "%%handler\ndef handler(job): return [size, total]",
        keep=("size = [2, 3]",),
        drop=("size = 1", "unused"),
    ),
    messy(
        "memory that is given back before the handler",
        "weights = {'w': [1] * 10}\nmodel = tuple(weights['w'])\ndel weights\nimport gc\ngc.collect()",
        "%%handler\ndef handler(job): return sum(model)",
        keep=("del weights",),
    ),
    messy(
        "logging and warnings configured in the middle",
        "import logging\nlog = logging.getLogger('kit_t')",
        "logging.getLogger('kit_t').setLevel(logging.ERROR)\nimport warnings\nwarnings.filterwarnings('ignore', category=ResourceWarning)",
        "log.error  # look\nlog.level",
        "%%handler\ndef handler(job):\n    log.debug('no')\n    return log.level",
        keep=("setLevel(logging.ERROR)", "warnings.filterwarnings"),
        drop=("# look",),
    ),
    messy(
        "seeds before the weights are drawn",
        "import random\nrandom.seed(7)",
        "weights = [random.random() for _ in range(3)]",
        "len(weights)",
        "%%handler\ndef handler(job): return weights",
        keep=("random.seed(7)",),
        drop=("len(weights)",),
    ),
    messy(
        "registered by a decorator, and a check nobody names",
        "import runpod",
        "HOOKS = []\ndef hook(f):\n    HOOKS.append(f)\n    return f",
        "@hook\ndef lower(x): return x.lower()",
        "@hook\ndef strip(x): return x.strip()",
        "%%handler\ndef handler(job):\n    x = job['input']\n    for f in HOOKS: x = f(x)\n    return x",
        inputs=(" A ",),
        keep=("@hook\ndef lower", "@hook\ndef strip"),
    ),
    messy(
        "a partial with options, over a factory",
        "import functools\ndef run(prefix, job): return prefix + job['input']",
        "def limit(current): return LIMIT\nLIMIT = 4",
        "%%handler\nhandle = functools.partial(run, 'p-')",
        expression="handle",
        options=(("concurrency_modifier", "limit"),),
        inputs=("x",),
        keep=('"concurrency_modifier": limit', "LIMIT = 4"),
    ),
    messy(
        "names shadowed everywhere",
        "list = list\nid = 'an id'\nfile = 'a file'\nsum_ = sum",
        "def total(values, sum=sum_): return sum(values)",
        "%%handler\ndef handler(job, id=id): return [id, file, total(job['input'])]",
        inputs=([1, 2],),
        drop=("list = list",),
    ),
    messy(
        "what the kit itself was asked stays in the notebook",
        only("%load_ext kit"),
        "LIMIT = 2",
        "%%handler\ndef handler(job): return job['input'][:LIMIT]",
        only("job = kit.run([1, 2, 3])\njob"),
        only('%job {"prompt": "a"}'),
        only("frame = kit.jobs()\nframe.head()"),
        inputs=([1, 2, 3],),
        drop=("kit", "frame", "%job"),
    ),
    messy(
        "statements about which only a person knows",
        "import json as codec",
        "name = 'du' + 'mps'",
        "setattr(codec, 'kit_t_extra', 3)",
        "%%handler\ndef handler(job):\n    if job['input'] == 'stop': breakpoint()\n    return [getattr(codec, name)(1), codec.kit_t_extra]",
        inputs=("go",),
        asks=("setattr(codec", "breakpoint()"),
    ),
    messy(
        "a helper defined twice, once used at load and once by jobs",
        "def norm(x): return x / 2",
        "MEAN = norm(10)",
        "def norm(x): return x - MEAN",
        "%%handler\ndef handler(job): return norm(job['input'])",
        inputs=(7,),
        keep=("return x / 2", "return x - MEAN"),
    ),
]

BY_HAND += [
    messy(
        "classes that their base, its metaclass or __subclasses__() know of",
        """
        class Base:
            known = {}
            def __init_subclass__(cls): Base.known[cls.__name__] = cls
        class Meta(type):
            def __new__(meta, name, bases, body):
                NAMES.append(name)
                return super().__new__(meta, name, bases, body)
        NAMES = []
        class Plugin: pass
        class Lonely: pass
        """,
        "class Alpha(Base):\n    def run(self, x): return x + 1",
        "class Beta(Alpha): pass\nclass Gamma(metaclass=Meta): pass",
        "class Delta(Gamma): pass\nclass Fast(Plugin): pass\nclass Left(Lonely): pass",
        """
        %%handler
        def handler(job):
            found = [f"{name} {made().run(job['input'])}" for name, made in Base.known.items()]
            return [*found, *NAMES, *(made.__name__ for made in Plugin.__subclasses__())]
        """,
        inputs=(1,),
        keep=(
            "class Alpha(Base)",
            "class Beta(Alpha)",
            "class Gamma(",
            "class Delta(",
            "class Fast(",
        ),
        drop=("Lonely",),
    ),
    messy(
        "names that only a function binds, and what a thread fills",
        "import threading\nfrom concurrent.futures import ThreadPoolExecutor",
        "def load(name):\n    global MODEL, TOKENS\n    MODEL, TOKENS = {'name': name}, []\nload('a')",
        "FILLED = []\ndef fill(): FILLED.append(1)",
        "t = threading.Thread(target=fill)\nt.start()\nt.join()",
        "def warm():\n    global READY\n    READY = True\nready = ThreadPoolExecutor(1).submit(warm)\nready.result()",
        "%%handler\ndef handler(job): return [MODEL, TOKENS, FILLED, READY]",
        keep=("load('a')", "t.start()", "ready.result()"),
        asks=("threading.Thread", "t.join()", "submit(warm)"),
    ),
    messy(
        "changes through what a builtin gives: next, getattr, vars, dict.update",
        """
        class Part:
            def __init__(self): self.log, self.inner = [], None
            def eval(self): self.log.append("eval")
            def tune(self): self.log.append("tune")
        """,
        "parts = [Part(), Part()]\npipe = Part()\npipe.inner = Part()\nother = Part()\nCONFIG = {'a': 1}",
        """
        next(iter(parts)).eval()
        getattr(pipe, "inner").eval()
        vars(pipe)["extra"] = 1
        object.__setattr__(pipe, "more", 2)
        dict.update(CONFIG, b=2)
        vars(other)["extra"] = 1
        def tune(part): part.tune()
        list(map(tune, parts));
        """,
        """
        %%handler
        def handler(job):
            return [[p.log for p in parts], pipe.inner.log, sorted(vars(pipe)), CONFIG]
        """,
        keep=("next(iter(parts)).eval()", "dict.update(CONFIG, b=2)"),
        drop=("other",),
        asks=("list(map(tune, parts))",),
    ),
    messy(
        "a download, a wait, registrations and an import that only a person knows the use of",
        """
        import codecs, os, time, urllib.request, requests
        from codecs import register_error
        import __hello__  # noqa: F401
        """,
        """
        def fetch():
            if not os.path.exists("/"):
                urllib.request.urlretrieve("https://example.com/model.bin", "model.bin")
        def wait_for(url):
            if url: requests.get(url)
        register_error("kit-t", codecs.replace_errors)
        """,
        "fetch()",
        "wait_for('')",
        "%%handler\ndef handler(job): return requests.codes.ok",
        keep=("wait_for('')", "import __hello__  # noqa", 'register_error("kit-t"'),
        drop=("fetch",),
        asks=("fetch()", "wait_for", "import __hello__", "register_error("),
    ),
    messy(
        "a builtin that a cell adds",
        "import builtins\nbuiltins.kit_t_flag = 3",
        "%%handler\ndef handler(job): return kit_t_flag",
        keep=("builtins.kit_t_flag = 3",),
    ),
]

#: cells that nothing needs, between all others of a family
_NOISE = (
    "_look = [1, 2, 3]\n_look",
    "print('hello')",
    "import collections, itertools\ncollections.Counter('aab')",
    "for i in range(2): print(i)",
    "# nothing but a comment",
)
_NOISE_DROPPED = ("_look", "print('hello')", "itertools", "range(2)")


def _noisy(cells: list[str]) -> Iterator[str]:
    for number, cell in enumerate(cells):
        yield _NOISE[number % len(_NOISE)]
        yield cell


def _family(name: str, cells: list[str], keep: tuple[str, ...], **more: Any) -> Messy:
    return messy(name, *_noisy(cells), keep=keep, drop=_NOISE_DROPPED, **more)


_SETTINGS = {
    "a number": ("SETTING = 3", "SETTING"),
    "a list that grows": ("SETTING = [1]\nSETTING.append(2)", "SETTING"),
    "a dict by items": ("SETTING = {}\nSETTING['k'] = {'n': 1}", "SETTING"),
    "read from the environment": (
        "import os\nSETTING = int(os.environ.get('KIT_T_ABSENT', 5))",
        "SETTING",
    ),
    "computed from another": ("WIDE = 4\nSETTING = WIDE * 2", "[SETTING, WIDE]"),
    "an enum": ("import enum\nclass SETTING(enum.Enum):\n    A = 1", "SETTING.A.value"),
    "a path": ("from pathlib import Path\nSETTING = Path('models') / 'a.bin'", "str(SETTING)"),
    "a formatted text": ("NAME = 'a'\nSETTING = f'{NAME}-{1 + 1}'", "SETTING"),
}
_LOADS = {
    "a constructor": ("class M:\n    def __init__(self, n): self.n = n\nmodel = M(3)", "model.n"),
    "a bare setup": (
        "class M:\n    def setup(self): self.n = 3\nmodel = M()\nmodel.setup()",
        "model.n",
    ),
    "a chain of calls": (
        "class M:\n    n = 1\n    def to(self, n): self.n = n; return self\n    def eval(self): return self\nmodel = M().to(3).eval()",
        "model.n",
    ),
    "a branch": ("import sys\nif sys.maxsize: n = 3\nelse: n = 4\nmodel = [n]", "model"),
    "a loop": ("model = {}\nfor part in ('a', 'b'):\n    model[part] = len(model)", "model"),
    "an attempt": (
        "try:\n    model = open('/no/such/file')\nexcept OSError:\n    model = 'none'",
        "model",
    ),
    "a closure": (
        "def make(n):\n    def model(x): return x + n\n    return model\nmodel = make(2)",
        "model(1)",
    ),
    "a function that fills it": ("model = []\ndef warm(m): m.append(9)\nwarm(model)", "model"),
    "a comprehension": ("model = {k: v for k, v in zip('ab', (1, 2))}", "model"),
    "unpacking": ("model, (rest, *more) = 1, (2, 3, 4)", "[model, rest, more]"),
}
_KINDS = {
    "sync": ("def handler(job): return job['input'] + N", "handler"),
    "generator": ("def handler(job):\n    yield N\n    yield job['input']", "handler"),
    "async": ("async def handler(job): return job['input'] + N", "handler"),
    "async generator": ("async def handler(job):\n    yield N\n    yield job['input']", "handler"),
    "lambda": ("handler = lambda job: job['input'] + N", "handler"),
    "bound method": (
        "class S:\n    def go(self, job): return job['input'] + N\nservice = S()",
        "service.go",
    ),
    "callable object": (
        "class S:\n    def __call__(self, job): return job['input'] + N\nservice = S()",
        "service",
    ),
    "made by a factory": (
        "def make(n):\n    def handle(job): return job['input'] + n\n    return handle",
        "make(N)",
    ),
    "decorated": (
        "import functools\ndef twice(f):\n    @functools.wraps(f)\n    def inner(job): return [f(job), f(job)]\n    return inner\n@twice\ndef handler(job): return job['input'] + N",
        "handler",
    ),
    "one that raises": ("def handler(job): raise ValueError(f\"{job['input']} {N}\")", "handler"),
}


def _families() -> Iterator[Messy]:
    for name, (source, expression) in _SETTINGS.items():
        handler = f"%%handler\ndef handler(job): return {expression}"
        last = source.split("\n")[-1]
        yield _family(f"setting: {name}", [source, handler], (last,))
        # the same below the handler, and run again as a person does
        yield messy(
            f"setting below the handler: {name}", handler, *_noisy([source]), keep=(last,),
            drop=_NOISE_DROPPED[:1],
        )  # fmt: skip
    for name, (source, expression) in _LOADS.items():
        handler = f"%%handler\ndef handler(job): return {expression}"
        yield _family(f"load: {name}", [source, handler], (source.split("\n")[-1],))
    for name, (source, expression) in _KINDS.items():
        yield _family(
            f"kind: {name}", ["N = 2", "%%handler\n" + source], ("N = 2",),
            expression=expression, inputs=(1, 40),
        )  # fmt: skip
    for length in (3, 9, 27):
        chain = ["def f0(x): return x"]
        chain += [f"def f{n}(x): return f{n - 1}(x) + K{n}\nK{n} = {n}" for n in range(1, length)]
        chain = chain[::2] + chain[1::2]  # not in the order in which they need each other
        handler = f"%%handler\ndef handler(job): return f{length - 1}(job['input'])"
        yield _family(f"a chain of {length}", [*chain, handler], ("K1 = 1",), inputs=(5,))


GENERATED = list(_families())
