"""Numbered parts over a line that drops, repeats and breaks: all there, once, in order."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.targets.pod import frames
from kit.targets.pod.channel import Channel, Part
from kit.targets.pod.frames import V1, Message
from kit.targets.pod.letters import Letter, pack, unpack


def over(source: Channel, sink: Channel, chance: random.Random, trouble: float) -> list[bytes]:
    """One exchange over a bad line."""
    parts: list[Part] = []
    while batch := source.take(50):
        parts += batch
    line: list[Part] = []
    for part in parts:
        if chance.random() < trouble:
            continue
        line += [part] * (2 if chance.random() < trouble else 1)
    got = sink.receive(line)
    if chance.random() > trouble:  # the acknowledgement may be lost as well
        source.acknowledged(sink.received, again=sink.gap)
    return got


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.binary(max_size=100), max_size=40),
    st.integers(1, 30),
    st.integers(10, 200),
    st.integers(),
)
def test_every_message_arrives_once_and_in_order(
    messages: list[bytes], part: int, window: int, seed: int
) -> None:
    chance = random.Random(seed)
    source, sink = Channel(part, window), Channel(part, window)
    got: list[bytes] = []
    for n, message in enumerate(messages, 1):
        source.post(message)
        got += over(source, sink, chance, 0.3)
        left = source.unfinished()  # what another reader would have to be given, whole
        assert left == messages[n - len(left) : n]
        assert n - len(left) <= len(got)
    for _ in range(2_000):
        if not source.unacknowledged:
            break
        if chance.random() < 0.3:  # the connection was another one
            source.acknowledged(sink.received)
            source.rewind()
        got += over(source, sink, chance, 0.3)
        source.acknowledged(sink.received, again=True)
    assert got == messages
    assert source.kept_bytes == 0
    assert not source.pending


def test_a_window_stops_a_side_that_is_not_heard() -> None:
    source = Channel(part_bytes=10, window_bytes=30)
    source.post(b"x" * 100)
    sent = []
    while parts := source.take(1_000):
        sent += parts
    assert len(sent) == 3
    source.acknowledged(2)
    assert [part.seq for part in source.take(1_000)] == [4, 5]


@given(
    st.lists(
        st.builds(
            Letter,
            st.sampled_from(["a", "event"]),
            st.tuples(st.integers(), st.text(), st.none(), st.floats(allow_nan=False)),
            st.one_of(st.none(), st.text(st.characters())),
        )
        | st.builds(Letter, st.just("file"), st.just(()), st.none(), st.binary())
    )
)
def test_letters_come_out_as_they_went_in(letters: list[Letter]) -> None:
    assert unpack(pack(letters)) == letters


@pytest.mark.parametrize("protocol", [V1, None])
@pytest.mark.parametrize("buffers", [(), (b"", b"abc", bytes(300))])
def test_a_frame_is_read_by_the_server_s_own_code_and_back(
    protocol: str | None, buffers: tuple[bytes, ...]
) -> None:
    import json

    from jupyter_server.services.kernels.connection import base

    message = Message("control", "kit_pod", {"a": [1, "ü"]}, buffers)
    frame = frames.encode(message, "session", protocol)
    if protocol == V1:
        channel, parts = base.deserialize_msg_from_ws_v1(frame)
        assert channel == "control"
        assert json.loads(parts[3]) == message.content
        assert tuple(parts[4:]) == buffers
        back = base.serialize_msg_to_ws_v1(parts, channel)
    elif buffers:
        assert isinstance(frame, bytes)
        read = base.deserialize_binary_message(frame)
        assert tuple(read["buffers"]) == buffers
        back = base.serialize_binary_message(read)
    else:
        back = frame
    found = frames.decode(back, protocol)
    assert (found.channel, found.type, found.content) == ("control", "kit_pod", message.content)
    assert found.buffers == buffers
    assert found.id == message.id


@pytest.mark.parametrize("frame", [b"", b"\x01", b"\xff" * 40, "[]", "{}", "x", "null", b"{}"])
def test_what_is_no_frame_is_a_value_error(frame: str | bytes) -> None:
    for protocol in (V1, None):
        with pytest.raises(ValueError):
            frames.decode(frame, protocol)
