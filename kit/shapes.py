"""What keys look like when nobody has said that they are keys.

A maintained scanner was tried in place of this list: detect-secrets 1.5.0, the lightest that is
typed, found 29 of the 60 planted keys of the tests in a ``.py`` file and 35 in plain text (not
RunPod's, OpenAI's, Anthropic's, Google's, Replicate's, Groq's or NVIDIA's, no bearer tokens, no
keyword arguments), as many false ones in this project as this list (none), took 4.5 s for a
megabyte where this takes a hundredth of that, and brings requests and PyYAML along. It finds
nothing that this does not. So the list is our own, and the test with the planted keys holds it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import log2

from kit.media import media_of


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of key that is known by how it begins.

    Attributes
    ----------
    kind : str
    needles : tuple of str
        It cannot be there without one of these.
    back : int
        How many characters before its needle a match begins.
    pattern : re.Pattern
    """

    kind: str
    needles: tuple[str, ...]
    back: int
    pattern: re.Pattern[str]


def _shape(kind: str, needles: str, pattern: str, back: int = 0) -> Shape:
    compiled = re.compile(rf"(?<![A-Za-z0-9])(?:{pattern})", re.ASCII)
    return Shape(kind, tuple(needles.split("|")), back, compiled)


PRIVATE_KEY = "private key"
PASSWORD_IN_URL = "password in a URL"  # noqa: S105 - a kind of key, not one

SHAPES = (
    _shape("RunPod key", "rpa_", r"rpa_[A-Za-z0-9]{16,}"),
    _shape("Hugging Face token", "hf_", r"hf_[A-Za-z0-9]{16,}"),
    _shape(
        "API key (sk-)",
        "sk-",
        r"sk-(?=[\w-]{0,200}\d)(?:[A-Za-z0-9]{1,20}-){0,3}[A-Za-z0-9_]{16,200}[\w-]{0,300}",
    ),
    _shape("AWS access key", "AKIA", r"AKIA[0-9A-Z]{9}(?!EXAMPLE)[0-9A-Z]{7}(?![A-Za-z0-9])"),
    _shape("AWS access key", "ASIA", r"ASIA[0-9A-Z]{16}(?![A-Za-z0-9])"),
    _shape("GitHub token", "ghp_|gho_|ghu_|ghs_|ghr_", r"gh[pousr]_[A-Za-z0-9]{30,}"),
    _shape("GitHub token", "github_pat_", r"github_pat_[A-Za-z0-9_]{22,}"),
    _shape("GitLab token", "glpat-", r"glpat-[A-Za-z0-9_-]{20,}"),
    _shape("Google API key", "AIza", r"AIza[A-Za-z0-9_-]{35}"),
    _shape("Slack token", "xox", r"xox[abeoprs]-[A-Za-z0-9-]{10,}"),
    _shape("Stripe key", "k_live_|k_test_", r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}", back=1),
    _shape("Replicate token", "r8_", r"r8_[A-Za-z0-9]{30,}"),
    _shape("Groq key", "gsk_", r"gsk_[A-Za-z0-9]{30,}"),
    _shape("NVIDIA key", "nvapi-", r"nvapi-[A-Za-z0-9_-]{40,}"),
    _shape("PyPI token", "pypi-", r"pypi-[A-Za-z0-9_-]{50,}"),
    _shape(
        PRIVATE_KEY,
        "-----BEGIN ",
        # to its end, or as far as it looks like one; never past a quote, which ends a JSON string
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[ BLOCK]*-----(?:[^\"]{0,8000}?-----END [A-Z0-9 ]*-----|(?:[A-Za-z0-9+/=\s]|\\+[nr])*)",
    ),
    _shape(
        "JSON web token",
        "eyJ",
        r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}",
    ),
    _shape(
        "bearer token",
        "Bearer |bearer ",
        r"[Bb]earer +(?=[A-Za-z0-9._~+/-]{0,200}\d)[A-Za-z0-9._~+/-]{16,}=*",
    ),
    _shape(
        PASSWORD_IN_URL,
        "://",
        r"[a-z][a-z0-9+.-]{1,20}://[^\s/:@,'\"]{0,100}:(?=[^\s/@'\"]{0,200}\d)[^\s/@,'\"{}$<>]{8,200}@",
        back=22,
    ),
)

#: a name, possibly quoted or in brackets, and a quoted value
_ASSIGNED = re.compile(
    r"""(?<![A-Za-z0-9_-])([A-Za-z][A-Za-z0-9_-]{0,80})(?:["']\]?\s*,|["']?\]?\s*[:=])\s*"""
    r"""[rbu]?["']([^"'\s]{8,200})["']"""
)
#: NAME=value alone on its line, as in .env, YAML and Dockerfiles
_ENV_LINE = re.compile(
    r"""^\s*(?:export\s+|ENV\s+|ARG\s+|-\s+)?([A-Za-z][A-Za-z0-9_]{0,80})[=: ]\s*([^"'\s().\[\],]{8,200})\s*$"""
)
_QUERY = re.compile(r"""[?&]([A-Za-z][A-Za-z0-9_-]{0,80})=([^&\s"'<>{}]{8,200})""")
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_SECRET_WORDS = frozenset(
    {"secret", "password", "passwd", "passphrase", "credential", "credentials"}
    | {"apikey", "accesskey", "secretkey"}
)
_KEY_BEFORE = frozenset(
    {"api", "access", "secret", "private", "auth", "account", "encryption", "signing", "master"}
)
#: special tokens of a tokenizer, and counts
_TOKEN_BEFORE = frozenset(
    {"pad", "eos", "bos", "unk", "mask", "sep", "cls", "image", "video", "audio", "special", "stop"}
    | {"start", "end", "num", "max", "min", "begin", "first", "last", "next", "new", "prefix"}
    | {
        "suffix",
        "input",
        "output",
        "cur",
        "current",
        "context",
        "fim",
        "system",
        "user",
        "page",
        "continuation",
    }
)
_PLACEHOLDER = re.compile(
    r"password|passwd|secret|token|key|example|your|dummy|placeholder|change|xxx|abc123|\.\.\.|insert"
    r"|[<>{}$]|^https?:|^/|^\./|^[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+$",
    re.IGNORECASE,
)
#: longer runs are data
LONGEST = 160
_PEM_BODY = re.compile(r"[A-Za-z0-9+/]{32}")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_HEX_PIECE = re.compile(r"(?<![A-Za-z0-9])[0-9A-Fa-f]{16,}(?![A-Za-z0-9])")
#: words of a CamelCase name
_NAME_WORD = re.compile(r"[A-Z][a-z]{2,}|[a-z]{3,}")
_DIGEST = re.compile(r"sha(?:1|224|256|384|512)-", re.IGNORECASE)


def mask_shapes(text: str, mask: str) -> str:
    """The text with everything shaped like a key replaced."""
    for shape in SHAPES:
        for needle in shape.needles:
            if needle in text:
                text = shape.pattern.sub(mask, text)
                break
    return text


def assigned_in(line: str) -> Iterator[str]:
    """Names of what a line gives a value that looks like a key: ``api_key``, ``HF_TOKEN``."""
    for pattern in (_ASSIGNED, _ENV_LINE, _QUERY):
        for match in pattern.finditer(line):
            if _may_be_secret(match[2]) and _names_a_secret(match[1], match[2]):
                yield match[1]


def is_meant(kind: str, match: re.Match[str], text: str) -> bool:
    """Not the words of a parser or an example: a PEM header alone, ``user:password@``."""
    if kind == PRIVATE_KEY:
        return bool(_PEM_BODY.search(text, match.start(), match.start() + 400))
    return kind != PASSWORD_IN_URL or not _PLACEHOLDER.search(match[0].partition("://")[2])


def _names_a_secret(name: str, value: str) -> bool:
    """Whether a name is one that keys are given: ``api_key``, ``HF_TOKEN``, ``clientSecret``."""
    words = [word.lower() for word in _WORDS.findall(name) if not word.isdigit()]
    if not words or "public" in words:
        return False
    before = words[-2] if len(words) > 1 else ""
    if words[-1] == "token":
        # what services call a token is often the id of a request
        return before not in _TOKEN_BEFORE and not _UUID.fullmatch(value)
    if words[-1] == "key":
        return before in _KEY_BEFORE or (name.isupper() and len(words) > 1)
    return words[-1] in _SECRET_WORDS


def _may_be_secret(value: str) -> bool:
    if _PLACEHOLDER.search(value):
        return False
    letters = any(c.isalpha() for c in value)
    return letters and any(c.isdigit() for c in value) and _entropy(value) >= 2.5


def is_random(run: str) -> bool:
    """Whether a run of 32 characters or more was drawn rather than written.

    Random text changes between capitals, small letters and digits at every second character or so;
    names, however long, do so once a word, and are made of words. Hex is a digest.
    """
    if len(run) > LONGEST or _DIGEST.match(run):
        return False
    bare = _HEX_PIECE.sub("", run.rstrip("="))
    plain = "".join(filter(str.isalnum, bare))
    if len(plain) < 28 or len(plain) < 0.86 * len(bare) or _entropy(plain) < 3.8:
        return False
    if _UUID.fullmatch(run) or media_of(run):
        return False
    kinds = ["d" if c.isdigit() else "u" if c.isupper() else "l" for c in plain]
    changes = sum(a != b for a, b in pairwise(kinds)) / (len(kinds) - 1)
    if "u" in kinds and "l" in kinds:
        words = sum(map(len, _NAME_WORD.findall(plain)))
        return words < 0.75 * len(plain) and changes >= (0.3 if "d" in kinds else 0.35)
    return kinds.count("d") >= 3 and changes >= 0.16


def _entropy(text: str) -> float:
    """Bits a character."""
    return -sum(n / len(text) * log2(n / len(text)) for n in Counter(text).values())
