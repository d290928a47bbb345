"""Cookies and headers are read as Starlette reads them."""

import pytest
from starlette.requests import Request

from wardgate.web.access import requested_host
from wardgate.web.asking import PageRequest, headers_named

COOKIES = (
    ["a=b"],
    ["a=b; c=d"],
    ["a=b;c=d;"],
    ["  a = b ;; c=d=e ; f"],
    ["a=b; a=c"],
    ["a=b", "a=c; d=e"],
    ["f; =g; ="],
    [""],
    ['a="b c"; d=e'],
    ['a="\\054\\"b"; c="'],
    ["a=\xe9; \xa0b\xa0=\x85c"],
    [],
)


def asked(*headers: tuple[bytes, bytes], kind: type[Request] = PageRequest) -> Request:
    return kind({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": list(headers)})


@pytest.mark.parametrize("lines", COOKIES)
def test_cookies_are_those_of_starlette(lines: list[str]) -> None:
    headers = [(b"host", b"a=b"), *((b"cookie", line.encode("latin-1")) for line in lines)]
    ours, theirs = asked(*headers), asked(*headers, kind=Request)
    assert list(ours.cookies.items()) == list(theirs.cookies.items())
    assert ours.cookies is ours.cookies


def test_all_values_of_a_header_are_told_in_their_order() -> None:
    request = asked((b"accept", b"a"), (b"host", b"\xe9"), (b"accept", b"b"))
    assert [headers_named(request, name) for name in (b"accept", b"host", b"cookie")] == [["a", "b"], ["é"], []]


@pytest.mark.parametrize(
    ("hosts", "name"),
    [
        ([b"Login.Acme.Test:8443"], "login.acme.test"),
        ([b"login.acme.test."], "login.acme.test"),
        ([b"[::1]:8443"], "::1"),
        ([b"[::1"], ""),
        ([b"evil.test/@login.acme.test"], "evil.test"),
        ([b"login.acme.test", b"login.acme.test"], ""),
        ([], ""),
    ],
)
def test_the_host_is_the_one_that_was_named_once(hosts: list[bytes], name: str) -> None:
    for _ in range(2):
        assert requested_host(asked(*((b"host", each) for each in hosts))) == name
