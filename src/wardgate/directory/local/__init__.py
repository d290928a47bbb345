"""Users in Wardgate's own database: table `local_user`, and their earlier passwords in `local_password_history`.

    rows.py         what a row says about a user; for management too
    passwords.py    when a new password is taken: rules, history, least age; and how it is written
    directory.py    the directory itself, with every ability that `port.py` knows but a grace
    examination.py  what `wardgate directory doctor` tells of it

A row's `version` rises with every change of the account. It does not rise when a hash from elsewhere is replaced by Argon2id,
because the account stays what it was; that replacement holds only for the very version and hash that were read.
"""

from wardgate.directory.local.directory import KIND, LocalDirectory
from wardgate.directory.local.rows import TABLE, StoredPassword, row_by_name, stored_password, user_from_row

__all__ = ["KIND", "TABLE", "LocalDirectory", "StoredPassword", "row_by_name", "stored_password", "user_from_row"]
