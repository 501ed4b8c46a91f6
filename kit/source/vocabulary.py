"""The words by which calls are told apart: what looks, what changes, what sets up the process.

Lists are always short; whatever is in none of them is kept or dropped as a question, and said.
"""

from __future__ import annotations

#: methods that only look, whatever the object
LOOKS = {
    "all", "any", "corr", "count", "critical", "debug", "decode", "describe", "display", "draw",
    "error", "exception", "exists", "explain", "flush", "format", "head", "hist", "imshow",
    "index", "info", "is_dir", "is_file", "item", "items", "keys", "log", "max", "mean",
    "memory_usage", "min", "nunique", "plot", "predict", "predict_proba", "print", "read_text",
    "repr", "sample", "savefig", "scatter", "score", "show", "sleep", "startswith", "stat", "std",
    "sum", "summary", "tail", "tolist", "unique", "value_counts", "values", "var", "warning",
    "write",
}  # fmt: skip
#: methods that change their object although their value is kept: ``history = model.fit(x, y)``
_CHANGES = {
    "add", "add_special_tokens", "add_tokens", "append", "apply", "bfloat16", "build", "clear",
    "compile", "connect", "cpu", "cuda", "discard", "eval", "extend", "fit", "fit_transform",
    "float", "freeze", "fuse_lora", "half", "init", "insert", "load", "load_lora_weights",
    "load_state_dict", "load_weights", "mount", "open", "partial_fit", "pop", "popitem",
    "prepare", "push", "quantize", "register", "remove", "requires_grad_", "reset", "set", "resize_token_embeddings",
    "setdefault", "setup", "sort", "start", "to", "train", "update", "warmup",
}  # fmt: skip
_CHANGES_BY_VERB = ("add", "disable", "enable", "load", "register", "set", "start")
#: process-wide settings of the standard library and dotenv; they stay whoever needs them
_SETTINGS = (
    "atexit.register", "builtins", "dotenv", "faulthandler.enable", "gc.disable", "gc.enable",
    "gc.freeze", "gc.set_threshold", "locale.setlocale", "logging.addLevelName", "logging.basicConfig",
    "logging.root", "logging.captureWarnings", "logging.config", "logging.disable",
    "logging.getLogger", "logging.setLoggerClass", "multiprocessing.set_start_method",
    "os.chdir", "os.environ", "os.putenv", "os.umask", "os.unsetenv", "resource.setrlimit",
    "signal.signal", "socket.setdefaulttimeout", "sys.argv", "sys.excepthook", "sys.modules", "sys.path",
    "sys.setrecursionlimit", "sys.stderr", "sys.stdout",
    "warnings.filterwarnings", "warnings.simplefilter", "warnings.resetwarnings",
)  # fmt: skip
#: the same of libraries: they stay where the library is needed anyway
_LIBRARY_SETTINGS = {
    "config", "configure", "enable_eager_execution", "install", "login", "manual_seed",
    "manual_seed_all", "seed", "seed_everything", "use", "use_deterministic_algorithms",
}  # fmt: skip
#: verbs of library functions that are called for what they do, not for what they return
_ACTS = (
    "add", "apply", "call", "check", "compile", "configure", "copy", "disable", "download",
    "empty_cache", "enable", "ensure", "extract", "hf_hub_download", "init", "install", "load",
    "login", "make", "maybe", "mkdir", "monkey", "mount", "move", "patch", "popen", "prepare",
    "register", "run", "seed", "set", "setup", "snapshot", "start", "symlink", "system", "unpack",
    "unzip", "urlretrieve", "use", "wait", "warm",
)  # fmt: skip
#: those that give something when their value is kept: ``digits = load_digits()``
_GIVES = ("apply", "check", "compile", "copy", "init", "load", "make", "prepare", "use")


#: packages that are used for what they do to the machine, or to wait for something
_OUTSIDE = {
    "aiohttp", "boto3", "gdown", "httpx", "huggingface_hub", "requests", "shutil", "socket",
    "subprocess", "urllib", "wget",
}  # fmt: skip


def changes(method: str) -> bool:
    """Whether a method, by its name, changes its object."""
    if method in _CHANGES:
        return True
    # add_tokens, setLevel, but not settle
    return any(
        method.startswith(verb)
        and (method[len(verb) :][:1] == "_" or method[len(verb) :][:1].isupper())
        for verb in _CHANGES_BY_VERB
    )


def setting_of(origin: str) -> tuple[str, bool]:
    """The setting a dotted call makes (``""`` if none), and whether its library must be needed."""
    for known in _SETTINGS:
        if origin == known or origin.startswith(known + "."):
            return origin, False
    parts = origin.split(".")
    if len(parts) > 1 and (
        parts[-1] in _LIBRARY_SETTINGS
        or parts[-1].startswith(("set_", "register", "disable_", "enable_"))
    ):
        return origin, True
    return "", False


def acts(function: str, *, bare: bool = True) -> bool:
    """Whether a library function is, by its name, called for what it does.

    Parameters
    ----------
    function : str
    bare : bool
        Whether its value is thrown away; one whose value is kept may have been called for that.
    """
    word = function.lower().lstrip("_")
    return word.startswith(_ACTS) and (bare or not word.startswith(_GIVES))


def reaches_out(origin: str) -> bool:
    """Whether a library function may be called for what it does outside of the process."""
    return origin.partition(".")[0] in _OUTSIDE


def registers(origin: str) -> bool:
    """Whether a function registers something for everybody: ``register_heif_opener()``."""
    return origin.rpartition(".")[2].startswith("register")
