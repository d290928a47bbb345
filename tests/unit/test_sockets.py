"""Binding sockets: what the server promises it listens on."""

import errno
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from wardgate.errors import ServerUnavailable
from wardgate.settings import HttpsListenerSettings, RadiusListenerSettings, StartSettings
from wardgate.sockets import bind_sockets, can_share, share_out


def settings(**radius: object) -> StartSettings:
    base = {"addresses": ("127.0.0.1",), "port": 0, "accounting_port": 0}
    return StartSettings(
        radius=RadiusListenerSettings(**{**base, **radius}),  # type: ignore[arg-type]
        https=HttpsListenerSettings(address="127.0.0.1", port=0),
    )


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def test_port_zero_takes_free_ports_and_says_which() -> None:
    sockets = bind_sockets(settings(), next_free=False)
    try:
        assert sockets.radius_address[0] == "127.0.0.1"
        assert 0 < sockets.radius_address[1] != sockets.accounting_port > 0
    finally:
        sockets.close()


def test_ipv6_listens_on_the_same_ports_as_ipv4() -> None:
    sockets = bind_sockets(settings(addresses=("127.0.0.1", "::1")), next_free=False)
    try:
        assert {pair[0].getsockname()[1] for pair in sockets.radius} == {sockets.radius_address[1]}
    finally:
        sockets.close()


def test_a_port_that_the_system_chose_and_that_ipv6_has_taken_is_chosen_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bind, taken = socket.socket.bind, 0

    def taken_twice(self: socket.socket, address: tuple[str, int]) -> None:
        nonlocal taken
        if address[0] == "::1" and address[1] and taken < 2:
            taken += 1
            raise OSError(errno.EADDRINUSE, "Address already in use")
        bind(self, address)

    monkeypatch.setattr(socket.socket, "bind", taken_twice)
    sockets = bind_sockets(settings(addresses=("127.0.0.1", "::1")), next_free=False)
    sockets.close()
    assert taken == 2


def test_a_taken_port_is_named_and_nothing_stays_bound(taken: int) -> None:
    with pytest.raises(ServerUnavailable, match=f"port {taken} is taken.*radius.port"):
        bind_sockets(settings(port=taken), next_free=False)


def test_the_demo_takes_the_next_free_port(taken: int) -> None:
    sockets = bind_sockets(settings(port=taken), next_free=True)
    try:
        assert taken < sockets.radius_address[1] < taken + 50
    finally:
        sockets.close()


def test_a_second_server_cannot_share_the_packets_of_the_first() -> None:
    first = bind_sockets(settings(), next_free=False)
    try:
        port = first.radius_address[1]
        with pytest.raises(ServerUnavailable, match="taken by another program"):
            bind_sockets(settings(port=port), next_free=False)
    finally:
        first.close()


def test_no_radius_addresses_means_no_radius() -> None:
    sockets = bind_sockets(settings(addresses=()), next_free=False)
    try:
        assert sockets.radius == ()
        assert sockets.radius_address == ("", 0)
    finally:
        sockets.close()


def test_a_low_port_without_the_right_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(ServerUnavailable, match="CAP_NET_BIND_SERVICE"):
        bind_sockets(replace(settings(), radius=RadiusListenerSettings(addresses=())), next_free=False)


@pytest.mark.skipif(not can_share(), reason="this system hands all packets of a port to one socket")
def test_several_workers_share_the_packets_and_connections_of_the_same_ports() -> None:
    sets = share_out(bind_sockets(settings(addresses=("127.0.0.1", "::1")), next_free=False), 3)
    try:
        assert len({each.radius_address for each in sets}) == len({each.accounting_port for each in sets}) == 1
        assert len({each.urls for each in sets}) == 1
        first = [each.radius[0][0] for each in sets]
        for _ in range(200):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
                asker.sendto(b"packet", sets[0].radius_address)
        heard = [_waiting(sock) for sock in first]
        assert sum(heard) == 200
        assert all(heard)
    finally:
        for each in sets:
            each.close()


def _waiting(sock: socket.socket) -> int:
    sock.setblocking(False)
    for count in range(1000):
        try:
            sock.recv(100)
        except BlockingIOError:
            return count
    return 1000


@pytest.mark.skipif(not can_share(), reason="this system hands all packets of a port to one socket")
def test_a_second_server_cannot_take_its_share_of_packets_that_workers_share() -> None:
    """Neither with nor without workers of its own: its first socket asks for the port alone."""
    sets = share_out(bind_sockets(settings(), next_free=False), 2)
    try:
        with pytest.raises(ServerUnavailable, match="taken by another program"):
            share_out(bind_sockets(settings(port=sets[0].radius_address[1]), next_free=False), 2)
    finally:
        for each in sets:
            each.close()


def test_every_listener_with_a_door_is_bound_and_no_other() -> None:
    inside = HttpsListenerSettings(address="127.0.0.1", port=0, doors=("health",))
    closed = replace(settings(), https=HttpsListenerSettings(doors=()), listener=(inside, inside))
    sockets = bind_sockets(closed, next_free=False)
    try:
        assert len(sockets.https) == len(set(sockets.urls)) == 2
    finally:
        sockets.close()
