"""A cell's source as lines: the text of a statement in it, with the comments that belong to it."""

from __future__ import annotations

import ast
import io
import sys
import tokenize

_SIGNS = ("#", "'", '"')
#: since 3.12 a string with one of these letters in front may hold strings with the same quotes
_NESTS = sys.version_info >= (3, 12)
_NESTING = frozenset("fFtT")
#: of cells, in files that stand for notebooks
_MARKS = ("# %%", "#%%", "# In[", "# kit:")


def first_line(node: ast.stmt) -> int:
    """Line of a statement, its decorators included."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    if not decorators:
        return node.lineno
    return min([node.lineno, *(d.lineno for d in decorators)])


class CellText:
    """A cell's source and where its comments are.

    Attributes
    ----------
    lines : list of str
    comments : dict of int to str
        By line, from 1; the ``#`` is a part of them.

    Raises
    ------
    SyntaxError, tokenize.TokenError
        It cannot be cut into tokens.
    """

    def __init__(self, source: str) -> None:
        self.lines = source.split("\n")
        self._source = source
        self.comments: dict[int, str] = {}
        self._strings: set[int] | None = None  # lines that begin within one, once it was looked
        if "#" in source:
            self._look()
        self._directed = any("kit" in comment for comment in self.comments.values())

    def inside(self) -> set[int]:
        """Lines that begin within a string: their indentation is a part of it."""
        return self._look() if self._strings is None else self._strings

    def _look(self) -> set[int]:
        """Find comments, and lines that begin within a string; gives the latter."""
        comments: dict[int, str] = {}
        inside: set[int] = set()
        quote = ""
        for number, line in enumerate(self.lines, start=1):
            at = 0
            if quote:
                inside.add(number)
            elif "#" not in line and "'" not in line and '"' not in line:
                continue
            while True:
                if quote:
                    at = _end(line, quote, at)
                    if at < 0:
                        break  # it goes on
                    quote = ""
                signs = [line.find(sign, at) for sign in _SIGNS]
                at = min((place for place in signs if place >= 0), default=-1)
                if at < 0:
                    break
                if line[at] == "#":
                    comments[number] = line[at:]
                    break
                if _NESTS and not _NESTING.isdisjoint(line[max(at - 2, 0) : at]):
                    return self._scan()
                quote = line[at] * 3 if line.startswith(line[at] * 3, at) else line[at]
                at += len(quote)
        self.comments, self._strings = comments, inside
        return inside

    def _scan(self) -> set[int]:
        """The same by tokens, which are made slowly: only where strings stand within strings."""
        inside: set[int] = set()
        starts: list[int] = []
        for token in tokenize.generate_tokens(io.StringIO(self._source).readline):
            name = tokenize.tok_name[token.type]
            if token.type == tokenize.COMMENT:
                self.comments[token.start[0]] = token.string
            elif token.type == tokenize.STRING:
                inside.update(range(token.start[0] + 1, token.end[0] + 1))
            elif name in ("FSTRING_START", "TSTRING_START"):
                starts.append(token.start[0])
            elif name in ("FSTRING_END", "TSTRING_END"):
                inside.update(range(starts.pop() + 1, token.end[0] + 1))
        self._strings = inside
        return inside

    def _is_comment_line(self, number: int) -> bool:
        return number in self.comments and self.lines[number - 1].lstrip().startswith("#")

    def _comment_start(self, node: ast.stmt) -> int:
        first = first_line(node)
        if not self.comments:
            return first
        while first > 1 and self._is_comment_line(first - 1):
            above = self.lines[first - 2]
            if len(above) - len(above.lstrip()) > node.col_offset:
                break  # at the end of the block above
            first -= 1
        return first

    def _last_line(self, node: ast.stmt, following: ast.stmt | None) -> int:
        """Last line of a statement, with comments below it that are indented as its body is."""
        last = number = node.end_lineno or node.lineno
        if not self.comments or not hasattr(node, "body"):
            return last
        until = len(self.lines) if following is None else self._comment_start(following) - 1
        while number < until:
            line = self.lines[number]
            number += 1
            if line.strip():
                indent = len(line) - len(line.lstrip())
                if number not in self.comments or indent <= node.col_offset:
                    break
                last = number
        return last

    def of(self, node: ast.stmt, following: ast.stmt | None) -> tuple[str, int]:
        """Source of a statement without indentation, and the blank lines above it."""
        lines = self.lines
        first, last = self._comment_start(node), self._last_line(node, following)
        gap = 0
        while gap < 2 and first - gap > 1 and not lines[first - gap - 2].strip():
            gap += 1
        end = node.end_lineno or node.lineno
        if (
            not node.col_offset
            and node.end_col_offset == len(lines[end - 1])
            and lines[end - 1].isascii()
            and (following is None or following.lineno > last)
        ):  # its lines are its own: by far the most
            return lines[last - 1] if first == last else "\n".join(lines[first - 1 : last]), gap
        code = first_line(node)
        head = _chars(self.lines[code - 1], node.col_offset)
        tail = _chars(self.lines[end - 1], node.end_col_offset or 0)
        alone = not head.strip() and not (following is not None and following.lineno <= last)
        rest = self.lines[end - 1][len(tail) :]
        if not alone or rest.lstrip().startswith(";"):
            # shares its lines with another statement: its own characters, with the comments above if
            # it is the first of them, and the one behind if it is the last
            chunk = self.lines[code - 1 : end]
            chunk[-1] = tail
            chunk[0] = chunk[0][len(head) :]
            above, behind = self.around(node)
            after = rest.strip("; \t")
            text = "\n".join(chunk) + (behind if after.startswith("#") else "")
            return (text, 0) if head.strip() else (above + text, gap)
        width = len(head)
        if not width:
            return "\n".join(self.lines[first - 1 : last]), gap
        inside = self.inside()
        chunk = [
            line if number in inside or line[:width].strip() else line[width:]
            for number, line in enumerate(self.lines[first - 1 : last], start=first)
        ]
        return "\n".join(chunk), gap

    def heading(self, node: ast.stmt, previous: ast.stmt | None) -> str:
        """Comments that stand above a statement with a blank line in between, without indentation.

        Those of the statement before it are not among them. Marks that editors put between cells
        say nothing about the code.
        """
        if not self.comments:
            return ""
        behind = 0 if previous is None else self._last_line(previous, node)
        found: list[str] = []
        for number in range(behind + 1, self._comment_start(node)):
            line = self.lines[number - 1].strip()
            if self._is_comment_line(number) and not line.startswith(_MARKS):
                found.append(line)
            elif found and not line:
                found.append("")
        text = "\n".join(found).strip("\n")
        while "\n\n\n" in text:
            text = text.replace("\n\n\n", "\n\n")
        return text

    def around(self, node: ast.stmt) -> tuple[str, str]:
        """Comment lines right above a statement, and the comment behind its last line."""
        if not self.comments:
            return "", ""
        first, last = self._comment_start(node), node.end_lineno or node.lineno
        above = [line.strip() + "\n" for line in self.lines[first - 1 : first_line(node) - 1]]
        behind = self.comments.get(last, "")
        return "".join(above), f"  {behind}" if behind else ""

    def hushed(self, node: ast.stmt) -> bool:
        """Whether a semicolon keeps the value from being displayed."""
        last = self.lines[(node.end_lineno or node.lineno) - 1]
        return last[len(_chars(last, node.end_col_offset or 0)) :].lstrip().startswith(";")

    def directive(self, node: ast.stmt) -> str:
        """``keep`` or ``drop`` from a ``# kit: ...`` comment right above or behind."""
        if not self._directed:
            return ""
        for number in range(self._comment_start(node), (node.end_lineno or node.lineno) + 1):
            words = self.comments.get(number, "").lstrip("# ").partition(":")
            if words[0].strip() == "kit" and words[2].strip() in ("keep", "drop"):
                return words[2].strip()
        return ""


def _chars(line: str, utf8_offset: int) -> str:
    """The part of a line before an ``ast`` column, which counts UTF-8 bytes."""
    if line.isascii():
        return line[:utf8_offset]
    return line.encode()[:utf8_offset].decode(errors="ignore")


def _end(line: str, quote: str, at: int) -> int:
    """Column behind the end of a string that is open at ``at``; -1 if it does not end in the line."""
    while True:
        found = line.find(quote, at)
        if found < 0:
            return -1
        escape = line.find("\\", at, found)
        if escape < 0:
            return found + len(quote)
        at = escape + 2
