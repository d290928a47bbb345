"""What the sealed value of a contact is bound to: used by whoever seals one, and by a key rotation."""


def bound_to(subject_id: str, kind: str, value_key: bytes) -> str:
    """The associated data of a row of table `contact`: its whole primary key, so that no value opens in another's row."""
    return f"contact:{subject_id}:{kind}:{value_key.hex()}"
