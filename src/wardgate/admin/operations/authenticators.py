"""What people prove themselves with."""

from collections.abc import Mapping
from typing import Final

from wardgate.admin import (
    authenticators,
)
from wardgate.admin.management import Desk
from wardgate.admin.operations.places import Result, user_place
from wardgate.control import Operation
from wardgate.crypto import Secret


async def authenticator_add_totp(
    desk: Desk,
    name: str,
    secret_hex: Secret | None = None,
    digits: int = 6,
    period_s: int = 30,
    algorithm: str = "SHA1",
    label: str = "",
    directory: str | None = None,
) -> Result:
    """Enrol an authenticator app."""
    return await authenticators.add_totp(
        desk.office,
        **await user_place(desk, name, directory),
        secret_hex=_text(secret_hex),
        digits=digits,
        period_s=period_s,
        algorithm=algorithm.upper(),
        label=label,
    )


async def authenticator_add_hotp(
    desk: Desk,
    name: str,
    secret_hex: Secret | None = None,
    digits: int = 6,
    counter: int = 0,
    label: str = "",
    directory: str | None = None,
) -> Result:
    """Enrol a counter-based device."""
    return await authenticators.add_hotp(
        desk.office,
        **await user_place(desk, name, directory),
        secret_hex=_text(secret_hex),
        digits=digits,
        counter=counter,
        label=label,
    )


async def authenticator_add_secret(
    desk: Desk, name: str, kind: str, secret_hex: Secret | None = None, label: str = "", directory: str | None = None
) -> Result:
    """Enrol a factor of another kind that lives on a shared secret."""
    return await authenticators.add_shared_secret(
        desk.office,
        **await user_place(desk, name, directory),
        kind=kind,
        secret_hex=_text(secret_hex),
        label=label,
    )


async def authenticator_add_recovery(desk: Desk, name: str, label: str = "", directory: str | None = None) -> Result:
    """A new sheet of recovery codes."""
    return await authenticators.add_recovery_codes(desk.office, **await user_place(desk, name, directory), label=label)


async def authenticator_list(desk: Desk, name: str, directory: str | None = None) -> Result:
    """What a user can prove himself with."""
    return await authenticators.list_authenticators(desk.office, **await user_place(desk, name, directory))


async def authenticator_revoke(desk: Desk, authenticator_id: str) -> Result:
    """End an authenticator, whosever it is."""
    return await authenticators.revoke_authenticator(desk.office, authenticator_id=authenticator_id)


async def authenticator_release(desk: Desk, authenticator_id: str) -> Result:
    """Let an authenticator that a new epoch held prove something again."""
    return await authenticators.release_authenticator(desk.office, authenticator_id=authenticator_id)


def _text(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal().decode("utf-8", "replace")


OPERATIONS: Final[Mapping[str, Operation]] = {
    "authenticator.add_totp": authenticator_add_totp,
    "authenticator.add_hotp": authenticator_add_hotp,
    "authenticator.add_secret": authenticator_add_secret,
    "authenticator.add_recovery": authenticator_add_recovery,
    "authenticator.list": authenticator_list,
    "authenticator.revoke": authenticator_revoke,
    "authenticator.release": authenticator_release,
}
