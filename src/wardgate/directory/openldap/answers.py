"""What the server's answers to binds and to password changes mean."""

from typing import Final, NoReturn

from wardgate.directory.ldap.port import Code, Result
from wardgate.directory.openldap.ppolicy import Policy, PolicyError, Told, garbled, told
from wardgate.directory.port import AccountState, PasswordNotAccepted, PasswordVerdict, RightMissing
from wardgate.errors import Conflict, DirectoryUnavailable, MessageError

INAPPROPRIATE_AUTHENTICATION: Final = 48
INVALID_SYNTAX: Final = 21
# The directory did not take the credentials: wrong ones, an entry without a password, or no entry.
_WRONG: Final = (Code.INVALID_CREDENTIALS, INAPPROPRIATE_AUTHENTICATION, Code.NO_SUCH_OBJECT)
_RULES: Final = {
    PolicyError.INSUFFICIENT_QUALITY: ("policy", "the password is not good enough for the directory's policy"),
    PolicyError.TOO_SHORT: ("length", "the password is too short"),
    PolicyError.TOO_LONG: ("length", "the password is too long"),
    PolicyError.TOO_YOUNG: ("min_age", "the present password was set too short a time ago"),
    PolicyError.IN_HISTORY: ("history", "the password was used before"),
}


def told_by(result: Result, directory: str) -> Told:
    """What the control of an answer says. Raises DirectoryUnavailable when it is garbage: then nothing is known."""
    try:
        return told(result)
    except MessageError as error:
        raise DirectoryUnavailable(f"directory {directory}: {garbled(error)}") from error


def verdict_of(result: Result, directory: str, state: AccountState) -> PasswordVerdict:
    """What a bind found. `state`: of the account as it was last read. Raises DirectoryUnavailable when it found nothing out.

    That a control came at all tells that the user exists, so nothing of it goes further than the verdict.
    """
    answer = told_by(result, directory)
    if result.good:
        return _verdict_of_success(answer)
    if result.code in _WRONG:
        return _verdict_of_refusal(answer, state)
    if result.code == Code.UNWILLING:
        return PasswordVerdict.REFUSED
    raise unexpected(result, directory, "a bind")


def _verdict_of_success(answer: Told) -> PasswordVerdict:
    if answer.error == PolicyError.CHANGE_AFTER_RESET:
        return PasswordVerdict.MUST_CHANGE
    if answer.grace_left is not None:
        return PasswordVerdict.EXPIRED
    return PasswordVerdict.RIGHT if answer.error is None else PasswordVerdict.REFUSED


def _verdict_of_refusal(answer: Told, state: AccountState) -> PasswordVerdict:
    if answer.error == PolicyError.PASSWORD_EXPIRED:
        return PasswordVerdict.EXPIRED
    if answer.error == PolicyError.ACCOUNT_LOCKED:
        # An administrator's lock and one by wrong passwords are told alike; what stands in the entry tells them apart.
        return PasswordVerdict.LOCKED if state in (AccountState.ACTIVE, AccountState.LOCKED) else PasswordVerdict.REFUSED
    return PasswordVerdict.WRONG


def refuse_password(result: Result, directory: str, policy: Policy | None, same: bool) -> NoReturn:
    """Raise what the refusal of a new password means. `same`: it is the present one."""
    rules = policy.rules() if policy is not None else None
    answer = told_by(result, directory)
    if answer.error == PolicyError.PASSWORD_MOD_NOT_ALLOWED:
        raise RightMissing(f"directory {directory}: the policy lets no user change the password (pwdAllowUserChange is FALSE)")
    if answer.error == PolicyError.MUST_SUPPLY_OLD_PASSWORD:
        raise RightMissing(
            f"directory {directory}: the policy wants the old password with every change (pwdSafeModify is TRUE), "
            "so nobody else can reset it"
        )
    if answer.error == PolicyError.IN_HISTORY and same:
        raise PasswordNotAccepted("the new password is the present one", "same", rules)
    if answer.error is not None and answer.error in _RULES:
        rule, message = _RULES[PolicyError(answer.error)]
        raise PasswordNotAccepted(message, rule, rules)
    if result.code == Code.CONSTRAINT_VIOLATION:
        raise PasswordNotAccepted("the directory's policy does not take the password", "policy", rules)
    refuse_write(result, directory, "setting a password", "userPassword")


def refuse_write(result: Result, directory: str, what: str, attribute: str) -> NoReturn:
    """Raise what the refusal of a modification means."""
    if result.code == Code.INSUFFICIENT_ACCESS:
        raise RightMissing(
            f"directory {directory}: {what} needs the right to write {attribute}; `wardgate directory doctor` tells how"
        )
    if result.code == Code.NO_SUCH_OBJECT:
        raise Conflict("the account was removed meanwhile")
    raise unexpected(result, directory, what)


def unexpected(result: Result, directory: str, what: str) -> DirectoryUnavailable:
    """The error for an answer that decides nothing."""
    diagnostic = f": {result.diagnostic}" if result.diagnostic else ""
    hint = " (it wants TLS)" if result.code in (Code.CONFIDENTIALITY_REQUIRED, Code.STRONGER_AUTH_REQUIRED) else ""
    return DirectoryUnavailable(f"directory {directory}: {what} ended with result {result.code}{hint}{diagnostic}")
