"""What an operator reads when PostgreSQL is not there: the words of the system or of the server."""

import errno
import socket

import asyncpg
import pytest

from wardgate.storage.postgres_connection import unavailable


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('192.0.2.1', 5432)"), "connection refused"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "name or service not known"),
        (asyncpg.CannotConnectNowError("the database system is starting up\nmore"), "the database system is starting up"),
        (ConnectionResetError(), "ConnectionResetError"),
        (asyncpg.InterfaceError("the connection is closed"), "InterfaceError: the connection is closed"),
    ],
)
def test_a_failure_is_told_in_words(error: BaseException, told: str) -> None:
    assert unavailable(error, "the database at db1").message == f"the database at db1: {told}"
