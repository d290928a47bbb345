"""A login that goes on while its directory is down carries its user with it, sealed: the next answer may come to another worker."""

import base64
from dataclasses import replace

from wardgate.crypto import KeyRing
from wardgate.directory.port import AccountState, DirectoryUser
from wardgate.jsons import dumps, loads


def seal_user(ring: KeyRing, user: DirectoryUser, transaction_id: str, version: int) -> str:
    """What a login needs of its user until it ends. `version`: that of the configuration by which he was read."""
    body = {
        "directory": user.directory,
        "immutable_id": user.immutable_id,
        "name": user.name,
        "display_name": user.display_name,
        "mail": user.mail,
        "phone": user.phone,
        "language": user.language,
        "groups": user.groups,
        "group_aliases": user.group_aliases,
        "attributes": user.attributes,
        "version": user.version,
        "other_mails": user.other_mails,
        "other_phones": user.other_phones,
    }
    return base64.b64encode(ring.seal(dumps(body).encode(), _bound_to(transaction_id, version))).decode()


def open_user(ring: KeyRing, sealed: str, transaction_id: str, version: int) -> DirectoryUser:
    """The user again. Raises SealError for anything but what `seal_user` made for this login, in this configuration."""
    body = loads(ring.open(base64.b64decode(sealed), _bound_to(transaction_id, version)))
    user = DirectoryUser(**body, state=AccountState.ACTIVE)
    return replace(
        user,
        groups=tuple(user.groups),
        group_aliases={name: tuple(aliases) for name, aliases in user.group_aliases.items()},
        attributes={name: tuple(values) for name, values in user.attributes.items()},
        other_mails=tuple(user.other_mails),
        other_phones=tuple(user.other_phones),
    )


def _bound_to(transaction_id: str, version: int) -> str:
    # By other settings other groups and attributes of him would have been read.
    return f"login_transaction:grace:{transaction_id}:{version}"
