"""The garbage collector, paused while a program is taken apart."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Pause the collector, which would look through a kernel's whole heap again and again.

    Trees are made by the hundred thousand and none of them is garbage: to look for it was more than
    half of the time. What was made counts as old afterwards, so that the first allocation behind
    the pause does not pay for looking through all of it at once; what of it is in cycles is found
    with the next look at everything.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            if not gc.get_freeze_count():  # else a person has frozen objects, and wants them so
                gc.freeze()
                gc.unfreeze()
            gc.enable()
