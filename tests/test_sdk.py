"""``runpod.serverless`` as cells use it, the real package, imported in every way, before and after."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

#: how a cell may come to the two functions; `start` and `progress_update` are what it calls
STYLES = {
    "import runpod": (
        "import runpod",
        "runpod.serverless.start",
        "runpod.serverless.progress_update",
    ),
    "import as": ("import runpod as rp", "rp.serverless.start", "rp.serverless.progress_update"),
    "import runpod.serverless": (
        "import runpod.serverless",
        "runpod.serverless.start",
        "runpod.serverless.progress_update",
    ),
    "from runpod import serverless": (
        "from runpod import serverless",
        "serverless.start",
        "serverless.progress_update",
    ),
    "from runpod.serverless import": (
        "from runpod.serverless import progress_update, start",
        "start",
        "progress_update",
    ),
    "from import as": (
        "from runpod.serverless import start as go, progress_update as tell",
        "go",
        "tell",
    ),
    "star": ("from runpod.serverless import *", "start", "progress_update"),
    "the module it is defined in": (
        (
            "from runpod.serverless import start\n"
            "from runpod.serverless.modules.rp_progress import progress_update"
        ),
        "start",
        "progress_update",
    ),
    "the module by name": (
        "import importlib\nm = importlib.import_module('runpod.serverless')",
        "m.start",
        "m.progress_update",
    ),
}

PRELUDE = """
import sys
from kit.sdk import SdkHook
started, told = [], []
mine = {"id": "mine"}
def on_progress(job, value):
    if job is not mine:
        return False
    told.append(value)
    return True
hook = SdkHook(started.append, on_progress)
styles = %r
def use(names, start, progress):
    namespace = {"config": {"handler": print}, "mine": mine}
    exec(names, namespace)
    return namespace, f"{start}(config)", f"{progress}(mine, 0.5)"
def call(style, made):
    namespace, start, progress = made
    exec(start, namespace)
    exec(progress, namespace)
    assert started == [namespace["config"]] and told == [0.5], (style, started, told)
    started.clear(), told.clear()
"""


def child(code: str) -> str:
    code = PRELUDE % (STYLES,) + textwrap.dedent(code)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_every_style_reaches_us_whether_imported_before_or_after() -> None:
    out = child(
        """
        # in the cells that ran before %load_ext
        early = {name: use(*style) for name, style in styles.items()}
        hook.install()
        hook.install()
        late = {name: use(*style) for name, style in styles.items()}
        for name in styles:
            call(name, early[name])
            call(name, late[name])
        print(len(styles) * 2)
        """
    )
    assert out == f"{len(STYLES) * 2}\n"


def test_every_style_reaches_us_when_the_package_comes_later_and_is_never_imported_by_us() -> None:
    out = child(
        """
        hook.install()
        assert "runpod" not in sys.modules
        late = {name: use(*style) for name, style in styles.items()}
        for name in styles:
            call(name, late[name])
        # the finder is gone once it has found
        assert not [f for f in sys.meta_path if type(f).__module__ == "kit.sdk"]
        import inspect, runpod.serverless
        assert "def progress_update" in inspect.getsource(runpod.serverless.modules.rp_progress)
        assert runpod.serverless.__spec__.loader.get_source("runpod.serverless")
        print("fine")
        """
    )
    assert out == "fine\n"


def test_a_job_that_is_not_ours_goes_the_sdk_s_own_way() -> None:
    out = child(
        """
        import threading
        import runpod.serverless
        hook.install()
        threads = []
        start = threading.Thread.start
        threading.Thread.start = lambda self: threads.append(self)
        runpod.serverless.progress_update({"id": "theirs"}, 1)
        threading.Thread.start = start
        (thread,) = threads
        print(thread._target.__module__, told)
        """
    )
    assert out.splitlines()[-1] == "runpod.serverless.modules.rp_progress []"


@pytest.mark.parametrize("loaded", [True, False])
def test_removal_gives_the_sdk_its_own_code_back(loaded: bool) -> None:
    out = child(
        f"""
        loaded = {loaded}
        if loaded:
            import runpod.serverless
            before = runpod.serverless.start.__code__, runpod.serverless.progress_update.__code__
        hook.install()
        finders = [f for f in sys.meta_path if type(f).__module__ == "kit.sdk"]
        assert len(finders) == (0 if loaded else 1)
        if loaded:
            assert runpod.serverless.start.__code__ is not before[0]
        hook.remove()
        hook.remove()
        assert not [f for f in sys.meta_path if type(f).__module__ == "kit.sdk"]
        import runpod.serverless
        after = runpod.serverless.start.__code__, runpod.serverless.progress_update.__code__
        if loaded:
            assert after == before
        assert all("runpod" in code.co_filename for code in after)
        assert "__kit_start__" not in runpod.serverless.start.__globals__
        # and in again
        hook.install()
        call("again", use(*styles["import runpod"]))
        print("fine")
        """
    )
    assert out.splitlines()[-1] == "fine"


def test_what_start_raises_comes_out_where_it_was_called() -> None:
    out = child(
        """
        import runpod.serverless
        def refuse(config):
            raise RuntimeError("not in a notebook")
        other = SdkHook(refuse, on_progress)
        other.install()
        try:
            runpod.serverless.start({"handler": print})
        except RuntimeError as exc:
            print(exc)
        """
    )
    assert out == "not in a notebook\n"


def test_a_broken_installation_raises_its_own_error(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("broken")
    package = folder / "runpod"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "serverless.py").write_text("raise ImportError('half installed')\n")
    out = child(
        f"""
        sys.path.insert(0, {str(folder)!r})
        hook.install()
        try:
            import runpod.serverless
        except ImportError as exc:
            print(exc)
        """
    )
    assert out == "half installed\n"


def test_without_the_package_importing_it_fails_as_ever() -> None:
    out = child(
        """
        import importlib.machinery
        class Nothing:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name.partition(".")[0] == "runpod":
                    raise ModuleNotFoundError("No module named 'runpod'")
        hook.install()
        sys.meta_path.insert(0, Nothing)
        try:
            import runpod
        except ModuleNotFoundError as exc:
            print(exc)
        """
    )
    assert out == "No module named 'runpod'\n"
