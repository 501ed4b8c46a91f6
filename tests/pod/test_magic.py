"""``%kit use pod``: from a real kernel, the token from the environment, shown nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.errors import TargetError
from kit.targets.pod import greeting
from tests.notebook_kernel import kernel_in
from tests.pod.serving import Desk, Jupyter

pytestmark = pytest.mark.kernel


def test_the_line_puts_jobs_on_the_pod(
    jupyter: Jupyter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_POD_TOKEN", jupyter.token)
    with kernel_in(tmp_path) as kernel:
        kernel.run(f"pod = %kit use pod {jupyter.url}/lab --kernel line")
        kernel.run(
            "%%handler --input 20 --wait 20\ndef handler(job):\n    return [job['input'] + 1, os.getcwd()]"
        )
        told = kernel.run("told = [kit.run(41).result(60), kit.jobs(limit=1)['target'].iloc[0]]")
        assert told == [[42, str(jupyter.work)], f"pod:127.0.0.1:{jupyter.port}/line"]
        assert "statements ran" in kernel.run("told = repr(pod.plan())")
        notebook = str(kernel._client.nb)
    assert jupyter.token not in notebook
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert jupyter.token.encode() not in stored


def test_an_old_python_is_said(
    jupyter: Jupyter, kit_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # no kernel of an older Python is at hand: today's is made one
    monkeypatch.setattr(greeting, "_OLDEST_PYTHON", (9, 0))
    desk = Desk(kit_home)
    try:
        with pytest.raises(
            TargetError, match=r"the Python of .* is 3\.\d+\.\d+; the kit needs 9\.0"
        ):
            desk.connect(jupyter.url, jupyter.token, kernel="old")
    finally:
        desk.close()
