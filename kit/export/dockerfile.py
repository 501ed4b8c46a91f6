"""``Dockerfile`` and ``.dockerignore``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from kit.export.bases import Base
from kit.export.choices import COMMAND

#: what a folder of a bundle must not be called: the image has these, and a COPY would change them
SYSTEM_FOLDERS = {
    *("bin", "boot", "dev", "etc", "home", "lib", "lib64", "media", "mnt", "opt", "proc", "root"),
    *("run", "sbin", "srv", "sys", "tmp", "usr", "var"),
}
_WIDTH = 88


@dataclass(frozen=True, slots=True)
class Image:
    """What an image is made of.

    Attributes
    ----------
    base : Base
    files : tuple of str
        The bundle's paths that it needs beside requirements.txt.
    env : tuple of (str, str)
    packages : tuple of str
        Debian packages.
    root : str
        Why it must run as root, as the end of ``because it ...``; ``""`` for a user of its own.
    command : tuple of str
    """

    base: Base
    files: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    packages: tuple[str, ...] = ()
    root: str = ""
    command: tuple[str, ...] = COMMAND


def render_dockerfile(image: Image) -> str:
    """The image's recipe: what changes seldom comes first, so that a new handler is a small layer.

    Parameters
    ----------
    image : Image
        Its texts are one line each (``kit.export.choices``); they are quoted here.
    """
    base = image.base
    blocks = [
        f"# build for RunPod: docker build --platform linux/amd64 -t NAME:TAG .\nFROM {base.image}",
        "WORKDIR /",
    ]
    if image.env:
        blocks.append("\n".join(f"ENV {name}={_quoted(value)}" for name, value in image.env))
    if image.packages:
        blocks.append(_apt(image.packages))
    if base.link:
        blocks.append(
            f"# the image has several Pythons: this worker's is {base.link}\n"
            f'RUN ln -sf "$(which python{base.link})" /usr/local/bin/python \\\n'
            f'    && ln -sf "$(which python{base.link})" /usr/local/bin/python3'
        )
    guard = " --break-system-packages" if base.guarded else ""
    pip = "pip" if base.slim else "python -m pip"
    blocks.append(
        f"COPY requirements.txt /\nRUN {pip} install --no-cache-dir{guard} -r /requirements.txt"
    )
    if image.root == "" and base.slim:
        blocks.append("RUN useradd --create-home worker")
    blocks.append("\n".join(_copies(image.files)))
    if image.root == "" and base.slim:
        blocks.append("USER worker")
    elif base.slim:
        blocks.append(f"# runs as root, because it {image.root}")
    blocks.append(f"CMD {json.dumps(list(image.command))}")
    return "\n\n".join(blocks) + "\n"


#: what never goes to the builder: keys, caches, and what only people read
DOCKERIGNORE = """\
# for people and for RunPod's own tools, not for the image
.dockerignore
.git
.github
.kit-export.json
.runpod
Dockerfile
README.md

# never
**/.env*
**/*.key
**/*.pem
**/.ipynb_checkpoints
**/__pycache__
"""


def _apt(packages: Iterable[str]) -> str:
    names = " ".join(sorted(set(packages)))
    line = f"    && apt-get install --yes --no-install-recommends {names} \\"
    if len(line) > _WIDTH:
        lines = "".join(f"        {name} \\\n" for name in sorted(set(packages)))
        line = f"    && apt-get install --yes --no-install-recommends \\\n{lines}".rstrip("\n")
    return f"RUN apt-get update \\\n{line}\n    && rm -rf /var/lib/apt/lists/*"


def _copies(files: Iterable[str]) -> list[str]:
    """One COPY for each folder, and the last for the files on top: the handler changes most."""
    tops = sorted({name.partition("/")[0] for name in files if "/" in name})
    plain = sorted(name for name in files if "/" not in name)
    lines = [_copy([f"{top}/"], f"/{top}/") for top in tops]
    return [*lines, _copy(plain, "/")]


def _copy(sources: list[str], target: str) -> str:
    if any(" " in text or text.startswith("-") for text in (*sources, target)):
        return f"COPY {json.dumps([*sources, target], ensure_ascii=False)}"
    return f"COPY {' '.join(sources)} {target}"


def _quoted(value: str) -> str:
    """A value of ENV: Docker ends it at a quote and fills in what follows a dollar sign."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'
