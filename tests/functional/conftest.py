"""The servers that functional tests share: one demo and one configured installation for the whole run."""

from collections.abc import Iterator

import pytest

from tests.functional.harness import Served, ended, make_installation, serve, serve_demo
from tests.functional.plant import USERS, document


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The demo, as `wardgate demo --json` starts it."""
    with ended(serve_demo(tmp_path_factory.mktemp("demo") / "data", "--fresh")) as served:
        yield served
        served.stop()


@pytest.fixture(scope="session")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An installation with a NAS for every mode; see `plant.document`."""
    data = tmp_path_factory.mktemp("plant") / "data"
    make_installation(data, document(), USERS.csv())
    with ended(serve(data)) as served:
        yield served
        served.stop()
