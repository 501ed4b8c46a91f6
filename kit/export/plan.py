"""Everything a bundle will hold, before anything is written."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kit.events import JobView
from kit.export import check, hub
from kit.export.accelerator import accelerator_of
from kit.export.bases import Base, base_of, chosen
from kit.export.choices import ALL, Choices, env_refusal
from kit.export.datafiles import Data, Source, find_data, take
from kit.export.dockerfile import DOCKERIGNORE, SYSTEM_FOLDERS, Image, render_dockerfile
from kit.export.examples import examples_of, input_file, measured
from kit.export.piplines import wishes_of
from kit.export.place import IN_CALL, place_of
from kit.export.project import project_of
from kit.export.readme import Facts, render_readme
from kit.export.render import Rendered, render_handler
from kit.export.report import Fits
from kit.export.requirements import Requirements, There, nowhere, requirements
from kit.export.rights import why_root
from kit.export.siblings import Siblings, find_siblings
from kit.export.surface import variables_of
from kit.export.unseen import system_packages
from kit.export.written import written_by_cells
from kit.handler import HandlerVersion
from kit.posted import Play
from kit.source.record import Cell
from kit.source.slice import Slice, slice_cells

#: names that say nothing about what a worker does
_PLAIN_NAMES = {"handler", "handle", "run", "main", "predict", "worker"}


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Everything an export is made from.

    Attributes
    ----------
    path : Path
        Folder to write.
    handler : HandlerVersion
    streams : bool
        Whether the handler yields.
    cells : tuple of Cell
        The record, in order of execution.
    jobs : tuple of JobView
        Recorded jobs of this handler, newest first.
    overwrite : bool
        Whether edited files of an earlier export may be replaced; files that are not the
        bundle's stay in any case.
    verify : bool
        Whether to run the recorded jobs through the written file.
    fits : callable
        None if a second copy of the model fits beside the kernel's, else the sentence why not.
    play : callable
        Runs cases through real workers.
    session : str or None
        Id of the session; recorded in the bundle, so that its jobs are found again.
    notebook : str or None
        The notebook's name for the header; None asks the environment Jupyter gives its kernels.
    choices : Choices
        What a person has chosen about the bundle.
    folder : Path or None
        The working directory: modules and data are found from there. None: this process's.
    consent : str
        How a refusal says that edited files may be replaced: a call, or the card's box.
    namespace : mapping of str to object
        The kernel's names: simple values among them are compared with what the file computes.
    there : callable
        Which distribution of a pod in use provides a module that this machine lacks.
    given : str or None
        Text of ``test_input.json`` if no job has one.
    executed : bool
        Whether the cells are those that ran in a kernel; else they are a file's.
    """

    path: Path
    handler: HandlerVersion
    streams: bool
    cells: tuple[Cell, ...]
    jobs: tuple[JobView, ...]
    overwrite: bool
    verify: bool
    fits: Fits
    play: Play
    notebook: str | None = None
    given: str | None = None
    executed: bool = True
    session: str | None = None
    choices: Choices = ALL
    folder: Path | None = None
    consent: str = IN_CALL
    namespace: Mapping[str, Any] = field(default_factory=dict)
    there: There = nowhere


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be written.

    Attributes
    ----------
    sliced : Slice
    rendered : Rendered
    files : dict of str to bytes
        Path in the bundle, ``/`` between its parts, to its content.
    notes : tuple of str
        What a person should know, one sentence each.
    env : tuple of (str, str)
        Variables that the image sets.
    """

    sliced: Slice
    rendered: Rendered
    files: dict[str, bytes]
    notes: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()


def plan(request: ExportRequest) -> Plan:
    """Slice, render and collect a bundle. Milliseconds; reads the project's files, writes nothing.

    Raises
    ------
    ExportError
        The handler would not run as a file, a module it needs is not Python, or something to be
        written looks like a key.
    """
    return _Planner(request).plan()


def version() -> str:
    """Version of the kit, for what it writes."""
    try:
        return importlib.metadata.version("handler-kit")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout
        return str(getattr(sys.modules.get("kit"), "__version__", "0"))


class _Planner:
    def __init__(self, request: ExportRequest) -> None:
        self.request = request
        self.choices = request.choices
        name = request.notebook or os.environ.get("JPY_SESSION_NAME") or ""
        self.notebook = Path(name).name
        self.notes: list[str] = []

    def plan(self) -> Plan:
        request = self.request
        sliced = slice_cells(request.cells, request.handler)
        rendered = render_handler(sliced, request.handler, self._header())
        check.check_handler(rendered, sliced, executed=request.executed)
        self.notes += [*sliced.notes]
        folder = request.folder or Path.cwd()
        project = project_of(folder, (place_of(request.path).path,))
        tree = ast.parse(rendered.text)
        siblings = find_siblings(rendered.text, project)
        sources = [Source("handler.py", project.folder / "handler.py", tree)]
        sources += [Source(s.name, s.path, s.tree) for s in siblings.files.values() if s.tree]
        trees = [source.tree for source in sources]
        data = find_data(sources, project)
        needed = self._requirements(trees, siblings, sliced)
        sliced = self._asked(sliced, needed.unknown)
        copied = self._copied(siblings, data)
        gone_along = {s.path for name, s in siblings.files.items() if name in copied}
        gone_along |= {path.resolve() for name, path in data.files.items() if name in copied}
        sliced = written_by_cells(sliced, folder, gone_along)
        self.notes += check.workspace_notes(rendered.text)
        env = self._env(sliced)
        texts = self._texts(rendered, trees, needed, tuple(copied), env)
        others = [(name, text) for name, text in texts.items() if not name.endswith("tests.json")]
        others += [(s.name, s.text) for s in siblings.files.values() if s.text]
        others = [(name, text) for name, text in others if name != "test_input.json"]
        self.notes += check.check_secrets(rendered, others)
        files = {"handler.py": rendered.text.encode(), **copied}
        # half a character, which JSON may hold and UTF-8 may not, becomes JSON's own escape for it
        files.update({n: text.encode(errors="backslashreplace") for n, text in texts.items()})
        return Plan(sliced, rendered, files, tuple(dict.fromkeys(self.notes)), env)

    def _header(self) -> str:
        source = self.notebook or "a notebook"
        return (
            f"RunPod worker `{self.request.handler.name}`.\n\n"
            f"Exported from {source} by handler-kit {version()}.\n"
        )

    def _requirements(
        self, trees: list[ast.Module], siblings: Siblings, sliced: Slice
    ) -> Requirements:
        imported = {
            origin.partition(".")[0]
            for decision in sliced.decisions
            for origin in decision.statement.facts.imports.values()
        }
        needed = requirements(
            trees,
            siblings=siblings.tops,
            outside=siblings.outside,
            wishes=wishes_of(sliced.pip_lines),
            also=self.choices.requirements,
            notebook=imported,
            there=self.request.there,
        )
        self.notes += needed.notes
        return needed

    def _asked(self, sliced: Slice, unknown: tuple[str, ...]) -> Slice:
        """Imports that no line of requirements.txt covers are questions."""
        decisions = []
        for decision in sliced.decisions:
            origins = decision.statement.facts.imports.values() if decision.kept else ()
            tops = dict.fromkeys(origin.partition(".")[0] for origin in origins)
            if missing := [top for top in tops if top in unknown]:
                reason = (
                    f"{decision.reason}; which distribution and version gives "
                    f"`{missing[0]}` is not known here: kit.export(requirements=[...])"
                )
                decision = replace(decision, reason=reason, question=True)
            decisions.append(decision)
        return replace(sliced, decisions=tuple(decisions))

    def _copied(self, siblings: Siblings, data: Data) -> dict[str, bytes]:
        """Modules and data, within the limit; data that looks like a key stays here."""
        self.notes += [*siblings.notes, *data.notes]
        wanted = {name: sibling.path for name, sibling in siblings.files.items()}
        wanted.update({name: path for name, path in data.files.items() if name not in wanted})
        own = {"handler.py", "requirements.txt", "Dockerfile", "README.md", "test_input.json"}
        found, notes = take(wanted, own)
        self.notes += notes
        for name in list(found):
            if name in siblings.files and siblings.files[name].tree is not None:
                continue  # a module is refused, not left out
            why = check.secret_in(found[name])
            if why:
                del found[name]
                self.notes.append(
                    f"{name} looks as if it held a key ({why}) and is not copied: if it is none, copy it "
                    "beside handler.py yourself."
                )
        for top in sorted(
            {name.partition("/")[0] for name in found if "/" in name} & SYSTEM_FOLDERS
        ):
            self.notes.append(
                f"the folder `{top}` would be copied over the image's own /{top}: rename it."
            )
        return found

    def _texts(
        self,
        rendered: Rendered,
        trees: list[ast.Module],
        needed: Requirements,
        copied: tuple[str, ...],
        env: tuple[tuple[str, str], ...],
    ) -> dict[str, str]:
        """The files that say something about the worker, those that were chosen."""
        request, parts = self.request, self.choices.files
        handler = request.handler
        texts: dict[str, str] = {}
        if "requirements" in parts:
            texts["requirements.txt"] = needed.text
        if "test_input" in parts:
            given = input_file(request.jobs, handler.version) or request.given
            if given is None:
                self.notes.append("there is no test_input.json: run a job, and export again.")
            else:
                texts["test_input.json"] = given
        base = self._base(needed)
        if "dockerfile" in parts:
            inside = ("handler.py", *copied, *(n for n in texts if n == "test_input.json"))
            texts["Dockerfile"] = render_dockerfile(
                Image(
                    base, inside, env, self._packages(base, needed), why_root(trees),
                    self.choices.command,
                )
            )  # fmt: skip
            texts[".dockerignore"] = DOCKERIGNORE
        examples = examples_of(request.jobs, handler.version)
        took, variables = measured(request.jobs, handler.version), variables_of(trees)
        title, description = self._title(), self._description(rendered)
        worker = hub.Worker(
            title, description, base, needed.names, variables, env, took, examples
        )  # fmt: skip
        if "hub" in parts:
            texts[".runpod/hub.json"] = hub.hub_file(worker)
            if examples:
                texts[".runpod/tests.json"] = hub.hub_tests_file(worker)
        if "github" in parts and examples:
            texts[".github/tests.json"] = hub.runner_tests_file(worker)
        if "readme" in parts:
            facts = Facts(
                title, description, request.streams, tuple(texts), examples, variables, env, took,
                texts.get("test_input.json"),
            )  # fmt: skip
            texts["README.md"] = render_readme(facts)
        return texts

    def _base(self, needed: Requirements) -> Base:
        if self.choices.base_image:
            return chosen(self.choices.base_image)
        found = accelerator_of(needed.names)
        return base_of((sys.version_info.major, sys.version_info.minor), found.cuda, found.torch)

    def _packages(self, base: Base, needed: Requirements) -> tuple[str, ...]:
        found = {*self.choices.packages}
        if base.slim:
            found |= {*system_packages(needed.names), *(("git",) if needed.git else ())}
        return tuple(sorted(found))

    def _env(self, sliced: Slice) -> tuple[tuple[str, str], ...]:
        found: dict[str, str] = {}
        for name, value in sliced.env:
            why = env_refusal(name, value)
            if why:
                self.notes.append(f"`%env {name[:60]}` {why}; it is not written.")
            else:
                found[name] = value
        found.update(self.choices.env)
        return tuple(found.items())

    def _title(self) -> str:
        name = self.request.handler.name.rpartition(".")[2]
        if name.lower() in _PLAIN_NAMES and self.notebook:
            name = self.notebook.partition(".")[0]
        words = name.replace("_", " ").replace("-", " ").split()
        return " ".join(words).capitalize() or "Worker"

    def _description(self, rendered: Rendered) -> str:
        """The first paragraph of the handler's docstring, else a sentence of ours."""
        last = self.request.handler.expression.rpartition(".")[2]
        for node in ast.walk(ast.parse(rendered.text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == last:
                text = ast.get_docstring(node)
                if text:
                    return " ".join(text.partition("\n\n")[0].split())
        return f"RunPod worker {self.request.handler.name}."
