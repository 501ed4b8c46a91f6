"""torch's thread-local settings hold in the handler's thread as they do in the cell."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import subprocess
import sys
import threading
from typing import Any

import pytest

from kit import torchstate
from kit.session import Session
from tests.making import ended, handler_of, submit


def test_without_torch_nothing_is_imported_and_nothing_done() -> None:
    code = (
        "import sys\n"
        "from kit import torchstate\n"
        "assert torchstate.capture() is None\n"
        "with torchstate.applied(None): pass\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def in_a_thread(function: Any) -> Any:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join(30)
    return results[0]


def needs_torch(test: Any) -> Any:
    """torch is where a GPU is; without it the test is skipped like those that need one."""
    if importlib.util.find_spec("torch") is not None:
        return test
    return pytest.mark.gpu(pytest.mark.skip(reason="gpu: torch is not installed")(test))


@pytest.fixture
def torch() -> Any:
    return importlib.import_module("torch")


def settings_of(torch: Any) -> Any:
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        str(torch.tensor([1.0]).device),
    )


@needs_torch
def test_settings_travel_to_another_thread_and_end_there(torch: Any) -> None:
    plain = in_a_thread(lambda: settings_of(torch))
    torch.set_default_device("meta")
    try:
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            here = settings_of(torch)
            state = torchstate.capture()
    finally:
        torch.set_default_device(None)
    assert here != plain

    def there() -> Any:
        with torchstate.applied(state):
            inside = settings_of(torch)
        return inside, settings_of(torch)

    assert in_a_thread(there) == (here, plain)


@needs_torch
def test_inference_mode_travels(torch: Any) -> None:
    with torch.inference_mode():
        state = torchstate.capture()

    def there() -> bool:
        with torchstate.applied(state):
            return bool(torch.is_inference_mode_enabled())

    assert in_a_thread(there) is True
    assert torch.is_inference_mode_enabled() is False


@needs_torch
def test_a_job_runs_under_the_settings_of_its_cell(torch: Any) -> None:
    session = Session()
    try:
        grad = torch.is_grad_enabled()
        torch.set_grad_enabled(False)
        try:
            state = torchstate.capture()
        finally:
            torch.set_grad_enabled(grad)
        handler = handler_of(lambda job: torch.is_grad_enabled())
        off = dataclasses.replace(handler, torch=state)
        for one, expected in ((off, False), (handler, True)):
            session.add(one)
            assert ended(submit(session, one)).output is expected
    finally:
        session.close()
