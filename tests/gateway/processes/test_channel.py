"""Messages between a supervisor and a worker."""

from __future__ import annotations

import socket

from hypothesis import given
from hypothesis import strategies as st

from multirouter.gateway.workers.channel import Channel


@given(st.lists(st.binary(max_size=5), max_size=5))
def test_messages_arrive_in_order(messages: list[bytes]) -> None:
    """Each message arrives whole and once, however many are read together."""
    one, other = Channel.pair()
    for message in messages:
        one.send(message)
    assert other.receive() == messages
    assert other.receive() == []
    assert not other.closed
    one.close()
    other.close()


def test_large_message_does_not_block() -> None:
    """What the socket does not take at once is sent by `flush`, while the other end reads."""
    one, other = Channel.pair()
    message = b"x" * 5_000_000
    one.send(message)
    one.send("after it")
    assert one.unsent
    received: list[object] = []
    while one.unsent:
        received += other.receive()
        one.flush()
    received += other.receive()
    assert received == [message, "after it"]
    one.close()
    other.close()


def test_split_message_is_read_when_complete() -> None:
    """A message that arrives byte by byte is returned with its last byte."""
    raw, end = socket.socketpair()
    channel = Channel(end)
    copy, sent = Channel.pair()
    copy.send({"a": 1})
    data = sent._socket.recv(1000)
    for byte in data[:-1]:
        raw.send(bytes([byte]))
        assert channel.receive() == []
    raw.send(data[-1:])
    assert channel.receive() == [{"a": 1}]
    for one in (raw, channel, copy, sent):
        one.close()


def test_end_of_the_other_process() -> None:
    """What it sent before it ended is received; what is sent to it is dropped."""
    one, other = Channel.pair()
    one.send("last words")
    one.close()
    assert other.receive() == ["last words"]
    assert other.closed
    other.send("x" * 1_000_000)
    assert not other.unsent
    assert other.receive() == []
    other.close()
