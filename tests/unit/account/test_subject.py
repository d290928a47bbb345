"""Subjects: ours, linked to a directory's immutable id, never to a name."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.flows.world import BACKENDS, a_storage, at_once
from wardgate.account.subject import create_subject, linked_subject
from wardgate.storage.port import Committed, Refused, Storage


@pytest.fixture(params=BACKENDS)
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    async with a_storage(request.param, tmp_path) as storage:
        yield storage


async def test_a_link_leads_to_its_subject_and_no_other(storage: Storage) -> None:
    subject, operations = create_subject("staff", "id-1", 1000)
    await storage.commit(operations)
    assert await linked_subject(storage, "staff", "id-1") == subject
    for directory, immutable_id in (("staff", "id-2"), ("other", "id-1"), ("staff", "ID-1"), ("", "")):
        assert await linked_subject(storage, directory, immutable_id) is None


async def test_of_many_who_link_one_entry_at_once_one_wins_and_the_others_leave_nothing(storage: Storage) -> None:
    made = [create_subject("staff", "id-1", 1000) for _ in range(8)]
    commits = await at_once(*(storage.commit(operations) for _, operations in made))
    assert sum(isinstance(commit, Committed) for commit in commits) == 1
    assert sum(isinstance(commit, Refused) for commit in commits) == 7
    winner = next(subject for (subject, _), commit in zip(made, commits, strict=True) if isinstance(commit, Committed))
    assert await linked_subject(storage, "staff", "id-1") == winner
    assert len(await storage.find("subject")) == 1


def test_subject_ids_are_not_guessable_from_the_entry() -> None:
    assert create_subject("staff", "id-1", 1000)[0] != create_subject("staff", "id-1", 1000)[0]
