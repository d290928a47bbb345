"""Users in a table of PostgreSQL, MySQL, MariaDB or SQLite that belongs to another program.

`settings.py` says which column holds what; `checking.py` refuses what cannot work. `statements.py` writes the SQL: names are
quoted, values are always bound. `engines/` runs it, one module per database, with a small pool and a breaker (`pool.py`).
`rows.py` turns a row into a user, `hashes.py` checks and makes password hashes, `directory.py` puts these together,
`doctor.py` examines a configured one. Begin with `directory.py`.
"""
