"""The log's last processor hides what must not be read, whatever the caller thought."""

import pytest

from wardgate.crypto import Secret
from wardgate.logs import HIDDEN, hide_secrets


@pytest.mark.parametrize("name", ["password", "Password", "secret", "handle", "state", "bearer", "authorization", "cookie"])
def test_a_value_under_a_secret_name_never_reaches_the_log(name: str) -> None:
    assert hide_secrets(None, "info", {"event": "x", name: "hunter2"}) == {"event": "x", name: HIDDEN}


@pytest.mark.parametrize("value", [Secret("hunter2"), b"hunter2"])
def test_a_secret_or_bytes_never_reach_the_log(value: object) -> None:
    assert hide_secrets(None, "info", {"event": "x", "detail": value})["detail"] == HIDDEN


def test_a_one_time_code_is_hidden_and_an_error_code_is_not() -> None:
    assert hide_secrets(None, "info", {"code": "123456"})["code"] == HIDDEN
    assert hide_secrets(None, "info", {"code": 123456})["code"] == HIDDEN
    assert hide_secrets(None, "info", {"code": "storage_full"})["code"] == "storage_full"
