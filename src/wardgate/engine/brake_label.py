"""Who or what a brake holds, in words, for an operator's list: sealed beside the row, whose keys are only fingerprints.

Written when a lock begins. Of a name that is nobody's only its first letter and its length are kept: it may be a password that
somebody typed into the wrong field.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from wardgate.crypto import KeyRing
from wardgate.errors import SealError
from wardgate.storage.port import Modified, Modify, Row, Value

MAX_CHARS = 256


@dataclass(frozen=True, slots=True)
class Label:
    """The words of a lock; those that do not belong to its kind are empty. `known`: `user` is a user's name and no mask.

    `at`: when it began, in milliseconds; `failures`: after how many.
    """

    user: str = ""
    known: bool = False
    client: str = ""
    nas: str = ""
    network: str = ""
    to: str = ""
    at: int = 0
    failures: int = 0


def masked_name(name: str) -> str:
    """`h*** (7)` for `hunter2`: enough to tell what was typed by whoever remembers it, and nobody else."""
    return f"{name[:1]}*** ({len(name)})" if name else ""


def write_label(ring: KeyRing, kind: str, key: bytes, label: Label) -> Modify:
    """The operation that puts it beside the row, if that is still there."""
    words = {name: value[:MAX_CHARS] if isinstance(value, str) else value for name, value in asdict(label).items() if value}
    sealed = ring.seal(json.dumps(words, ensure_ascii=False).encode(), _bound_to(kind, key))
    return Modify("brake", {"kind": kind, "key": key}, set_label, {"label": sealed})


def read_label(ring: KeyRing, row: Row) -> Label | None:
    """The words of a row; None where there are none, or the key that sealed them is gone."""
    sealed, key = row["label"], row["key"]
    if not isinstance(sealed, bytes) or not isinstance(key, bytes):
        return None
    try:
        return Label(**json.loads(ring.open(sealed, _bound_to(str(row["kind"]), key))))
    except SealError:
        return None


def set_label(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """The row with its label."""
    return Modified({**old, "label": arguments["label"]} if old is not None else None)


def _bound_to(kind: str, key: bytes) -> str:
    return f"brake:{kind}:{key.hex()}"
