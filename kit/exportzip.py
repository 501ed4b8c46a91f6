"""The ``RunPod_worker`` exporter of nbconvert: *File > Save and Export Notebook As* in JupyterLab, and
``jupyter nbconvert --to RunPod_worker``.

It runs where the Jupyter server runs, without a kernel, on the file as it was saved; so it proves
nothing, and says so in the bundle.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from nbconvert.exporters import Exporter
from nbconvert.utils.exceptions import ConversionException
from traitlets import default
from traitlets.config import Application

from kit.emulator.replay import play
from kit.errors import ExportError, KitError
from kit.export import ExportRequest, plan
from kit.savedbook import SavedBook, read_book
from kit.secret import find_secrets

UNPROVEN = "not verified: run kit.export() for the proven bundle"
#: the same files are the same bytes, whenever they are packed
_DATE = (1980, 1, 1, 0, 0, 0)


class WorkerExporter(Exporter):
    """A notebook's handler as a worker, in a zip file."""

    #: the label in JupyterLab's menu is the entry point's name; this only has to be there
    export_from_notebook = "RunPod_worker"
    output_mimetype = "application/zip"

    @default("file_extension")
    def _file_extension_default(self) -> str:
        return ".zip"

    def from_notebook_node(
        self, nb: Any, resources: Any | None = None, **kw: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Bytes of the zip file, and nbconvert's resources.

        Raises
        ------
        ConversionException
            With the cell and what to do; behind the command it is SystemExit with that sentence.
        """
        copied, given = super().from_notebook_node(nb, resources, **kw)
        about = given.get("metadata", {})
        name = f"{about.get('name') or 'notebook'}.ipynb"
        folder = Path(about.get("path") or ".").absolute()
        try:
            files = bundle_files(copied, name, folder)
        except KitError as exc:
            told = f"{name} makes no worker: {exc}"
            if _is_command():
                # nbconvert's own way to end shows a traceback of its insides around the sentence
                raise SystemExit(told) from None
            # a server has one answer to whatever is raised here: a page with this sentence, which a
            # menu opens at once; a file would be downloaded, and look like a worker
            raise ConversionException(told) from None
        given["output_extension"] = self.file_extension
        return packed(files), given


def _is_command() -> bool:
    """Whether this process is ``jupyter nbconvert``, and not a server that converts."""
    from nbconvert.nbconvertapp import NbConvertApp

    return Application.initialized() and isinstance(Application.instance(), NbConvertApp)


def bundle_files(notebook: Any, name: str, folder: Path) -> dict[str, bytes]:
    """The files of a worker, from a notebook's cells as saved.

    Parameters
    ----------
    notebook : NotebookNode
    name : str
        Of its file, for the header.
    folder : Path
        Of its file: modules and data are found from there.

    Raises
    ------
    ExportError
    """
    language = str(notebook.metadata.get("kernelspec", {}).get("language") or "python").lower()
    if language != "python":
        raise ExportError(f"the notebook is for {language}; a handler is Python.")
    book = read_book([str(c.source) for c in notebook.cells if c.cell_type == "code"])
    made = plan(
        ExportRequest(
            path=folder / ".kit-nbconvert",
            handler=book.handler,
            streams=book.handler.kind.streams,
            cells=book.cells,
            jobs=(),
            overwrite=False,
            verify=False,
            fits=lambda: None,
            play=play,
            notebook=name,
            given=_input(book) or None,
            executed=False,
            folder=folder,
        )
    )
    files = dict(made.files)
    notes = list(made.notes)
    questions = [d for d in made.sliced.decisions if d.question]
    notes += [f"{d.statement.place}: {d.reason}." for d in questions]
    files["README.md"] = _readme(files.get("README.md", b""), notes)
    return files


def _input(book: SavedBook) -> str:
    """``test_input.json`` of the input on the ``%%handler`` line; ``""`` without one."""
    if book.input is None:
        return ""
    text = json.dumps({"input": json.loads(book.input)}, indent=2, ensure_ascii=False) + "\n"
    return "" if find_secrets(text) else text


def _readme(text: bytes, notes: list[str]) -> bytes:
    """The worker's README with what it must not be mistaken for below its title."""
    title, _, rest = text.decode().partition("\n")
    said = (
        f"> {UNPROVEN}. This one was made without a kernel, from the cells as they were saved and in\n"
        "> their order; versions in requirements.txt are those of the Jupyter server's environment."
    )
    parts = [title or "# Worker", said, rest.strip()]
    if notes:
        parts.append("## To look at\n\n" + "\n".join(f"- {' '.join(n.split())}" for n in notes))
    return ("\n\n".join(part for part in parts if part) + "\n").encode()


def packed(files: dict[str, bytes]) -> bytes:
    """A zip file; the same files give the same bytes."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.create_system = 3  # Unix, whose permissions the next line means
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name])
    return made.getvalue()
