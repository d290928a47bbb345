"""What the demo says of itself."""

import io

import pytest
from rich.console import Console

from wardgate.cli.demo_table import show_demo


def shown(host: str) -> str:
    radius = {"host": host, "port": 1812, "acct_port": 1813, "secret": "s3cret", "message_authenticator": "accept_missing"}
    told = {"radius": radius, "https": {"url": "https://127.0.0.1:8443"}, "outbox_url": "-", "admin_url": "-", "users": []}
    out = io.StringIO()
    show_demo(told, Console(file=out, highlight=False, soft_wrap=True))
    return out.getvalue()


@pytest.mark.parametrize(("host", "local"), [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("192.0.2.5", False)])
def test_it_says_this_machine_only_where_that_is_true(host: str, local: bool) -> None:
    assert ("is serving on this machine only" in shown(host)) == local
    assert ("open on this machine only" in shown(host)) != local
