"""When a new password of a local user is taken, and how it is written beside the earlier ones."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from wardgate import foreign_hashes
from wardgate.crypto import Secret
from wardgate.directory.local.rows import TABLE, StoredPassword, number, password_set_ms, stored_password, user_from_row
from wardgate.directory.password_rules import Rule, broken_rules, common_passwords, normalised
from wardgate.directory.port import AccountState, DirectoryUser, PasswordNotAccepted, PasswordPolicy
from wardgate.directory.settings import LocalDirectorySettings
from wardgate.passwords import PasswordHasher
from wardgate.storage.port import Delete, Insert, Operation, Row, Storage, Update, Where

HISTORY: Final = "local_password_history"
HOUSE_WORDS: Final = ("wardgate",)
_DAY_S: Final = 86_400
_S_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Earlier:
    """The passwords before the present one that count, the newest first; and one hash that may take the present one's place there.

    `present`: a better hash of the present password than the stored one, where its owner just told it.
    """

    rows: tuple[Row, ...]
    present: str | None = None


class NewPasswords:
    """Judges new passwords by a directory's settings. Raises PasswordNotAccepted with the rule and the whole policy."""

    def __init__(
        self, settings: LocalDirectorySettings, storage: Storage, hasher: PasswordHasher, realm_words: Iterable[str] = ()
    ) -> None:
        given = settings.password_policy
        self._storage = storage
        self._hasher = hasher
        self._house_words = (*given.own_words, *realm_words, settings.name, *HOUSE_WORDS)
        self.max_age_ms = given.max_age_days * _DAY_S * _S_MS
        self.policy = PasswordPolicy(
            min_length=given.min_length,
            max_length=given.max_length,
            history=given.history,
            min_age_s=given.min_age_s,
            max_age_s=given.max_age_days * _DAY_S,
            blocklist=given.blocklist,
        )

    async def check_rules(self, user: DirectoryUser | None, new: Secret) -> None:
        """Length and blocklist. `user`: whose words are looked for in it."""
        if self.policy.blocklist:
            await asyncio.to_thread(common_passwords)
        for broken in broken_rules(new, self.policy, user, self._house_words):
            raise self._refusal(broken.rule, broken.message)

    async def check_change(self, row: Row, old: Secret, new: Secret, now_ms: int) -> None:
        """What holds for a user who chooses one himself, beside the rules and the history."""
        if normalised(old) == normalised(new):
            raise self._refusal(Rule.SAME, "choose another password than the present one")
        if not row["must_change"] and now_ms < password_set_ms(row) + self.policy.min_age_s * _S_MS:
            raise self._refusal(Rule.MIN_AGE, "the present password is too new to be changed again")

    async def check_history(self, row: Row, new: Secret) -> tuple[Row, ...]:
        """Refuse the present password and those before it; returns the latter. Each is a check in the bounded threads."""
        if not self.policy.history:
            return ()
        rows = await self.earlier(row)
        present = stored_password(row)
        hashes = [present.hash] if present is not None else []
        for stored in [*hashes, *(str(each["hash"]) for each in rows)]:
            if await self._hasher.verify(stored, normalised(new)):
                raise self._refusal(Rule.HISTORY, "choose a password that was not in use before")
        return rows

    async def earlier(self, row: Row) -> tuple[Row, ...]:
        """The passwords before the present one that count, the newest first."""
        if not self.policy.history:
            return ()
        mine = [Where("user_id", "=", row["id"])]
        return tuple(await self._storage.find(HISTORY, mine, order_by="number", descending=True, limit=self.policy.history))

    def operations(self, row: Row, hashed: str, must_change: bool, now_ms: int, earlier: Earlier) -> list[Operation]:
        """The new password, on condition that the account is still as it was read; the present one goes to the history."""
        changes: dict[str, str | int] = {"password_hash": hashed, "password_changed_at": now_ms, "must_change": int(must_change)}
        if row["state"] == AccountState.LOCKED:
            changes["state"] = AccountState.ACTIVE.value
        as_read = (Where("version", "=", row["version"]),)
        unit: list[Operation] = [Update(TABLE, {"id": row["id"]}, changes, where=as_read, add={"version": 1})]
        present = self._kept_hash(stored_password(row), earlier.present)
        if present is not None and self.policy.history:
            kept = {"directory": row["directory"], "user_id": row["id"], "number": row["version"], "hash": present}
            unit.append(Insert(HISTORY, kept))
        return unit + self._trimming(row, earlier)

    def _kept_hash(self, stored: StoredPassword | None, better: str | None) -> str | None:
        """What of the present password is kept. Never a weak hash: nobody will log in any more to have it replaced."""
        if better is not None or stored is None:
            return better
        found = foreign_hashes.scheme_of(stored.hash)
        return stored.hash if found is not None and not found[0].weak else None

    def _trimming(self, row: Row, earlier: Earlier) -> list[Operation]:
        """Remove what is too old to count, or was kept while the settings asked for more."""
        mine = Where("user_id", "=", row["id"])
        if not self.policy.history:
            return [Delete(HISTORY, (mine,))]
        # The present one comes to these.
        if len(earlier.rows) < self.policy.history:
            return []
        return [Delete(HISTORY, (mine, Where("number", "<=", number(earlier.rows[self.policy.history - 1]["number"]))))]

    def expired(self, row: Row, now_ms: int) -> bool:
        """Whether the password is older than it may be."""
        return bool(self.max_age_ms) and now_ms >= password_set_ms(row) + self.max_age_ms

    def user(self, row: Row, now_ms: int) -> DirectoryUser:
        """The user of a row, with the day on which his password ends."""
        return user_from_row(row, now_ms, self.max_age_ms)

    def _refusal(self, rule: Rule, message: str) -> PasswordNotAccepted:
        return PasswordNotAccepted(message, rule.value, self.policy)
