"""Managing the installation: users, authenticators, imports, and the operators' links to the live log.

`users.py`, `authenticators.py` and `user_import.py` are plain functions that the CLI, and later REST and pages, call: each
takes an `Office` (what it works with and on whose behalf), commits one unit together with its audit event, and returns a dict
of plain JSON values without secrets, but for what is shown once because it was generated just now. `links.py` makes one-time
links and sessions. Nothing here logs a user in. Imports account, directory, factors' constants, storage's port, audit's
events. Begin with `office.py`.
"""
