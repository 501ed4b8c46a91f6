"""A key that is set, passed or raised shows nowhere; one that stands in a text is found; nothing else is."""

from __future__ import annotations

import base64
import copy
import dataclasses
import inspect
import io
import json
import pickle
import pprint
import random
import string
import time
import traceback
import urllib.parse
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.errors import PayloadError
from kit.payload import encode
from kit.secret import MASK, Secret, SecretHit, find_secrets, redact, strip_request

ROOT = Path(__file__).resolve().parent.parent
SEED = 20261122
#: not shaped like a key of any service: only its value gives it away. Holds what escaping changes
CANARY = 'Zebra "quoted" \\ é/canary+value?x=1&y'


def whole(text: bytes) -> str:
    """Base64 without the end that depends on what follows."""
    return text.decode().rstrip("=")[: -1 if text.endswith(b"=") else None]


def forms(value: str) -> dict[str, str]:
    """How a key may be written somewhere."""
    raw = value.encode()
    return {
        "plain": value,
        "base64": whole(base64.b64encode(raw)),
        "base64 after one byte": whole(base64.b64encode(b"u" + raw))[2:],
        "base64 after two bytes": whole(base64.b64encode(b":u" + raw))[3:],
        "url-safe base64": whole(base64.urlsafe_b64encode(raw)),
        "hex": raw.hex(),
        "HEX": raw.hex().upper(),
        "URL": urllib.parse.quote(value, safe=""),
        "URL path": urllib.parse.quote(value),
        "form": urllib.parse.quote_plus(value),
        "JSON": json.dumps(value)[1:-1],
        "JSON, not ASCII": json.dumps(value, ensure_ascii=False)[1:-1],
        "repr": repr(value)[1:-1],
        "reversed": value[::-1],
    }


@pytest.fixture
def canary(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ZEBRA_API_KEY", CANARY)
    return CANARY


def leaks(text: str, value: str = CANARY) -> list[str]:
    return [name for name, form in forms(value).items() if form in text]


@dataclasses.dataclass
class Target:
    url: str
    token: Secret


def shown(secret: Secret) -> Iterator[tuple[str, str]]:
    """Everything by which a value might show itself."""
    target = Target("https://example.com", secret)
    yield "repr", repr(secret)
    yield "str", str(secret)
    yield "format", f"{secret} {secret!s} {secret!r} {secret:>40} {secret!a}"
    yield "percent", "%s %r" % (secret, secret)  # noqa: UP031
    yield "pprint", pprint.pformat([secret, {"k": secret}])
    yield "dataclass", repr(target)
    yield "asdict", repr(dataclasses.asdict(target))
    yield "members", repr(inspect.getmembers(secret))
    yield "dir", repr(dir(secret))
    yield "class", repr(vars(type(secret)))
    yield "hash", str(hash(secret))
    yield "copies", repr([copy.copy(secret), copy.deepcopy([secret])])
    yield "reduce", repr([object.__dir__(secret), secret.__class__])
    for call in (
        lambda: json.dumps({"a": secret}),
        lambda: encode({"a": secret}),
        lambda: encode({secret: 1}),
        lambda: pickle.dumps(secret),
        lambda: pickle.dumps([secret], 0),
        lambda: vars(secret),
        lambda: setattr(secret, "value", 1),
        lambda: delattr(secret, "_reveal"),
        lambda: secret + "x",  # type: ignore[operator]
        lambda: len(secret),  # type: ignore[arg-type]
        lambda: iter(secret),  # type: ignore[call-overload]
        lambda: bytes(secret),  # type: ignore[call-overload]
        lambda: int(secret),  # type: ignore[call-overload]
        lambda: secret.__getstate__(),
        lambda: Secret(secret),  # type: ignore[arg-type]
        lambda: Secret(CANARY.encode()),  # type: ignore[arg-type]
    ):
        try:
            call()
        except (TypeError, AttributeError, PayloadError):
            yield inspect.getsource(call), traceback.format_exc().replace(repr(CANARY), "")
        else:
            raise AssertionError(f"nothing refused: {inspect.getsource(call)}")


def test_a_secret_shows_its_value_to_reveal_alone() -> None:
    secret = Secret(CANARY)
    assert secret.reveal() == CANARY
    for how, text in shown(secret):
        # source lines of this file in tracebacks hold the name CANARY, not its value
        assert leaks(text) == [], how


def test_secrets_are_compared_by_value() -> None:
    assert Secret("aaaaaaaa") == Secret("aaaaaaaa")
    assert Secret("aaaaaaaa") != Secret("aaaaaaab")
    assert Secret("é" * 8) != "é" * 8
    assert len({Secret("aaaaaaaa"), Secret("aaaaaaaa")}) == 1


def test_a_known_key_is_masked_in_every_form(canary: str) -> None:
    for name, form in forms(canary).items():
        text = f"before {form} after"
        masked = redact(text)
        assert form not in masked, name
        assert masked.startswith("before ")
        assert masked.endswith(" after")
        assert MASK in masked


def test_a_key_is_masked_in_a_traceback_and_in_a_header(canary: str) -> None:
    try:
        raise RuntimeError(f"401 for {canary}", {"key": canary})
    except RuntimeError:
        assert leaks(redact(traceback.format_exc())) == []
    header = "Basic " + base64.b64encode(f"user:{canary}:x".encode()).decode()
    assert leaks(redact(header)) == []
    assert redact(header).startswith("Basic dXNlc")
    body = json.dumps({"a": [canary], "b": {"c": f"x{canary}"}})
    assert json.loads(redact(body)) == {"a": [MASK], "b": {"c": f"x{MASK}"}}


def test_a_live_secret_is_masked_too() -> None:
    text = "it says quite-ordinary-words today"
    secret = Secret("quite-ordinary-words")
    again = Secret("quite-ordinary-words")
    assert redact(text) == f"it says {MASK} today"
    del secret
    assert redact(text) == f"it says {MASK} today"
    del again
    assert redact(text) == text


@pytest.mark.parametrize(
    ("name", "value", "masked"),
    [
        ("RUNPOD_API_KEY", "abcdefgh", True),
        ("HF_TOKEN", "abcdefgh", True),
        ("CLIENT_SECRET", "abcdefgh", True),
        ("DB_PASSWORD", "abcdefgh", True),
        ("PASSWORD", "abcdefgh", True),
        ("aws_secret_access_key", "abcdefgh", True),
        ("PUBLIC_KEY", "ssh-ed25519 AAAA", False),
        ("RUNPOD_POD_ID", "abcdefgh", False),
        ("KEYBOARD", "abcdefgh", False),
        ("TOKENIZERS_PARALLELISM", "abcdefgh", False),
        ("HF_TOKEN", "true", False),
        ("HF_TOKEN", "", False),
    ],
)
def test_which_variables_hold_keys(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, masked: bool
) -> None:
    monkeypatch.setenv(name, value)
    assert (MASK in redact(f"x = {value} and more")) is masked


def test_the_longer_of_two_keys_is_masked_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "abcdefgh")
    monkeypatch.setenv("B_KEY", "abcdefgh-and-the-rest")
    assert redact("<abcdefgh-and-the-rest> <abcdefgh>") == f"<{MASK}> <{MASK}>"


def test_masked_json_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIN_PASSWORD", "12345678")
    monkeypatch.setenv("PEM_KEY", planted()["PEM"])
    value = {"n": [12345678, 0.12345678], "s": "12345678", "u": "a=12345678", "p": planted()}
    masked = json.loads(redact(json.dumps(value)))
    assert masked["n"] == [12345678, 0.12345678]
    assert (masked["s"], masked["u"]) == (MASK, f"a={MASK}")
    torn = json.dumps({"a": "-----BEGIN PRIVATE KEY-----", "b": "MIIE", "c": "-----END X-----"})
    assert json.loads(redact(torn)).keys() == {"a", "b", "c"}


# -- finding ---------------------------------------------------------------------------------------


def planted() -> dict[str, str]:
    """60 keys as they might stand in a cell; made here, valid nowhere."""
    rng = random.Random(SEED)
    alnum = string.ascii_letters + string.digits

    def draw(length: int, letters: str = alnum) -> str:
        return "".join(rng.choice(letters) for _ in range(length))

    def token(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    head, claims = token(b'{"alg":"HS256"}'), token(b'{"sub":"1234567890"}')
    jwt = f"{head}.{claims}.{draw(43)}"
    body = base64.encodebytes(rng.randbytes(600)).decode()
    pem = f"-----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY-----"
    rsa = f"-----BEGIN RSA PRIVATE KEY-----\n{body}-----END RSA PRIVATE KEY-----"
    ssh = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}-----END OPENSSH PRIVATE KEY-----"
    base36 = string.ascii_lowercase + string.digits
    keys = {
        "PEM": pem,
        "PEM in one line": repr(rsa),
        "PEM in pieces": "\n".join(json.dumps(line + "\n") for line in ssh.split("\n")),
        "runpod": f"runpod.api_key = 'rpa_{draw(40)}'",
        "runpod bare": f"rpa_{draw(46, alnum.upper())}",
        "runpod env": f"ENV RUNPOD_API_KEY rpa_{draw(40)}",
        "hf": f"login('hf_{draw(34)}')",
        "hf url": f"https://user:hf_{draw(34)}@huggingface.co/x",
        "hf env": f"export HF_TOKEN=hf_{draw(34)}",
        "openai": f"sk-{draw(48)}",
        "openai project": f'OpenAI(api_key="sk-proj-{draw(40)}_{draw(40)}-{draw(40)}1")',
        "anthropic": f"sk-ant-api03-{draw(90)}1-{draw(6)}AA",
        "aws id": "AKIA" + draw(16, string.ascii_uppercase + string.digits),
        "aws session": "ASIA" + draw(16, string.ascii_uppercase + string.digits),
        "aws secret": f"aws_secret_access_key = {base64.b64encode(rng.randbytes(30)).decode()}",
        "aws python": f'boto3.client(aws_secret_access_key="{draw(40)}")',
        "jwt": f'headers = {{"x": "{jwt}"}}',
        "jwt bearer": f"curl -H 'Authorization: Bearer {jwt}'",
        "bearer": f'{{"Authorization": "Bearer {draw(24)}7"}}',
        "github": f"ghp_{draw(36)}",
        "github app": f"ghs_{draw(36)}",
        "github fine": f"github_pat_{draw(22)}_{draw(59)}",
        "gitlab": f"glpat-{draw(20)}",
        "google": f"AIza{draw(35)}",
        "slack": f"xoxb-{draw(12, string.digits)}-{draw(24)}",
        "stripe": f"sk_live_{draw(24)}",
        "replicate": f"r8_{draw(37)}",
        "groq": f"gsk_{draw(52)}",
        "nvidia": f"nvapi-{draw(64)}",
        "pypi": f"pypi-AgEIcHlwaS5vcmc{draw(60)}",
        "postgres": f"postgresql://app:{draw(11)}4@db.example.com/x",
        "redis": f"redis://:{draw(19)}9@10.0.0.1:6379",
        "proxy": f"HTTPS_PROXY=http://me:{draw(11)}5@proxy:3128",
        "query": f"https://api.example.com/v1?api_key={draw(20)}3",
        "query token": f"https://example.com/hook?x=1&token={draw(16)}8",
        "password": 'db = connect(password="hunter2-Qx9!")',
        "password env": "DB_PASSWORD=v3ry-Quiet",
        "password yaml": "  password: 7Gx!kk-2pQ",
        "password dict": '{"passwd": "9fGh2kLm"}',
        "passphrase": "passphrase = 'm4ple-0range'",
        "secret": f"clientSecret: '{draw(20)}6'",
        "secret default": f'os.environ.get("APP_SECRET", "{draw(15)}2")',
        "secret setdefault": f'os.environ.setdefault("WANDB_API_KEY", "{draw(39)}1")',
        "environ": f'os.environ["CIVITAI_TOKEN"] = "{draw(31, "0123456789abcdef")}a"',
        "wandb": f'wandb.login(api_key="{draw(39, "0123456789abcdef")}b")',
        "camel": f'const apiKey = "{draw(23)}4";',
        "kwarg": f"Client(auth_token='{draw(18)}5')",
        "access key": f'S3(access_key="{draw(19, alnum.upper())}2")',
        "arg": f"ARG SERVICE_KEY={draw(20)}7",
        "comment": f"# token: '{draw(24)}8'",
    }
    keys |= {
        "random 32": f'x = "{draw(32)}"',
        "random 40": draw(40),
        "random 64": f"FOO={draw(64)}",
        "random 43 url-safe": f'["{token(rng.randbytes(32))}"]',
        "random base64": f"  - {base64.b64encode(rng.randbytes(32)).decode()}",
        "random base64 48": f"'{base64.b64encode(rng.randbytes(48)).decode()}'",
        "random small": f'header = "x-{draw(44, base36)}"',
        "random capitals": draw(44, base36.upper()),
        "random letters": f"print('{draw(48, string.ascii_letters)}')",
        "random in f-string": f'f"{{base}}/{draw(36)}"',
    }
    return keys


def test_sixty_planted_keys_are_found_and_none_is_repeated() -> None:
    keys = planted()
    assert len(keys) == 60
    missed = [name for name, text in keys.items() if not find_secrets(text)]
    assert missed == []
    lines = ["import runpod", ""]
    wanted = {}
    for name, text in keys.items():
        wanted[name] = len(lines) + 1
        lines += [*text.split("\n"), "", "value = 1", ""]
    hits = find_secrets("\n".join(lines))
    found = {hit.line for hit in hits}
    assert {name for name, line in wanted.items() if line not in found} == set()
    for hit in hits:
        assert hit.kind
        assert not any(hit.kind in text for text in keys.values())
    # nothing but the planted lines
    spans = {n for name, line in wanted.items() for n in range(line, line + keys[name].count("\n") + 1)}  # fmt: skip
    assert found <= spans


def test_a_known_key_is_found_in_every_form(canary: str) -> None:
    for name, form in forms(canary).items():
        assert SecretHit(2, "the value of ZEBRA_API_KEY", True) in find_secrets(f"x\n{form}\n"), (
            name
        )
    assert "Zebra" not in repr(find_secrets(canary))


def test_shapes_are_masked_too() -> None:
    for name in ("runpod", "hf", "openai", "aws id", "jwt", "github", "PEM", "postgres", "bearer"):
        text = planted()[name]
        assert MASK in redact(text), name
        key = max(text.replace("'", " ").replace('"', " ").split(), key=len)
        assert key not in redact(text), name


def png_lines() -> str:
    rng = random.Random(SEED)
    return base64.encodebytes(rng.randbytes(2000)).decode()


CLEAN = [
    *(f"# {uuid.UUID(int=random.Random(n).getrandbits(128))}" for n in range(50)),
    *(f'commit = "{random.Random(n).randbytes(20).hex()}"' for n in range(50)),
    *(f"sha256:{random.Random(n).randbytes(32).hex()}" for n in range(50)),
    *(
        f'"integrity": "sha512-{base64.b64encode(random.Random(n).randbytes(64)).decode()}"'
        for n in range(20)
    ),
    'token = "' + str(uuid.UUID(int=7**40)) + '"',
    "https://github.com/runpod/runpod-python/commit/4f433773141d2eb384325714a2776bcc5b2e20f7",
    "github.com/pandas-dev/pandas/blob/4f433773141d2eb384325714a2776bcc5b2e20f7/pandas/core/frame.py",
    "https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/resolve/main/sd_xl_base_1.0.safetensors",
    "https://user@example.com:8080/a/b?page_token=abc&limit=10#frag-12345678",
    "http://user:password@localhost:5432/db",
    "docker pull ghcr.io/runpod-workers/worker-vllm:stable-cuda12.1.0",
    'data = "data:application/octet-stream;base64,AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUm"',
    'pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="',
    'pixel = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"',
    'ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"',
    'BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"',
    'api_key = os.environ["RUNPOD_API_KEY"]',
    'api_key = os.environ.get("OPENAI_API_KEY", "")',
    "token = tokenizer.convert_ids_to_tokens(output[0])",
    'api_key = "YOUR_API_KEY_HERE"',
    'client = OpenAI(api_key="EMPTY", base_url="http://localhost:8000/v1")',
    'headers = {"Authorization": f"Bearer {token}"}',
    'tokenizer = AutoTokenizer.from_pretrained("mistralai/Mistral-7B-Instruct-v0.2", token=hf_token)',
    'pad_token = "<|reserved_special_token_250|>"',
    'max_tokens = 4096; eos_token="</s>"; key = lambda pair: pair[1]',
    'sort_key = "created_at_2"; primary_key = "user_id_1"; cache_key = f"{model}-{seed}"',
    "model = StableDiffusionXLControlNetInpaintPipeline.from_pretrained(path)",
    "x = Qwen2VLForConditionalGeneration7BInstruct4bitQuantized(config)",
    "from_pretrained('Mixtral-8x7B-Instruct-v0.1-GPTQ-4bit-32g-actorder_True')",
    "def test_that_a_very_long_name_with_2_numbers_in_it_1234_is_no_key(): pass",
    "/opt/venv/lib/python3.11/site-packages/torch/nn/modules/module.py",
    "/workspace/models/checkpoints/v1-5-pruned-emaonly-fp16-2024.safetensors",
    "-----BEGIN CERTIFICATE-----",
    'PEM_START = b"-----BEGIN OPENSSH PRIVATE KEY-----"',
    "ask-me-anything-about-sk-learn-and-its-many-estimators-1",
    "hf_hub_download(repo_id='gpt2'); hf_transfer; rpa_job; AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9 is only the head of a token",
    'password = getpass.getpass("password: ")',
    'PASSWORD = ""; SECRET = None; token: str = ""',
    "0123456789" * 10,
    "=" * 79,
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  model.safetensors",
    "torch==2.4.1+cu121 --hash=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
]


@pytest.mark.parametrize("text", CLEAN)
def test_ordinary_lines_hold_no_keys(text: str) -> None:
    assert find_secrets(text) == []


def test_pictures_in_base64_hold_no_keys() -> None:
    image = pytest.importorskip("PIL.Image")
    rng = random.Random(SEED)
    for width in (1, 2, 3, 5, 9, 20, 60):
        for kind in ("PNG", "JPEG", "GIF", "WEBP"):
            picture = image.frombytes("L", (width, width), rng.randbytes(width * width))
            made = io.BytesIO()
            picture.save(made, kind)
            text = base64.b64encode(made.getvalue()).decode()
            lines = base64.encodebytes(made.getvalue()).decode()
            assert find_secrets(f'image = "{text}"') == []
            assert find_secrets(f'{{"image/png": "{text}"}}') == []
            assert find_secrets(json.dumps({"input": {"image": text}})) == []
            if len(lines) > 160:
                assert find_secrets(f'image = """\n{lines}"""') == []
                assert find_secrets(json.dumps(lines.splitlines(keepends=True), indent=1)) == []
                assert find_secrets("(\n" + "\n".join(f'    b"{x}"' for x in lines.split()) + "\n)") == []  # fmt: skip


def test_what_we_ship_holds_no_keys() -> None:
    rooms = [ROOT / name for name in ("kit", "notebooks", "benchmarks", "binder")]
    files = [*ROOT.glob("*.*"), *(path for room in rooms for path in room.rglob("*.*"))]
    looked = 0
    for path in files:
        if path.suffix in (".py", ".js", ".css", ".md", ".toml", ".ipynb", ".yml", ".txt"):
            if not any(part.startswith(".") for part in path.relative_to(ROOT).parts):
                assert find_secrets(path.read_text(encoding="utf-8")) == [], path.name
                looked += 1
    assert looked > 20


def test_a_long_line_takes_no_long_time() -> None:
    for unit in ("A", "aB3", "x=", "b", "token=", "://", "sk-", "eyJ", "-----BEGIN ", "'", "a:b@"):
        text = unit * (1_000_000 // len(unit))
        began = time.thread_time()
        find_secrets(text)
        redact(text)
        assert time.thread_time() - began < 5, unit


# -- requests --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("webhook", "kept"),
    [
        ("https://example.com/hook?token=abc", "https://example.com/hook"),
        ("https://user:pass@example.com:8443/hook#x", "https://example.com:8443/hook"),
        ("https://user@example.com", "https://example.com"),
        ("https://a@b@example.com/x", "https://example.com/x"),
        ("https://[::1]:80/x?y", "https://[::1]:80/x"),
        (f"https://example.com/rpa_{'a1' * 20}/x", f"https://example.com/{MASK}/x"),
        ("https://[broken", None),
        ("not a url", None),
        ("", None),
        (7, None),
        ({"url": "https://example.com"}, None),
    ],
)
def test_of_a_webhook_only_the_address_is_kept(webhook: Any, kept: str | None) -> None:
    request = {"input": {"a": 1}, "webhook": webhook}
    expected = {"input": {"a": 1}} if kept is None else {"input": {"a": 1}, "webhook": kept}
    assert strip_request(request) == expected
    assert request["webhook"] == webhook


def test_s3_config_is_not_kept() -> None:
    s3 = {"accessId": "a", "accessSecret": "b", "bucketName": "c", "endpointUrl": "d"}
    request = {"id": "1", "input": {"s3Config": "the input's own"}, "s3Config": s3, "policy": {}}
    before = copy.deepcopy(request)
    assert strip_request(request) == {
        "id": "1",
        "input": {"s3Config": "the input's own"},
        "policy": {},
    }
    assert request == before
    assert strip_request({"input": 1, "S3config": s3, "webhook": None}) == {
        "input": 1,
        "webhook": None,
    }
