"""Cells with ``%%handler``: what registers, what is refused, and how both look in a notebook."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.kernel.conftest import WIDGET, Kernel, Result


def card_of(result: Result) -> bool:
    """Whether the card stands under the cell: a live view, a place for a picture, a static table."""
    displays = [o for o in result.outputs if o["kind"] == "display_data"]
    return (
        len(displays) == 3
        and WIDGET in displays[0]["data"]
        and bool(displays[1]["transient"].get("display_id"))
        and "text/html" in displays[2]["data"]
    )


def last(kernel: Kernel, what: str = "") -> object:
    """Something of the newest job."""
    return kernel.value(f"kit.api.session().store.rows(limit=1, payloads=True)[0]{what}")


def output(kernel: Kernel) -> object:
    done = last(kernel, ".done")
    assert isinstance(done, str)
    return json.loads(done)["output"]


# -- loading ---------------------------------------------------------------------------------------


def test_load_ext_binds_kit_and_twice_changes_nothing(kernel: Kernel) -> None:
    assert kernel.value("kit.__name__") == "kit"
    hooks = (
        "[len(get_ipython().input_transformers_cleanup), "
        "len(get_ipython().Completer.custom_matchers)]"
    )
    before = kernel.value(hooks)
    again = kernel.run("%load_ext kit")
    assert not again.error
    kernel.run("%reload_ext kit")
    assert kernel.value(hooks) == before


def test_a_name_kit_of_the_person_s_own_is_left_alone(fresh: Kernel) -> None:
    fresh.run("%unload_ext kit\nkit = 'mine'")
    assert not fresh.run("%load_ext kit").error
    assert fresh.value("kit") == "mine"


def test_what_the_front_end_says_it_deleted_is_known_before_a_save(kernel: Kernel) -> None:
    told = (
        "[bool(c.deleted_at) for c in kit.api.session().record.cells() if c.cell_id == 'kit-t-a']"
    )
    kernel.finish(kernel.start("KIT_T_RATE = 3", metadata={"cellId": "kit-t-a"}))
    assert kernel.value(told) == [False]
    # as JupyterLab sends with the next cell that is run, whichever that is
    deleted = {"cellId": "kit-t-b", "deletedCells": ["kit-t-a", "never run"]}
    kernel.finish(kernel.start("pass", metadata=deleted))
    assert kernel.value(told) == [True]
    kernel.finish(kernel.start("KIT_T_RATE = 3", metadata={"cellId": "kit-t-a"}))
    assert kernel.value(told) == [False]


# -- registering -----------------------------------------------------------------------------------

KINDS = {
    "sync": "def {name}(job):\n    return job['input']['x'] + 1",
    "async": "import asyncio\nasync def {name}(job):\n    await asyncio.sleep(0)\n    return job['input']['x'] + 1",
    "generator": "def {name}(job):\n    yield job['input']['x'] + 1",
    "async generator": "async def {name}(job):\n    yield job['input']['x'] + 1",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_of_each_kind_registers_runs_and_shows_its_card(kernel: Kernel, kind: str) -> None:
    name = "k_" + kind.replace(" ", "_")
    source = f'%%handler --input {{"x": 1}} --aggregate\n{KINDS[kind].format(name=name)}'
    result = kernel.run(source)
    assert not result.error, result.shown_error
    assert card_of(result)
    assert kernel.value(f"str(kit.api.session().handlers['{name}'].kind)") == kind
    assert output(kernel) == (2 if "gen" not in kind else [2])
    assert last(kernel, ".state") == "COMPLETED"
    assert kernel.value(f"kit.run({{'x': 5}}, handler='{name}').result()") == (
        6 if "gen" not in kind else [6]
    )
    # the function is an ordinary one as well
    assert kernel.value(f"callable({name})")


def test_the_cell_runs_like_any_other(kernel: Kernel) -> None:
    result = kernel.run(
        """
%%handler --no-run
import sys
%env FROM_A_MAGIC=yes
here = !echo shell
print("printed", sys.argv)
def like_any_other(job):
    return here[0]
"visible result"
"""
    )
    assert not result.error
    assert "printed ['handler.py']" in result.text
    assert "'visible result'" in result.text
    assert kernel.value("kit.run(1).result()") == "shell"
    assert kernel.value("__import__('sys').argv[0]") != "handler.py"


def test_a_pasted_argparse_does_not_see_the_kernel_s_arguments(kernel: Kernel) -> None:
    result = kernel.run(
        """
%%handler --no-run
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--model", default="small")
args = parser.parse_args()
def with_arguments(job):
    return args.model
"""
    )
    assert not result.error
    assert kernel.value("kit.run(1).result()") == "small"


@pytest.mark.parametrize("above", ["# a comment\n", "\n\n", "# one\n\n   # two\n"])
def test_comments_and_blank_lines_may_stand_above_the_line(kernel: Kernel, above: str) -> None:
    result = kernel.run(
        f"{above}%%handler --input 2\ndef commented(job):\n    return job['input'] * 2\n"
    )
    assert not result.error, result.shown_error
    assert output(kernel) == 4


def test_a_name_on_the_line_may_be_any_expression(kernel: Kernel) -> None:
    source = """
%%handler service.handle --input 3
class Service:
    def __init__(self, n): self.n = n
    def handle(self, job): return self.n * job["input"]
service = Service(7)
"""
    assert not kernel.run(source).error
    assert output(kernel) == 21
    assert last(kernel, ".handler") == "service.handle"


PASTED = {
    "plain": "import runpod\n{handler}\nrunpod.serverless.start({{'handler': work{n}, 'return_aggregate_stream': True}})",
    "guarded": "import runpod\n{handler}\nif __name__ == '__main__':\n"
    "    runpod.serverless.start({{'handler': work{n}, 'return_aggregate_stream': True}})",
    "from runpod": "from runpod import serverless\n{handler}\n"
    "serverless.start({{'handler': work{n}, 'return_aggregate_stream': True}})",
    "from runpod.serverless": "from runpod.serverless import start\n{handler}\n"
    "start({{'handler': work{n}, 'return_aggregate_stream': True}})",
}


@pytest.mark.parametrize("style", PASTED)
def test_a_pasted_worker_registers_unchanged_with_its_options(kernel: Kernel, style: str) -> None:
    n = list(PASTED).index(style)
    handler = f"def helper(x):\n    return x\ndef work{n}(job):\n    yield helper(job['input'])"
    source = PASTED[style].format(handler=handler, n=n)
    result = kernel.run(f"%%handler --input 5\n{source}\n")
    assert not result.error, result.shown_error
    assert "Starting Serverless Worker" not in result.text
    assert output(kernel) == [5]
    assert kernel.value(f"kit.api.session().handlers['work{n}'].options.return_aggregate_stream")


def test_start_in_another_cell_explains_itself(kernel: Kernel) -> None:
    result = kernel.run("import runpod\nrunpod.serverless.start({'handler': print})")
    assert "put %%handler on the first line of this cell" in result.error
    assert "kit/" not in result.shown_error


def test_an_input_may_come_from_a_file(kernel: Kernel) -> None:
    (kernel.cwd / "in.json").write_text('{"input": {"x": "from a file"}}')
    result = kernel.run(
        "%%handler --input-file in.json\ndef of_file(job):\n    return job['input']['x']"
    )
    assert not result.error
    assert output(kernel) == "from a file"
    result = kernel.run("%%handler --input-file gone.json\ndef of_file(job):\n    return 1")
    assert "--input-file gone.json: No such file or directory" in result.error


# -- versions --------------------------------------------------------------------------------------


def test_versions_count_and_the_last_input_runs_again(kernel: Kernel) -> None:
    for version, factor in ((1, 2), (2, 3)):
        given = "--input 10" if version == 1 else ""
        result = kernel.run(
            f"%%handler {given}\ndef counted(job):\n    return job['input'] * {factor}"
        )
        assert not result.error
        assert card_of(result)
        assert output(kernel) == 10 * factor
        assert last(kernel, ".version") == version
    kernel.run("%kit autorun off")
    try:
        before = kernel.value("kit.api.session().store.count()")
        assert not kernel.run("%%handler\ndef counted(job):\n    return 0").error
        assert kernel.value("kit.api.session().store.count()") == before
    finally:
        kernel.run("%kit autorun on")
    assert not kernel.run("%%handler --no-run\ndef counted(job):\n    return 0").error
    assert kernel.value("kit.api.session().store.count()") == before
    assert kernel.value("kit.api.session().handlers['counted'].version") == 4


def test_a_job_in_flight_keeps_its_version(kernel: Kernel) -> None:
    cell = """
%%handler --no-run
import threading
go_on = threading.Event()
def flying(job):
    go_on.wait(30)
    return "{0}"
"""
    kernel.run(cell.format("first"))
    kernel.run("early = kit.run(1); first = go_on")
    kernel.run(cell.format("second"))
    kernel.run("late = kit.run(2); first.set(); go_on.set()")
    assert kernel.value("[early.result(), late.result()]") == ["first", "second"]
    assert kernel.value("[early.handler, late.handler]") == ["flying v1", "flying v2"]


# -- refusals --------------------------------------------------------------------------------------

BAD = {
    "no function": ("%%handler\nx = 1", "defines no function that takes one argument"),
    "two": ("%%handler\ndef a(job): ...\ndef b(job): ...", "`a` and `b`, and any of them"),
    "no argument": ("%%handler\ndef handler(): ...", "`handler` takes no argument"),
    "two arguments": ("%%handler\ndef handler(job, model): ...", "`handler` needs 2 arguments"),
    "unknown key": (
        "%%handler\nimport runpod\ndef h(job): ...\nrunpod.serverless.start({'handler': h, 'concurency': 2})",
        "start() was given the key `concurency`, which RunPod's worker ignores",
    ),
    "disagreeing": (
        "%%handler a\nimport runpod\ndef a(job): ...\ndef b(job): ...\nrunpod.serverless.start({'handler': b})",
        "start() in this cell is given `b`",
    ),
    "bad input": ("%%handler --input {'a': 1}\ndef handler(job): ...", "JSON needs double quotes"),
    "NaN input": ("%%handler --input NaN\ndef handler(job): ...", "NaN"),
    "unknown option": ("%%handler --gpu 2\ndef handler(job): ...", "no option --gpu"),
    "unknown target": ("%%handler --target moon\ndef h(job): ...", "no target 'moon' here. Targets: local, process"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_cell_gets_one_sentence_and_is_marked_as_failed(kernel: Kernel, case: str) -> None:
    source, says = BAD[case]
    before = kernel.value("[len(kit.api.session().handlers), kit.api.session().store.count()]")
    result = kernel.run(source)
    assert says in result.error, result.error
    # IPython prints a UsageError to stderr, everything else becomes an error output
    shown = (result.shown_error or result.stream("stderr")).strip()
    assert says in shown
    assert len(shown.splitlines()) == 1, shown
    assert not card_of(result)
    assert (
        kernel.value("[len(kit.api.session().handlers), kit.api.session().store.count()]") == before
    )


def test_a_bad_cell_stops_run_all(kernel: Kernel) -> None:
    # long enough for the second cell to be in the kernel's queue when this one fails
    first = kernel.start("%%handler\n__import__('time').sleep(1)\nx = 1", stop_on_error=True)
    second = kernel.start("reached = True", stop_on_error=True)
    kernel.finish(first)
    kernel.until(lambda: second.reply, "the second cell's reply")
    assert first.status == "error"
    assert second.status == "aborted"


def test_a_cell_that_raised_registers_nothing_and_says_what_stays(kernel: Kernel) -> None:
    assert not kernel.run("%%handler --no-run\ndef stays(job):\n    return 'old'").error
    for broken, says in (
        ("def stays(job):\n    return 'new'\n1 / 0", "raised ZeroDivisionError"),
        ("def stays(job)\n    return 'new'", "has a syntax error in line 2"),
    ):
        result = kernel.run(f"%%handler stays\n{broken}")
        assert result.status == "error"
        assert f"In [{result.number}] {says}: stays v1 stays registered." in result.stream("stderr")
        assert "kit/" not in result.shown_error
        assert kernel.value("kit.run(1).result()") == "old"


def test_help_reads_well_and_runs_nothing(kernel: Kernel) -> None:
    for ask in ("%%handler --help", "%%handler -h\nran_the_body = True", "# why\n%%handler --help"):
        result = kernel.run(ask)
        assert not result.error
        assert "usage: %%handler [name] [--input JSON] [options]" in result.text
        assert '%%handler --input {"prompt": "a dog"}' in result.text
        for option in ("--input-file PATH", "--timeout SECONDS", "--concurrency N", "--no-run"):
            assert option in result.text
    assert kernel.value("'ran_the_body' in globals()") is False


def test_a_question_mark_asks_for_help_too(kernel: Kernel) -> None:
    for ask in ("%%handler?", "%%handler ?"):
        result = kernel.run(ask)
        assert not result.error
        pages = [page["data"]["text/plain"] for page in result.reply.get("payload", ())]
        assert "--help" in result.text + "".join(pages), ask


def test_unknown_options_are_refused_by_name_and_the_body_does_not_run(kernel: Kernel) -> None:
    result = kernel.run("%%handler --timout 3\nran_the_body = True")
    assert result.error.startswith("UsageError: %%handler has no option --timout.")
    assert "Did you mean --timeout?" in result.error
    assert kernel.run("%%handler --timout 3").error == result.error
    assert kernel.value("'ran_the_body' in globals()") is False


def test_the_line_below_code_is_explained(kernel: Kernel) -> None:
    result = kernel.run("x = 1\n%%handler\ndef handler(job): ...")
    assert result.status == "error"


def test_top_level_await_works_and_is_a_finding(kernel: Kernel) -> None:
    result = kernel.run(
        "%%handler --input 1\nimport asyncio\nmodel = await asyncio.sleep(0, 'loaded')\n"
        "def awaited(job):\n    return model"
    )
    assert not result.error
    assert output(kernel) == "loaded"
    findings = kernel.value(
        "[[f.code, f.place] for f in kit.api.session().view("
        "kit.api.session().store.rows(limit=1)[0].key).findings]"
    )
    assert findings == [["K218", f"In [{result.number}], line 3"]]


# -- tracebacks ------------------------------------------------------------------------------------


def test_a_traceback_points_at_the_line_of_the_cell(kernel: Kernel) -> None:
    source = (
        "# above\n"
        "%%handler --input 1\n"
        "def helper():\n"
        "    return {}['missing']\n"
        "\n"
        "def points(job):\n"
        "    return helper()\n"
    )
    result = kernel.run(source)
    assert not result.error, "the failure is on the card, the cell itself is fine"
    trace = kernel.value(
        "kit.api.session().view(kit.api.session().store.rows(limit=1)[0].key).error.traceback"
    )
    assert f'File "In [{result.number}]", line 7, in points' in trace
    assert f'File "In [{result.number}]", line 4, in helper' in trace
    assert "return {}['missing']" in trace
    assert trace.rstrip().endswith("KeyError: 'missing'")
    assert "/kit/" not in trace
    assert kernel.value("kit.api.session().handlers['points'].info.line") == 6
    shown = kernel.run("kit.run(1).result()")
    assert shown.error.startswith("JobFailed: ")
    assert f'File "In [{result.number}]", line 4, in helper' in shown.shown_error
    assert "/kit/" not in shown.shown_error


# -- %job and %kit ---------------------------------------------------------------------------------


def test_job_takes_json_a_variable_or_a_literal(kernel: Kernel) -> None:
    kernel.run("%%handler --no-run\ndef doubled(job):\n    return job['input']")
    kernel.run('j = %job {"prompt": "a $HOME {dog}"}')
    assert kernel.value("j.result()") == {"prompt": "a $HOME {dog}"}
    kernel.run("things = [1, 2]\nj = %job things")
    assert kernel.value("j.result()") == [1, 2]
    kernel.run("j = %job {'single': 'quotes'}")
    assert kernel.value("j.result()") == {"single": "quotes"}
    shown = kernel.run('%job {"x": 1}')
    assert not shown.error
    assert shown.data, "its card"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("%job", "%job needs an input"),
        ("%job nothing_like_it", "name 'nothing_like_it' is not defined"),
        ('%job {"a": ', "is not JSON"),
        ('%job {"a": 1} {"b": 2}', "follows the input"),
        ("%job b'bytes'", "bytes"),
        ("%kit nothing", "%kit has no verb 'nothing'. It has: status, use, panel"),
        ("%kit use", "%kit use takes one name"),
        ("%kit use moon", "no target 'moon' here. Targets: local, process"),
        ("%kit autorun maybe", "takes `on` or `off`"),
        ("%kit history many", "takes a number"),
        ("%kit panel --everything", "has no option --everything"),
        ("%kit status now", "takes nothing more"),
        ("%kit export a b", "unrecognized arguments: b"),
    ],
)  # fmt: skip
def test_magics_say_what_is_wrong_in_one_sentence(kernel: Kernel, line: str, says: str) -> None:
    result = kernel.run(line)
    assert result.error.startswith("UsageError: "), result.error
    assert says in result.error
    assert "kit/" not in result.shown_error


def test_the_verbs_of_kit(kernel: Kernel) -> None:
    kernel.run("%%handler --input 1\ndef verbal(job):\n    return 1")
    status = kernel.run("%kit status")
    assert str(kernel.home) in status.text
    assert "verbal v1, sync" in status.text
    assert "Jobs run on local from now on." in kernel.run("%kit use local").text
    assert "only registers" in kernel.run("%kit autorun off").text
    assert "runs the last input again" in kernel.run("%kit autorun on").text
    history = kernel.run("%kit history 3")
    assert not history.error
    assert "verbal" in history.outputs[-1]["data"]["text/plain"]
    panel = kernel.run("%kit panel")
    assert any(WIDGET in data for data in panel.data)
    for ask in ("%kit", "%kit help", "%kit --help"):
        text = kernel.run(ask).text
        assert all(
            verb in text for verb in ("status", "use", "panel", "export", "autorun", "history")
        )


def test_export_by_magic(kernel: Kernel) -> None:
    kernel.run("%%handler --input 1\ndef exported(job):\n    return job['input']")
    result = kernel.run("%kit export out --no-verify")
    assert not result.error, result.shown_error
    assert (kernel.cwd / "out" / "handler.py").is_file()
    assert "def exported" in (kernel.cwd / "out" / "handler.py").read_text()


def test_options_and_verbs_complete(kernel: Kernel) -> None:
    assert kernel.complete("%%handler --in") == ["--input", "--input-file"]
    assert "--concurrency" in kernel.complete("%%handler classify --")
    assert kernel.complete("%kit st") == ["status"]
    assert set(kernel.complete("%kit ")) >= {
        "status",
        "use",
        "panel",
        "export",
        "autorun",
        "history",
    }
    # what is not ours is completed as ever
    assert "%timeit" in kernel.complete("%timei")


def test_a_jobs_table_and_figures_without_a_word(kernel: Kernel) -> None:
    kernel.run("%%handler --input 1\ndef tabled(job):\n    return 1")
    table = kernel.run("kit.jobs(limit=1)")
    assert "tabled" in table.outputs[-1]["data"]["text/plain"]
    for name in ("timeline", "memory"):
        figure = kernel.run(
            f"import matplotlib; matplotlib.use('agg')\nkit.{name}().get_size_inches().tolist()"
        )
        assert not figure.error, figure.shown_error
    assert Path(kernel.value("str(kit.api.session().store.path)")).is_file()


# -- %%kit_load ------------------------------------------------------------------------------------


def test_a_load_cell_runs_like_any_other_and_is_measured(kernel: Kernel) -> None:
    result = kernel.run(
        """
%%kit_load some weights
import asyncio
await asyncio.sleep(0.05)
weights = bytearray(150 * 2**20)
%who_ls bytearray
"""
    )
    assert not result.error, result.shown_error
    assert "some weights: " in result.text
    assert "MiB to " in result.text
    assert "['weights']" in result.text, "a magic inside it works"
    table = "kit.events().query('kind == \"load\"')"
    assert kernel.value(f"{table}.text.iloc[-1].split(':')[0]") == "some weights"
    assert kernel.value(f"float({table}.execution_time_ms.iloc[-1])") >= 50
    assert (
        kernel.value("[s.label for s in kit.api.session().spans.after(0)[1]][-1]") == "some weights"
    )
    failed = kernel.run("%%kit_load\n\n\n1 / 0\n")
    assert failed.error.startswith("ZeroDivisionError")
    assert "----> 4 1 / 0" in failed.shown_error, "its own line number"
    assert "the cell raised ZeroDivisionError" in failed.text
    assert "%%kit_load [LABEL]" in kernel.run("%%kit_load --help\nnever = 1").text
    refused = kernel.run("%%kit_load --wait 3\nnever = 1")
    assert "has no option --wait" in refused.stream("stderr") + refused.shown_error
    assert kernel.value("'never' in globals()") is False
    both = kernel.run(
        "%%kit_load m\n%%handler --input 4\nk = 2\ndef loaded(job):\n    return job['input'] * k"
    )
    assert not both.error, both.shown_error
    assert output(kernel) == 8
    kernel.run("del weights")


def test_the_sampling_rate_is_set_and_told(kernel: Kernel) -> None:
    assert "10 memory samples a second" in kernel.run("%kit sample").text
    assert "25 memory samples a second" in kernel.run("%kit sample 25").text
    for wrong in ("fast", "0", "10 20"):
        assert "takes a number from 0.1 to 200" in kernel.run(f"%kit sample {wrong}").stream(
            "stderr"
        )
    assert kernel.value("kit.api.session().sampler.hz") == 25
    kernel.run("%kit sample 10")


# -- %%kit_remote ----------------------------------------------------------------------------------


def test_a_remote_cell_is_not_run_here_and_its_mistakes_are_told_at_once(kernel: Kernel) -> None:
    quiet = kernel.good(
        """
# the pod's
%%kit_remote
import surely_not_here_9
await surely_not_here_9.ready()
!touch ran
%time never = 1
"never"
"""
    )
    assert quiet.text.startswith("Not run here: it runs on the pod when a job there needs it")
    assert not quiet.data
    assert kernel.value("'never' in globals()") is False
    assert not (kernel.cwd / "ran").exists()
    recorded = "[c.ok for c in kit.api.session().record.cells() if c.remote]"
    assert kernel.value(recorded) == [True]

    for typed, what in (
        ("x = 1\n\nfor y in x\n    pass", "line 4"),
        ("never = 1\n\nreturn never", "line 4"),
    ):
        wrong = kernel.run(f"%%kit_remote\n{typed}\n")
        assert wrong.error.startswith("SyntaxError")
        assert what in wrong.shown_error
        assert "Not run here" not in wrong.text
        assert kernel.value("'never' in globals()") is False
    assert kernel.value(recorded) == [True, False, False]

    # also where no hook sees it: inside another cell, and silently
    kernel.good("r = get_ipython().run_cell('%%kit_remote\\nnever = 1'); assert r.success")
    kernel.good("get_ipython().run_cell('%%kit_remote\\nnever = 1', silent=True)")
    kernel.good("%%capture\n%%kit_remote\nnever = 1")
    assert kernel.value("'never' in globals()") is False

    before = kernel.value("len(kit.api.session().record.cells())")
    helped = kernel.good("%%kit_remote --help\nnever = 1").text
    assert "Put it on top of a cell that only a pod can run" in helped
    asked = kernel.good("%%kit_remote?")
    assert "only a pod runs it" in str(asked.reply["payload"])
    for other in ("%%handler --help\nnever = 1", "%%kit_load ?\nnever = 1"):
        kernel.good(other)
    # what gave help only has not run, and is no part of an export
    assert kernel.value("len(kit.api.session().record.cells())") == before
    for refused, why in (
        ("%%kit_remote gpu\nnever = 1", "takes nothing more, not 'gpu'"),
        ("%%kit_remote\n%%handler\ndef never(job): ...", "do not go together: a handler"),
        ("%%kit_load m\n%%kit_remote\nnever = 1", "%%kit_load do not go together"),
        ("%%kit_remote\n# nothing", "goes on the first line of the cell"),
        ("%kit_remote", "goes on the first line of the cell"),
    ):
        result = kernel.run(refused)
        assert result.status == "error"
        assert why in result.stream("stderr") + result.shown_error
    assert kernel.value("'never' in globals()") is False
    kernel.good("never_of_pod = 1")  # cells below run as ever
    assert kernel.value("never_of_pod") == 1
