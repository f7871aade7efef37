"""Frames between parent and worker."""

import socket

from hypothesis import given
from hypothesis import strategies as st

from kube_proxy.dataplane.messages import Backends, Frames, Mark, OrderReader, PortSettings, Serve, Stop, frame


@given(st.lists(st.integers(1, 40), max_size=30))
def test_frames_do_not_depend_on_how_they_are_read(cuts: list[int]) -> None:
    orders = [Serve(1, "ns/a", "TCP", PortSettings()), Backends(1, (("10.1.0.1", 80),)), Stop(1), Mark(7)]
    data = b"".join(map(frame, orders))
    frames, frames_read = Frames(), []
    for cut in [*cuts, len(data)]:
        frames_read += list(frames.feed(data[:cut]))
        data = data[cut:]
    assert frames_read == [frame(order)[4:] for order in orders]


def test_each_port_gets_its_own_descriptor_and_the_end_is_seen() -> None:
    parent, worker = socket.socketpair()
    first, second = socket.socket(), socket.socket()
    with parent, worker, first, second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        socket.send_fds(parent, [frame(Serve(1, "ns/a", "TCP", PortSettings()))], [first.fileno()])
        parent.send(frame(Backends(1, ())))
        socket.send_fds(parent, [frame(Serve(2, "ns/b", "UDP", PortSettings(60)))], [second.fileno()])
        parent.shutdown(socket.SHUT_WR)
        reader, orders = OrderReader(worker), []
        while (some := reader.read()) is not None:
            orders += some
    assert [order for order, _ in orders] == [
        Serve(1, "ns/a", "TCP", PortSettings()), Backends(1, ()), Serve(2, "ns/b", "UDP", PortSettings(60))
    ]  # fmt: skip
    assert [fd is None for _, fd in orders] == [False, True, False]
    for fd in (orders[0][1], orders[2][1]):
        assert fd is not None
        socket.socket(fileno=fd).close()
