"""Backups that prove themselves: made while serving, encrypted to an operator's key, restored into a new epoch.

`archive.py` is the file format (tar in gzip in age), `rows.py` how a row is written in it. `making.py` writes one from a snapshot
of the database, in a process of its own beside the server; `unpacking.py` loads one into a fresh database file, `verifying.py`
judges it and `restoring.py` makes an installation of it. `epoch.py` is what makes a restore safe: nothing that was spent or
taken away since the backup may come alive again; `replay.py` repeats what an exported audit says was taken away.
Imports storage's port and snapshots, installation, account, audit, config, delivery and admin. Begin with `archive.py`.
"""
