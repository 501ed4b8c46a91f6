"""Whether a worker can run without root: only if its code writes nowhere that root alone may write.

A worker's working directory is ``/``. Code that may write there, to the network volume or through
other programs needs root; in doubt it gets it, because a refusal would only show in production.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

_WRITERS = (
    "save", "to_csv", "to_parquet", "to_excel", "to_pickle", "write_text", "write_bytes", "write_video",
    "write_audiofile", "write_videofile", "dump_to", "mkdir", "makedirs", "touch", "unlink", "rmtree",
    "imwrite", "imsave", "savefig", "savez", "save_file", "save_pretrained", "download_file",
    "snapshot_download", "extractall", "copyfile", "copytree", "move", "urlretrieve", "chdir",
    "rename", "symlink", "download_files_from_urls", "upload_image", "upload_files",
)  # fmt: skip
_PROGRAMS = (
    "Popen",
    "check_call",
    "check_output",
    "create_subprocess_exec",
    "create_subprocess_shell",
)
_IN_MEMORY = ("BytesIO", "StringIO")
_FREE = ("/tmp/", "/dev/shm/")  # noqa: S108 - asked about, not used
_VOLUME = "/runpod-volume"


def why_root(trees: Iterable[ast.Module]) -> str:
    """Why the code needs root, as the end of ``because it ...``; ``""`` if it does not."""
    for tree in trees:
        buffers = set(_buffers(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if node.value.startswith(_VOLUME):
                    return "uses the network volume"
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                if any("VolumeCache" in alias.name for alias in node.names):
                    return "uses the network volume"
            elif isinstance(node, ast.Call):
                why = _call(node, buffers)
                if why:
                    return why
    return ""


def _call(node: ast.Call, buffers: set[str]) -> str:
    func = node.func
    name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
    owner = func.value if isinstance(func, ast.Attribute) else None
    of_programs = isinstance(owner, ast.Name) and owner.id in ("subprocess", "os")
    if name in _PROGRAMS or (of_programs and name in ("run", "call", "system", "popen")):
        return "starts other programs"
    target: ast.expr | None = node.args[0] if node.args else owner
    if name == "open":
        given = [*node.args[1:2], *(k.value for k in node.keywords if k.arg == "mode")]
        if owner is not None and node.args and not given:
            given = node.args[:1]  # Path.open("w")
            target = owner
        modes = [m.value if isinstance(m, ast.Constant) else "w" for m in given]
        if not any(set(str(mode)) & set("wax+") for mode in modes):
            return ""
    elif name not in _WRITERS:
        return ""
    return "" if _is_free(target, buffers) else "may write into its own folder"


def _is_free(target: ast.expr | None, buffers: set[str]) -> bool:
    if isinstance(target, ast.Name):
        return target.id in buffers
    return (
        isinstance(target, ast.Constant)
        and isinstance(target.value, str)
        and target.value.startswith(_FREE)
    )


def _buffers(tree: ast.Module) -> Iterator[str]:
    """Names that are bound to files in memory."""
    for node in ast.walk(tree):
        value = getattr(node, "value", None)
        if isinstance(node, (ast.Assign, ast.NamedExpr, ast.AnnAssign)) and isinstance(
            value, ast.Call
        ):
            func = value.func
            name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
            if name in _IN_MEMORY:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                yield from (t.id for t in targets if isinstance(t, ast.Name))
        elif isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
            made = getattr(node.context_expr, "func", None)
            name = made.attr if isinstance(made, ast.Attribute) else getattr(made, "id", "")
            if name in _IN_MEMORY:
                yield node.optional_vars.id
