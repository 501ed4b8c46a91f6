"""``%%kit_remote`` from a real kernel: the model's package is on the pod and not here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.errors import TargetError
from kit.targets.pod.address import parse
from kit.targets.pod.terms import Pace
from tests.kernel.conftest import Kernel
from tests.making import until
from tests.pod.proxy import proxy_to
from tests.pod.serving import Desk, Jupyter

pytestmark = pytest.mark.kernel

PACKAGE = """
class Pipeline:
    def to(self, device):
        with open("loads.txt", "a") as file:
            file.write(device + " ")
        self.device = device
        return self

    def __call__(self, prompt):
        return f"{prompt} on {self.device}"
"""
MODEL = """# the model
%%kit_remote
from only_there_8 import Pipeline

pipe = Pipeline().to("cuda")
"""
HANDLER = """%%handler --wait 0
def handler(job):
    return {mark!r} + pipe(job["input"])
"""


@pytest.fixture(scope="module")
def kernel(jupyter: Jupyter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    (jupyter.work / "only_there_8.py").write_text(PACKAGE)
    one = Kernel(tmp_path_factory.mktemp("here"))
    try:
        yield one
    finally:
        one.close()


def test_a_model_that_only_the_pod_can_load(kernel: Kernel, jupyter: Jupyter) -> None:
    loads = jupyter.work / "loads.txt"
    told = kernel.good(MODEL).text
    assert told.startswith("Not run here: it runs on the pod when a job there needs it")
    assert "No pod is in use yet" in told
    assert kernel.value("'pipe' in globals()") is False
    made_in = kernel.good("made = 1").number - 1

    # a handler that uses it registers here, and says why a job here must fail
    kernel.good(HANDLER.format(mark="a "))
    kernel.good("job = kit.run('dog')")
    kernel.good("try:\n    job.result(60)\nexcept kit.JobFailed as exc:\n    failed = str(exc)")
    assert "name 'pipe' is not defined" in str(kernel.value("failed"))
    notes = "[[f.code, f.sentence, f.place] for f in kit.api.session().view(job.key).findings]"
    (note,) = [note for note in kernel.value(notes) if note[0] == "K236"]
    assert note[1].startswith("`pipe` is made in a cell that runs only on a pod (In [")
    assert note[2] == f"In [{made_in}]"

    # on the pod it runs, by the handler's cell itself
    kernel.good(f"pod = kit.Pod({jupyter.url!r}, token={jupyter.token!r}); kit.use(pod)")
    kernel.good(HANDLER.replace("--wait 0", '--wait 60 --input "cat"').format(mark="b "))
    last = "kit.api.session().store.rows(limit=1, payloads=True)[0]"
    assert json.loads(str(kernel.value(f"{last}.done")))["output"] == "b cat on cuda"
    codes = f"[f.code for f in kit.api.session().view({last}.key).findings]"
    assert "K236" not in str(kernel.value(codes))
    assert loads.read_text() == "cuda "

    # an edit of the handler loads nothing, one of the model's cell exactly that
    kernel.good(HANDLER.format(mark="c "))
    assert kernel.value("kit.run('dog').result(60)") == "c dog on cuda"
    assert loads.read_text() == "cuda "
    assert "No pod is in use" not in kernel.good(MODEL.replace('"cuda"', '"cuda:1"')).text
    assert kernel.value("kit.run('dog').result(60)") == "c dog on cuda:1"
    assert loads.read_text() == "cuda cuda:1 "
    assert kernel.value("[row.source for row in pod.plan().ran]") == [
        'pipe = Pipeline().to("cuda:1")'
    ]
    assert kernel.value("kit.run('again').result(60)") == "c again on cuda:1"
    assert loads.read_text() == "cuda cuda:1 "


def test_an_export_has_it_and_says_what_fails_here(kernel: Kernel) -> None:
    kernel.good("bundle = kit.export('made')")
    text = (kernel.cwd / "made" / "handler.py").read_text()
    assert "from only_there_8 import Pipeline" in text
    assert 'pipe = Pipeline().to("cuda:1")' in text
    assert "kit_remote" not in text
    told = str(kernel.value("str(bundle)"))
    assert "No module named 'only_there_8'" in told
    assert "not verified" in told


def test_nobody_is_asked_where_nobody_can_answer(kernel: Kernel, jupyter: Jupyter) -> None:
    ident = kernel.client.execute(f"%kit use pod {jupyter.url} --kernel unasked", allow_stdin=False)
    reply = kernel.client.get_shell_msg(timeout=60)
    while reply["parent_header"]["msg_id"] != ident:
        reply = kernel.client.get_shell_msg(timeout=60)
    content = reply["content"]
    # IPython prints a UsageError instead of showing it
    assert content["status"] == "error"
    assert "nobody can be asked for it here: set KIT_POD_TOKEN" in content["evalue"]


def test_a_new_token_for_a_pod_in_use_goes_on_where_it_was(
    jupyter: Jupyter, kit_home: Path
) -> None:
    pace = Pace(beat_s=0.6, first_s=0.02, longest_s=600.0, lease_s=600.0)
    desk = Desk(kit_home)
    with proxy_to(jupyter.port) as line:
        url = f"http://127.0.0.1:{line.port}"
        try:
            old = desk.connect(url, jupyter.token, pace, kernel="renewed")
            desk.cell("import os")
            desk.cell("%%handler handler\ndef handler(job):\n    return os.getpid()")
            pid = desk.run(1).result(60)
            # the token of the live connection has expired
            assert old.target is not None
            assert old.target.tether is not None
            server = old.target.tether.server
            fine, expired = server.address, parse(url, "expired-9")
            server.address = expired
            line.cut()
            until(lambda: "does not take this token" in old.target.trouble, "the reason")
            waiting = desk.run(1)
            with pytest.raises(TargetError, match="does not take this token"):
                desk.connect(url, "wrong-too-9", kernel="renewed")
            assert server.address is expired
            # its next try by itself may be minutes away
            new = desk.connect(url, jupyter.token, kernel="renewed")
            assert waiting.result(60) == pid
            assert new.target is old.target
            assert server.address.token.reveal() == fine.token.reveal()
            assert desk.run(1).result(60) == pid
        finally:
            desk.close()
