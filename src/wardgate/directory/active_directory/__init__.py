"""Active Directory: users by name, their passwords, states, groups and rules, over LDAP alone.

`directory.py` is the directory of `../port.py`. What it stands on: `values.py` (FILETIME, SID, GUID and the form of a password),
`errors.py` (what the server's codes mean), `domain.py` (the domain's names and rules), `groups.py` (SIDs to groups), `accounts.py`
(an entry into a user), `lookup.py` (what a typed name may mean), `rules.py` and `passwords.py` (change, reset, unlock), `doctor.py`
(the examination). Accounts are known by objectGUID and
bound by DN. Imports `directory`'s own modules and `ldap`; nothing else of Wardgate. Begin with `directory.py`.
"""
