"""OpenLDAP (and what speaks like it), with the ppolicy overlay and without.

`directory.py` is what satisfies the ports, `reading.py` makes users of entries, `groups.py` walks groups, `ppolicy.py` reads the
password policy and its control, `password_modify.py` is RFC 3062, `answers.py` what the server's answers mean, `examination.py` the
doctor. Imports the LDAP client, the directory's port and helpers, `config.reference`, `contacts`, `clock`, `crypto`, `errors`.
Begin with `directory.py`.
"""
