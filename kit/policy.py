"""``policy`` of a request: how long a job may run, and how long it may exist at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kit.errors import UsageError

#: documented defaults and ranges, in milliseconds
EXECUTION_TIMEOUT_MS = 600_000
TTL_MS = 86_400_000
_WEEK_MS = 7 * 86_400_000
_RANGES = {"executionTimeout": (5_000, _WEEK_MS), "ttl": (10_000, _WEEK_MS)}


@dataclass(frozen=True, slots=True)
class Policy:
    """What a request asks for itself.

    Attributes
    ----------
    execution_timeout_s : float or None
        Seconds in the handler after which the job is TIMED_OUT; None if the request does not say.
    ttl_s : float or None
        Seconds from submission, queue included, after which the job is deleted, running or not.
    low_priority : bool
        Whether the job starts no further worker.
    """

    execution_timeout_s: float | None = None
    ttl_s: float | None = None
    low_priority: bool = False


NONE = Policy()


def policy_of(request: Mapping[str, Any]) -> Policy:
    """The policy of a request.

    Raises
    ------
    UsageError
        It is not a dict, or a value is outside RunPod's documented range.
    """
    given = request.get("policy")
    if given is None:
        return NONE
    if not isinstance(given, Mapping):
        raise UsageError(f"policy is a {type(given).__name__}; give an object.")
    return Policy(
        execution_timeout_s=_seconds(given, "executionTimeout"),
        ttl_s=_seconds(given, "ttl"),
        low_priority=bool(given.get("lowPriority", False)),
    )


def _seconds(given: Mapping[str, Any], name: str) -> float | None:
    value = given.get(name)
    if value is None:
        return None
    low, high = _RANGES[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise UsageError(
            f"policy.{name} is {value!r}; RunPod takes milliseconds from {low:,} to {high:,}."
        )
    return float(value) / 1000
