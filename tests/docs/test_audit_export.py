"""The page about the audit export is enough to write a verifier: the one that it shows is run on sound and on changed exports."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks
from tests.unit.audit.exports import a_trail, edited, is_event, is_head
from wardgate.audit.export import EVENT_COLUMNS, HEAD_COLUMNS, OPENING_COLUMNS
from wardgate.audit.heads import signing_key

PAGE = ROOT / "docs" / "audit-export.md"


@pytest.fixture
async def sample(tmp_path: Path) -> tuple[list[bytes], str]:
    """An export of two chains, and the public key."""
    async with a_trail("memory", tmp_path) as trail:
        for _ in range(3):
            for writer in ("a.0", "b.0"):
                await trail.write(4, writer)
            await trail.sign()
        return await trail.export(), signing_key(trail.ring).public_key().public_bytes_raw().hex()


def run(exported: list[bytes], key: str, folder: Path) -> subprocess.CompletedProcess[str]:
    [script] = [block.text for block in blocks(PAGE) if block.mark == "file: audit-check.py"]
    (folder / "audit.jsonl").write_bytes(b"".join(exported))
    arguments = [sys.executable, "-c", script, str(folder / "audit.jsonl"), key]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60)


def test_the_shown_verifier_takes_a_sound_export(sample: tuple[list[bytes], str], tmp_path: Path) -> None:
    ran = run(*sample, tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("sound up to the last heads: ")


@pytest.mark.parametrize("column", ["kind", "link", "subject_id", "payload"])
def test_the_shown_verifier_finds_a_changed_event(sample: tuple[list[bytes], str], column: str, tmp_path: Path) -> None:
    exported, key = sample
    value = "00" * 32 if column == "link" else "other"
    forged = edited(exported, lambda line: is_event(line, 6, "b.0"), lambda row: row.update({column: value}))
    assert run(forged, key, tmp_path).returncode == 1


def test_the_shown_verifier_finds_what_is_missing_or_forged(sample: tuple[list[bytes], str], tmp_path: Path) -> None:
    exported, key = sample
    removed = [line for line in exported if not is_event(line, 6, "b.0")]
    forged = edited(exported, is_head, lambda row: row.update(created_at=1))
    for each in (removed, forged):
        assert run(each, key, tmp_path).returncode == 1
    assert run(exported, "00" * 32, tmp_path).returncode == 1


def test_the_page_names_every_key_of_every_line_in_its_order() -> None:
    text = PAGE.read_text()
    for columns in (OPENING_COLUMNS, EVENT_COLUMNS, HEAD_COLUMNS):
        assert ", ".join(f"`{column}`" for column in columns) in text
