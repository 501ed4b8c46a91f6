"""The options of ``%kit export`` and of ``kit export``: those of ``kit.export``, as words."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

from kit.errors import UsageError

CLEAN_ENV = (
    "in a virtual environment with what requirements.txt says and runpod, made by pip and kept"
)


@dataclass(frozen=True, slots=True)
class ExportWords:
    """What was asked for; the attributes are the keywords of ``kit.export``."""

    handler: str | None = None
    overwrite: bool = False
    verify: bool = True
    clean_env: bool = False
    files: tuple[str, ...] | None = None
    base_image: str | None = None
    env: dict[str, str] | None = None
    packages: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()

    def keywords(self) -> dict[str, Any]:
        """As keywords of ``kit.export``; JSON can carry them."""
        return asdict(self)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}. See {self.prog} --help.")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options; :func:`words_of` reads them."""
    parser.add_argument(
        "--handler", metavar="NAME", help="which (default: the one registered last)"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="also over files of the bundle that were edited"
    )
    parser.add_argument("--no-verify", action="store_true", help="write only, prove nothing")
    parser.add_argument("--clean-env", action="store_true", help=f"prove it {CLEAN_ENV}")
    parser.add_argument(
        "--files", metavar="A,B,...",
        help="parts to write: requirements, dockerfile, test_input, hub, github, readme "
        "(default: all)",
    )  # fmt: skip
    parser.add_argument("--base-image", metavar="IMAGE", help="default: the one that fits")
    parser.add_argument(
        "--env", metavar="NAME=VALUE", action="append", default=[], type=_variable,
        help="a variable of the image, no key; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--package", metavar="NAME", action="append", default=[],
        help="a Debian package of the image; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--requirement", metavar="LINE", action="append", default=[],
        help="a further line of requirements.txt; may be repeated",
    )  # fmt: skip


def _variable(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def words_of(given: argparse.Namespace) -> ExportWords:
    """What a parser with these options has found."""
    files = given.files
    return ExportWords(
        handler=given.handler,
        overwrite=given.overwrite,
        verify=not given.no_verify,
        clean_env=given.clean_env,
        files=None if files is None else tuple(name for name in files.split(",") if name),
        base_image=given.base_image,
        env=dict(given.env) or None,
        packages=tuple(given.package),
        requirements=tuple(given.requirement),
    )


def magic_parser() -> argparse.ArgumentParser:
    """Of ``%kit export``; it raises UsageError instead of ending the kernel."""
    parser = _Parser(
        prog="%kit export", add_help=False, allow_abbrev=False,
        description="Write the current handler as a worker, proven against the real SDK.",
    )  # fmt: skip
    parser.add_argument("path", nargs="?", default="worker", help="folder (default: worker)")
    add_options(parser)
    parser.add_argument("-h", "--help", action="store_true", help="show this")
    return parser
