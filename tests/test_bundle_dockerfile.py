"""The Dockerfile: which image, which layers, which user; and that no text becomes an instruction."""

from __future__ import annotations

import ast
import dataclasses
import json
import random
import sys
import textwrap
from pathlib import Path

import pytest

from kit.errors import UsageError
from kit.export import export
from kit.export.accelerator import accelerator_of
from kit.export.bases import _RUNPOD_BASE, Base, base_of, chosen, host_versions, is_image
from kit.export.choices import PARTS, choose
from kit.export.dockerfile import DOCKERIGNORE, Image, render_dockerfile
from kit.export.rights import why_root
from tests.dockerfiles import parse, variables
from tests.exporting import done, request_of
from tests.test_requirements import install

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
SLIM = Base("python:3.11-slim", slim=True)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed distributions that this interpreter sees."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def words(text: str) -> list[str]:
    return [instruction.word for instruction in parse(text)]


def test_a_plain_worker_is_slim_has_its_own_user_and_code_comes_last() -> None:
    text = render_dockerfile(Image(SLIM, ("handler.py", "pkg/a.py", "test_input.json")))
    assert text == textwrap.dedent(
        """\
        # build for RunPod: docker build --platform linux/amd64 -t NAME:TAG .
        FROM python:3.11-slim

        WORKDIR /

        COPY requirements.txt /
        RUN pip install --no-cache-dir -r /requirements.txt

        RUN useradd --create-home worker

        COPY pkg/ /pkg/
        COPY handler.py test_input.json /

        USER worker

        CMD ["python", "-u", "/handler.py"]
        """
    )
    assert words(text) == ["FROM", "WORKDIR", "COPY", "RUN", "RUN", "COPY", "COPY", "USER", "CMD"]


def test_everything_at_once() -> None:
    base = base_of((3, 12), (12, 6), "2.6.0")
    assert base == Base("runpod/base:1.0.3-cuda1281-ubuntu2204", "3.12", False, (12, 8))
    image = Image(base, ("handler.py",), (("A", "1"), ("B", "x y")), ("git", "ffmpeg"))
    text = render_dockerfile(image)
    found = parse(text)
    assert [i.word for i in found] == [
        "FROM", "WORKDIR", "ENV", "ENV", "RUN", "RUN", "COPY", "RUN", "COPY", "CMD",
    ]  # fmt: skip
    assert "ffmpeg git" in found[4].rest
    assert found[5].rest.count("python3.12") == 2
    assert found[7].rest == "python -m pip install --no-cache-dir -r /requirements.txt"
    # requirements come before the code: a new handler is one small layer
    assert text.index("COPY requirements.txt") < text.index("COPY handler.py")
    assert {**variables(found[2]), **variables(found[3])} == {"A": "1", "B": "x y"}


@pytest.mark.parametrize(
    ("python", "cuda", "torch", "image"),
    [
        ((3, 10), None, "", "python:3.10-slim"),
        ((3, 13), None, "2.9.0", "python:3.13-slim"),
        ((3, 11), (12, 8), "2.8.0", "runpod/pytorch:2.8.0-py3.11-cuda12.8.1-cudnn-devel-ubuntu22.04"),
        ((3, 12), (12, 8), "2.8.0", "runpod/base:1.0.3-cuda1281-ubuntu2204"),
        ((3, 11), (12, 4), "2.6.0", "runpod/base:0.7.0-cuda1241-ubuntu2204"),
        ((3, 11), (12, 1), "2.3.0", "runpod/base:0.7.0-cuda1241-ubuntu2204"),
        ((3, 11), (11, 8), "2.3.0", "runpod/base:0.6.3-cuda11.8.0"),
        ((3, 12), (13, 0), "2.9.1", "runpod/base:1.0.3-cuda1300-ubuntu2404"),
        ((3, 12), (14, 2), "4.0.0", "runpod/base:1.0.3-cuda1300-ubuntu2404"),
    ],
)  # fmt: skip
def test_the_base_image(
    python: tuple[int, int], cuda: tuple[int, int] | None, torch: str, image: str
) -> None:
    base = base_of(python, cuda, torch)
    assert base.image == image
    assert is_image(base.image)
    assert ":latest" not in base.image
    if cuda is not None and cuda[0] < 14:
        assert base.cuda is not None
        assert base.cuda >= cuda
    assert base.guarded == image.endswith("2404")


def test_the_table_is_sorted_and_only_images() -> None:
    assert [cuda for cuda, _ in _RUNPOD_BASE] == sorted(cuda for cuda, _ in _RUNPOD_BASE)
    assert host_versions((12, 8)) == ["13.0", "12.9", "12.8"]
    assert chosen("runpod/base:1.0.3-cuda1290-ubuntu2204").cuda == (12, 9)
    assert chosen("runpod/pytorch:2.4.0-py3.11-cuda12.4.1-devel-ubuntu22.04").cuda == (12, 4)
    assert chosen("python:3.12-slim-bookworm") == Base("python:3.12-slim-bookworm", slim=True)
    assert chosen("registry.example.org:5000/a/b@sha256:" + "0" * 64).cuda is None


@pytest.mark.parametrize(
    ("version", "body", "cuda"),
    [
        ("2.6.0+cu124", "", (12, 4)),
        ("2.6.0+cpu", "cuda: Optional[str] = None\n", None),
        ("2.6.0", "cuda: Optional[str] = '12.4'\n", (12, 4)),
        ("2.6.0", "cuda = None\n", None),
        ("2.6.0", "__version__ = '2.6.0'\n", None),
        ("2.6.0+rocm6.2", "", None),
    ],
)
def test_cuda_is_read_from_the_installed_torch_without_importing_it(
    site: Path,
    version: str,
    body: str,
    cuda: tuple[int, int] | None,
) -> None:
    install(
        site,
        "torch",
        version,
        {"torch/__init__.py": "raise RuntimeError\n", "torch/version.py": body},
    )
    found = accelerator_of({"torch", "numpy"})
    assert found.cuda == cuda
    assert found.torch == "2.6.0"
    assert accelerator_of({"numpy"}).cuda is None


def test_cuda_of_what_is_no_torch(site: Path) -> None:
    assert accelerator_of({"vllm"}).cuda == (12, 8)
    install(site, "nvidia-cuda-runtime-cu12", "12.4.127", {"nvidia/x.py": ""})
    assert accelerator_of({"onnxruntime-gpu"}).cuda == (12, 4)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("print(open('x').read())", ""),
        ("import io\nb = io.BytesIO()\nimage.save(b, 'PNG')", ""),
        ("with io.BytesIO() as b: image.save(b)", ""),
        ("open('/tmp/x', 'w')", ""),
        ("image.save('/tmp/x.png')", ""),
        ("image.save(path)", "may write into its own folder"),
        ("open(path, 'w')", "may write into its own folder"),
        ("open(path, mode)", "may write into its own folder"),
        ("Path(p).open('w')", "may write into its own folder"),
        ("open('x', 'rb+')", "may write into its own folder"),
        ("Path('x').write_text('')", "may write into its own folder"),
        ("os.makedirs('out')", "may write into its own folder"),
        ("download_files_from_urls(job['id'], urls)", "may write into its own folder"),
        ("subprocess.run(['ls'])", "starts other programs"),
        ("os.system('ls')", "starts other programs"),
        ("X = '/runpod-volume/models'", "uses the network volume"),
        ("from runpod.serverless.utils import VolumeCache", "uses the network volume"),
    ],
)
def test_who_runs_it(code: str, why: str) -> None:
    assert why_root([ast.parse(code)]) == why
    text = render_dockerfile(Image(SLIM, ("handler.py",), root=why))
    assert ("USER" in words(text)) == (not why)
    if why:
        assert f"# runs as root, because it {why}\n" in text


def test_images_of_runpod_run_as_root() -> None:
    text = render_dockerfile(Image(base_of((3, 11), (12, 8), ""), ("handler.py",)))
    assert "USER" not in words(text)
    guarded = render_dockerfile(Image(base_of((3, 11), (13, 0), ""), ("handler.py",)))
    assert "--break-system-packages" in guarded


def test_paths_with_spaces_are_copied_in_the_json_form() -> None:
    text = render_dockerfile(Image(SLIM, ("handler.py", "a b.txt", "c d/e.txt")))
    copies = [i.paths for i in parse(text) if i.word == "COPY"]
    assert copies == [["requirements.txt", "/"], ["c d/", "/c d/"], ["a b.txt", "handler.py", "/"]]


def test_what_never_goes_to_the_builder() -> None:
    lines = [line for line in DOCKERIGNORE.splitlines() if line and not line.startswith("#")]
    assert {"**/.env*", "**/*.pem", "**/*.key", ".git", ".kit-export.json"} <= set(lines)
    assert not {"handler.py", "requirements.txt", "test_input.json", "*"} & set(lines)


def test_variables_of_the_notebook_are_in_the_image_and_keys_are_not(tmp_path: Path) -> None:
    key = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567"
    book = done("%%handler\nimport os\ndef handler(job): return os.environ['MODE']")
    request = request_of(book, tmp_path / "w")
    first = request.cells[0]
    magic = dataclasses.replace(
        first, number=0, cell_id="m", source=f'%env MODE=fast "and" x\n%env MY_TOKEN={key}'
    )
    bundle = export(dataclasses.replace(request, cells=(magic, first)))
    instructions = parse((bundle.path / "Dockerfile").read_text())
    found = [variables(i) for i in instructions if i.word == "ENV"]
    assert found == [{"MODE": 'fast "and" x'}]
    assert key not in "".join(p.read_text() for p in bundle.path.rglob("*") if p.is_file())


def test_values_keep_their_dollar_signs_quotes_and_backslashes() -> None:
    values = [
        'fast "and"',
        "$HOME",
        "a\\b",
        "ends\\",
        "'single'",
        "${X:-y}",
        "# no comment",
        "",
        "é",
    ]
    image = Image(SLIM, ("handler.py",), tuple((f"V{n}", v) for n, v in enumerate(values)))
    found = [variables(i) for i in parse(render_dockerfile(image)) if i.word == "ENV"]
    assert [value for one in found for value in one.values()] == values


# -- hostile values -----------------------------------------------------------------------------

BITS = [
    "\n", "\r", "\r\n", "\u2028", "\x85", "\x0b", "\0", ";", "$(id)", "`id`", "${X:-y}", "$X", "--index-url http://x",
    "--extra-index-url=http://x", "-r other.txt", "-e .", " @ git+ssh://x/y", "'", '"', '\\"', "\\", "\\\n",
    "# syntax=evil/frontend:1", "# escape=`", "RUN id", "\nRUN id", "\nUSER root", "FROM scratch", "<<EOF", "&& id",
    "|", ">", "<", "*", "?", "[", "]", "{", "}", "~", "!", "#", " ", "\t", "a", "é", "\u202e", "\ud800", "=", ",", "x" * 3000,
    "http://x/y", "file:///etc/passwd", "../..", "/etc/passwd", "%s", "\x1b[2J", "--mount=type=secret", "--from=x",
]  # fmt: skip
PLAIN = {
    "env": "VALUE", "name": "NAME", "base_image": "python:3.11-slim", "packages": "ffmpeg",
    "requirements": "numpy", "command": "python",
}  # fmt: skip


def hostile(rng: random.Random, kind: str) -> str:
    parts = [rng.choice(BITS) for _ in range(rng.randint(1, 3))]
    if rng.random() < 0.7:
        parts.insert(rng.randint(0, len(parts)), PLAIN[kind])
    return "".join(parts)


def test_hostile_values_add_no_instruction_and_no_option() -> None:
    seed = 9
    rng = random.Random(seed)
    expected = ["FROM", "WORKDIR", "ENV", "RUN", "COPY", "RUN", "RUN", "COPY", "USER", "CMD"]
    outcomes = {"refused": 0, "written": 0}
    sentences: list[str] = []
    for number in range(360):
        kind = list(PLAIN)[number % len(PLAIN)]
        value = hostile(rng, kind)
        given: dict[str, object] = {
            "env": {"A": "b"},
            "packages": ["git"],
            "base_image": "python:3.11-slim",
        }
        if kind == "env":
            given["env"] = {"A": value}
        elif kind == "name":
            given["env"] = {value: "b"}
        elif kind in ("packages", "requirements"):
            given[kind] = [value]
        elif kind == "command":
            given[kind] = ["python", value]
        else:
            given[kind] = value
        try:
            choices = choose(**given)  # type: ignore[arg-type]
        except UsageError as exc:
            outcomes["refused"] += 1
            sentences.append(str(exc))
            continue
        outcomes["written"] += 1
        base = chosen(choices.base_image)
        base = Base(base.image, slim=True)
        image = Image(
            base, ("handler.py",), choices.env, choices.packages, command=choices.command
        )  # fmt: skip
        found = parse(render_dockerfile(image))
        assert [i.word for i in found] == expected, f"seed {seed}: {kind} {value!r}"
        assert found[-1].json == list(choices.command)
        if kind == "env":
            assert variables(found[2]) == {"A": value}, f"seed {seed}: {value!r}"
        for wish in choices.requirements:
            line = wish.text
            assert not line.startswith("-")
            assert "://" not in line
            assert line.isprintable()
    assert outcomes["refused"] > 150
    assert all(sentence.isprintable() for sentence in sentences)
    assert outcomes["written"] > 30, outcomes


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"files": ["handler"]}, "a bundle has no part 'handler'"),
        ({"files": 3}, "files takes strings"),
        ({"base_image": "python:3.11 AS x"}, "is no name of an image"),
        ({"base_image": "--platform=x"}, "is no name of an image"),
        ({"env": {"A B": "1"}}, "is no name of an environment variable"),
        ({"env": {"A": "1\nUSER root"}}, "has a value that is not one line"),
        ({"env": {"A": 3}}, "has a value that is not one line"),
        ({"env": {"T": "hf_AbCdEfGhIjKlMnOpQrStUvWxYz01234567"}}, "looks like a key"),
        ({"packages": ["ffmpeg;id"]}, "no name of a Debian package"),
        ({"packages": [3]}, "packages takes strings"),
        ({"requirements": ["-r x"]}, "is no requirement"),
        ({"requirements": ["x @ git+https://example.org/y"]}, "names a URL"),
        ({"command": [""]}, "is not one line"),
    ],
)
def test_a_choice_that_is_none_is_refused_by_name(given: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        choose(**given)  # type: ignore[arg-type]
    assert said in str(refused.value)
    assert "hf_AbC" not in str(refused.value)


def test_choices_that_are_fine() -> None:
    assert choose().files == set(PARTS)
    assert choose(files=[]).files == set()
    assert choose(files="dockerfile").files == {"dockerfile", "requirements"}
    made = choose(
        base_image="registry.example.org:5000/a/b_c/d-e:1.0_x@sha256:" + "a" * 64,
        env={"EMPTY": "", "UML": "é"},
        packages=("libgl1", "g++", "git=1:2.39.2-1.1"),
        requirements=("torch>=2,<3", "uvicorn[standard]"),
    )
    assert json.dumps(made.env) == json.dumps([["EMPTY", ""], ["UML", "é"]])
    assert [wish.text for wish in made.requirements] == ["torch<3,>=2", "uvicorn[standard]"]
