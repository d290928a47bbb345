"""The SSO session: one browser's standing with us, with what its person proved and when.

Doors that have a browser share it. A session is a row behind a bearer value of which only a keyed fingerprint is stored; whatever
ends a person's sessions (a reset, a lock, an operator, himself elsewhere) deletes rows, and the next request of every node sees it.

May import: account, audit, storage. Begin reading with `sessions.py`.
"""
