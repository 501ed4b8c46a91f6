"""Shell lines of a notebook as the commands they run, and which of those only look."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from kit.source.magics import Magic

#: programs that only show something, as long as nothing is redirected
_LOOKS = {
    "cat", "clear", "cut", "date", "df", "diff", "dir", "du", "echo", "env", "false", "file",
    "find", "free", "grep", "head", "hostname", "htop", "id", "less", "ls", "lscpu", "lspci",
    "lsof", "man", "md5sum", "more", "nproc", "nvidia-smi", "pgrep", "printenv", "printf", "ps",
    "pwd", "sha256sum", "sleep", "sort", "stat", "tail", "test", "top", "tree", "true", "type",
    "uname", "uniq", "uptime", "wc", "whereis", "which", "whoami",
}  # fmt: skip
#: the same for one verb of a program, or an option
_LOOKS_BY_VERB = {
    "git": {"branch", "diff", "log", "remote", "show", "status"},
    "pip": {"check", "freeze", "list", "show"},
    "pip3": {"check", "freeze", "list", "show"},
    "conda": {"env", "info", "list"},
}
_VERSIONS = {"--version", "-V", "-version", "--help", "-h", "version"}
#: words in front of the program that is meant
_BEFORE = {"sudo", "time", "nohup", "exec", "command", "-E"}
_PYTHONS = ("python", "pypy")
SHELL_CELLS = {"bash", "sh", "script", "!", "sx", "system"}


def commands_of(magic: Magic) -> list[list[str]]:
    """The commands of a shell line, or of a cell for a shell."""
    if magic.kind == "shell":
        text = magic.line
    elif magic.kind == "cell" and magic.name in SHELL_CELLS:
        text = magic.body.replace("\\\n", " ")
    elif magic.name in ("sx", "system"):
        text = magic.line
    elif magic.name in ("conda", "mamba", "micromamba", "pip", "uv"):
        text = f"{magic.name} {magic.line}"
    else:
        return []
    found: list[list[str]] = []
    for line in text.splitlines():
        found += split_line(line)
    return found


def split_line(line: str) -> Iterator[list[str]]:
    """The commands of one line, each as its words."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>()")
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    try:
        for word in lexer:
            if set(word) <= set(";&|()"):
                if words:
                    yield words
                words = []
            elif not words and word.startswith("#"):
                break
            else:
                words.append(word)
    except ValueError:  # a quote that is never closed
        words = line.split()
    if words:
        yield words


def program(words: list[str]) -> list[str]:
    """A command without ``sudo``, and without assignments in front."""
    at = 0
    while at < len(words) - 1 and (
        words[at] in _BEFORE or ("=" in words[at] and words[at].partition("=")[0].isidentifier())
    ):
        at += 1
    return words[at:]


def is_install(words: list[str]) -> bool:
    """Whether a command is a ``pip install``."""
    return bool(pip_arguments(words))


def pip_arguments(words: list[str]) -> list[str]:
    """What stands behind ``pip install``; empty for any other command."""
    words = program(words)
    head = words[0].rpartition("/")[2] if words else ""
    if (head.startswith(_PYTHONS) or "executable" in head) and words[1:2] == ["-m"]:
        words = words[2:]
    elif head == "uv":
        words = words[1:]
    if not words or words[0].rpartition("/")[2] not in ("pip", "pip3") or "install" not in words:
        return []
    return [w for w in words[words.index("install") + 1 :] if not set(w) <= set("<>")]


def only_looks(words: list[str]) -> bool:
    """Whether a command only shows something."""
    words = program(words)
    if not words:
        return True
    if any(set(word) <= set("<>") for word in words):
        return False
    head = words[0].rpartition("/")[2]
    if head in _LOOKS or (set(words[1:]) & _VERSIONS and len(words) < 4):
        return True
    return bool(set(words[1:2]) & _LOOKS_BY_VERB.get(head, set()))
