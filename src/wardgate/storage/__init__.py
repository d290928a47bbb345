"""Where state is kept, behind one port: `memory.py` (a real back-end and the test double) and `sqlite.py`.

`schema.py` is the one list of tables. `port.py` says what a back-end must do; `tests/conformance/storage` proves that each
one does. A back-end may import `schema`, `port`, `wardgate.errors` and nothing else of ours. Begin with `port.py`.

The once-only rule: whatever may happen once (a code, a challenge handle, a try) is one conditional write whose outcome
decides. Reads are hints.
"""
