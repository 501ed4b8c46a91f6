"""The kit runs on every Python it declares: where another one is on the machine, it is tried there.

The one that runs the tests is left out. Each gets an environment of its own under build/, kept
for the next run. The oldest is given the
lowest versions that pyproject.toml allows, so that those bounds are true; the others the newest.
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.install.environments import Environment

ROOT = Path(__file__).resolve().parent.parent
DECLARED = ("3.10", "3.11", "3.12", "3.13")
HERE = "{}.{}".format(*sys.version_info)

pytestmark = [pytest.mark.install, pytest.mark.slow, pytest.mark.timeout(900)]


@functools.cache
def interpreter(version: str) -> str | None:
    """A Python of this version: on the path, or one of pyenv's."""
    candidates = [shutil.which(f"python{version}")]
    if pyenv := shutil.which("pyenv"):
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True).stdout.strip()
        candidates += sorted(map(str, Path(root).glob(f"versions/{version}.*/bin/python")))
    for candidate in filter(None, candidates):
        # a pyenv shim answers even for a version that is not switched on
        asked = [candidate, "-c", "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"]
        told = subprocess.run(asked, capture_output=True, text=True)
        if told.returncode == 0 and told.stdout.strip() == version:
            return candidate
    return None


def dependencies() -> str:
    """The runtime dependencies as they stand in pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    table = re.search(r"^dependencies = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert table
    return table[1]


def lowest() -> str:
    """Constraints that hold every runtime dependency at its lower bound."""
    found = re.findall(r'"([\w-]+)>=([\d.]+)', dependencies())
    assert len(found) == len(re.findall(r'^ +"', dependencies(), re.MULTILINE))
    return "\n".join(f"{name}=={bound}" for name, bound in found)


def environment(version: str) -> Environment:
    """An environment with the kit and its runtime dependencies."""
    python = interpreter(version)
    assert python
    constraints = ROOT / "build" / "interpreters" / f"{version}.txt"
    constraints.parent.mkdir(parents=True, exist_ok=True)
    constraints.write_text(lowest() if version == DECLARED[0] else "")
    packages = ["-c", str(constraints), "-e", str(ROOT)]
    key = lowest() + dependencies()
    return Environment(f"interpreters/{version}", packages, python=python, key=key)


SMOKE = '''
import sys
import kit

light = {"runpod", "pandas", "matplotlib", "IPython"} & set(sys.modules)
assert not light, light

from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()

def cell(source):
    result = shell.run_cell(source, store_history=True)
    result.raise_error()

cell("%load_ext kit")
cell("""%%handler double
def double(job):
    return {"twice": 2 * job["input"]["n"]}
""")
cell("job = kit.run({'n': 21})\\nassert job.result(60) == {'twice': 42}, job.output")
cell("""%%handler stream
async def stream(job):
    for n in range(3):
        yield n
""")
cell("job = kit.run({'n': 1})\\njob.result(60)\\nassert job.stream == [0, 1, 2], job.stream")
cell("""%%handler broken
def broken(job):
    return 1 / job["input"]["n"]
""")
cell("job = kit.run({'n': 0})\\ntry:\\n    job.result(60)\\nexcept kit.JobFailed as e:\\n    assert 'ZeroDivisionError' in str(e), e")
cell("assert len(kit.jobs()) == 3, kit.jobs()")
cell("assert kit.timeline() is not None and kit.memory() is not None")
cell("kit.use('local')")
cell("bundle = kit.export('worker', handler='double')\\nassert bundle.report.verdict == 'equal', bundle.report")
print("smoke ok")
'''


@pytest.mark.parametrize("version", [v for v in DECLARED if v != HERE and interpreter(v)])
def test_runs_on(version: str, tmp_path: Path) -> None:
    script = tmp_path / "smoke.py"
    script.write_text(SMOKE)
    ran = subprocess.run(
        [environment(version).python, "-W", "error::DeprecationWarning:kit", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.rstrip().endswith("smoke ok")


def test_this_interpreter_is_declared() -> None:
    assert HERE in DECLARED
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    classified = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)
    assert tuple(classified) == DECLARED


def test_an_older_python_is_told_what_to_do() -> None:
    older = (
        "import runpy, sys\nsys.version_info = (3, 9, 18, 'final', 0)\nsys.argv = ['x', 'demo']\n"
        "runpy.run_path('.ci/venv.py', run_name='__main__')"
    )
    told = subprocess.run([sys.executable, "-c", older], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 1
    assert "Python 3.10 or newer is needed" in told.stderr
    assert "make demo PYTHON=" in told.stderr
