"""One Jupyter server for each file, one notebook for each test that asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pod.serving import Desk, Jupyter


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    server = Jupyter(tmp_path_factory.mktemp("pod"))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def desk(kit_home: Path) -> Iterator[Desk]:
    one = Desk(kit_home)
    try:
        yield one
    finally:
        one.close()
