"""The server that hostile tests share. It logs everything at debug level, so that the last test can look for secrets in it."""

from collections.abc import Iterator

import pytest

from tests.functional.harness import Served, ended, make_installation, serve
from tests.hostile.stronghold import USERS, document, enrol_device


@pytest.fixture(scope="session")
def stronghold(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a NAS for each attack; see `stronghold.document`."""
    data = tmp_path_factory.mktemp("stronghold") / "data"
    make_installation(data, document(), USERS.csv())
    enrol_device(data)
    with ended(serve(data)) as served:
        yield served
        served.stop()
