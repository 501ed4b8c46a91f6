"""How patient a connection to a pod is, who speaks over it, and what the pod says of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient a connection is, in seconds.

    Attributes
    ----------
    beat_s : float
        Between two pings; without an answer for half of that the connection counts as dropped.
    first_s, longest_s : float
        Waiting before the first and, doubled each time, before later tries to connect again.
    lease_s : float
        How long jobs wait for the pod before they are LOST.
    answer_s : float
        How long the pod's kernel may take to answer.
    """

    beat_s: float = 10.0
    first_s: float = 0.05
    longest_s: float = 5.0
    lease_s: float = 60.0
    answer_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Who:
    """Which notebook speaks.

    Attributes
    ----------
    owner : str
        Of this process; secret enough that nobody meets it by chance.
    identity : str
        The same for every kernel of one notebook on one machine.
    words : str
        For the sentence that another notebook reads.
    share : bool
    """

    owner: str
    identity: str
    words: str
    share: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What the pod says of itself."""

    python: str
    pid: int
    folder: str
    runpod: bool
