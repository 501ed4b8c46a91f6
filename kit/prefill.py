"""What an input editor begins with: a job's input, the last one, or what the handler reads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kit.errors import UsageError
from kit.events import JobKey
from kit.reads import Prefill, reads_of
from kit.request import is_request

if TYPE_CHECKING:
    from kit.session import Session

_START = '{"input": '


def prefill(session: Session, handler: str, key: JobKey | None) -> Prefill:
    """See ``kit.controls.Controls.prefill``."""
    reads = reads_of(session.handler(handler).function)
    if key is not None:
        view = session.view(key)
        if view.request is None:
            raise UsageError(
                f"the request of job {view.id} is no longer stored (payload cap): write the input "
                "anew."
            )
        withheld = any(note.code == "K222" for note in view.findings)
        return Prefill(_input_of(view.request), "job", withheld, reads)
    last = session.intake.last(handler)
    if last is not None:
        return Prefill(_input_of(last.stored), "last", last.withholds, reads)
    if not reads.fields:  # no source to read: the example was made when the cell ran
        return Prefill(session.handler(handler).info.example, "reads", False, reads)
    return Prefill(json.dumps(reads.example(), ensure_ascii=False), "reads", False, reads)


def _input_of(request: str) -> str:
    """JSON text of the input, or of the whole request if there is more in it than that."""
    if request.startswith(_START):
        value, end = json.JSONDecoder().raw_decode(request, len(_START))
        # an input that reads like a request would be taken for one
        if request[end:] == "}" and not is_request(value):
            return request[len(_START) : end]
    fields = json.loads(request)
    rest = {name: value for name, value in fields.items() if name != "id"}
    return json.dumps(rest, ensure_ascii=False)
