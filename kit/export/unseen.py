"""Packages that code needs without importing them, and the system's that some packages need."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

#: keyword arguments and attributes that only work with a further distribution: transformers,
#: diffusers and pandas import it when that is asked for, each with an ImportError that names it
_BY_KEYWORD = {
    "device_map": "accelerate",
    "load_in_4bit": "bitsandbytes",
    "load_in_8bit": "bitsandbytes",
    "low_cpu_mem_usage": "accelerate",
}
_BY_NAME = {
    "BitsAndBytesConfig": "bitsandbytes",
    "enable_model_cpu_offload": "accelerate",
    "enable_sequential_cpu_offload": "accelerate",
    "enable_xformers_memory_efficient_attention": "xformers",
    "read_excel": "openpyxl",
    "read_feather": "pyarrow",
    "read_parquet": "pyarrow",
    "to_excel": "openpyxl",
    "to_feather": "pyarrow",
    "to_parquet": "pyarrow",
}
_BY_VALUE = {"flash_attention_2": "flash-attn"}
#: Debian packages that a slim image lacks; each package's own installation notes name them
_SYSTEM = {
    "ffmpeg-python": ("ffmpeg",),
    "graphviz": ("graphviz",),
    "moviepy": ("ffmpeg",),
    "openai-whisper": ("ffmpeg",),
    "opencv-contrib-python": ("libgl1", "libglib2.0-0"),
    "opencv-python": ("libgl1", "libglib2.0-0"),
    "pdf2image": ("poppler-utils",),
    "psycopg2": ("gcc", "libpq-dev"),
    "pydub": ("ffmpeg",),
    "pytesseract": ("tesseract-ocr",),
    "pyzbar": ("libzbar0",),
    "weasyprint": ("libpango-1.0-0", "libpangoft2-1.0-0"),
}


def unseen(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Distributions that a module's code asks for by a word, each with that word."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword):
            if node.arg in _BY_KEYWORD and not _is_off(node.value):
                yield _BY_KEYWORD[node.arg], f"{node.arg}="
            if isinstance(node.value, ast.Constant) and node.value.value in _BY_VALUE:
                yield _BY_VALUE[str(node.value.value)], repr(node.value.value)
        elif isinstance(node, ast.Attribute) and node.attr in _BY_NAME:
            yield _BY_NAME[node.attr], f"{node.attr}"
        elif isinstance(node, ast.Name) and node.id in _BY_NAME:
            yield _BY_NAME[node.id], node.id


def system_packages(names: Iterable[str]) -> tuple[str, ...]:
    """Debian packages that distributions need, sorted."""
    return tuple(sorted({package for name in names for package in _SYSTEM.get(name, ())}))


def _is_off(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value in (None, False)
