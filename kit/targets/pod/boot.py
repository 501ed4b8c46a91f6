"""The first lines that run in a pod's kernel: modules out of memory, under a package of their own.

Its text is sent and executed there. Nothing is written to the pod's disk, and a kit that may be
installed there, of whatever version, is never touched.
"""

from __future__ import annotations

import base64
import importlib
import importlib.abc
import importlib.machinery
import json
import sys
import zlib
from types import CodeType
from typing import Any


class Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads the modules of one package from a dict of sources."""

    def __init__(self, package: str, files: dict[str, str]) -> None:
        self._package, self._files = package, files

    def find_spec(
        self,
        fullname: str,
        path: Any = None,  # noqa: ARG002 - importlib's
        target: Any = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        found = self._file(fullname)
        if found is None:
            return None
        spec = importlib.machinery.ModuleSpec(
            fullname, self, origin=f"/kit-pod/{found}", is_package=found.endswith("__init__.py")
        )
        spec.has_location = True
        return spec

    def _file(self, fullname: str) -> str | None:
        head, _, rest = fullname.partition(".")
        if head != self._package:
            return None
        stem = rest.replace(".", "/")
        names = (f"{stem}.py", f"{stem}/__init__.py" if stem else "__init__.py")
        return next((name for name in names if name in self._files), None)

    def get_source(self, fullname: str) -> str | None:
        found = self._file(fullname)
        return None if found is None else self._files[found]

    def get_code(self, fullname: str) -> CodeType | None:
        found = self._file(fullname)
        if found is None:
            return None
        return compile(self._files[found], f"/kit-pod/{found}", "exec", dont_inherit=True)


def boot(package: str, blob: str, shell: Any) -> None:
    """Make the package importable and open the pod's side; a second call does nothing."""
    if package not in sys.modules:
        files = json.loads(zlib.decompress(base64.b64decode(blob)))
        sys.meta_path.insert(0, Finder(package, files))
    importlib.import_module(f"{package}.targets.pod.remote").open_on(shell.kernel)
