"""Lines that were drawn over, as progress bars do: of each, only the last state is worth keeping."""

from __future__ import annotations


def last_drawn(text: str, *, open_start: bool = False) -> str:
    """The text with every line in its last state.

    Parameters
    ----------
    text : str
    open_start : bool
        True if the text goes on a line begun elsewhere: a return in its first line is kept at its
        front, so that whoever joins the pieces can draw over what came before.
    """
    if "\r" not in text:
        return text
    lines = text.split("\n")
    # a return at the end is the end of a \r\n, or belongs to what is drawn next
    drawn = [
        line if "\r" not in line[:-1] else line[line.rindex("\r", 0, len(line) - 1) + 1 :]
        for line in lines
    ]
    if open_start and drawn[0] != lines[0]:
        drawn[0] = "\r" + drawn[0]
    return "\n".join(drawn)
