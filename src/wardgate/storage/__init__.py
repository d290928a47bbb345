"""Where state is kept, behind one port: `memory.py` (a real back-end and the test double), `sqlite.py` and `postgres.py`.

`schema` is the one list of tables, `migrations` the steps that make them. `port.py` says what a back-end must do;
`tests/conformance/storage` proves that each one does. `shapes.py` checks operations against the schema, `statements.py` makes
SQL of them, `batch.py` runs a batch of units in one transaction (it could sit in a process of its own), `sqlite.py` is the
asynchronous front that gathers the units. A back-end may import `wardgate.errors` and nothing else of ours. Begin with `port.py`.

`postgres.py` gathers units as well; `postgres_work.py` runs them on copies of their rows, `postgres_sql.py` reads and writes
these in one statement each, `postgres_connection.py` finds the host and heals, `postgres_schema.py` keeps the version.

The once-only rule: whatever may happen once (a code, a challenge handle, a try) is one conditional write whose outcome
decides. Reads are hints.
"""
