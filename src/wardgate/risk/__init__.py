"""How much a login looks like somebody else's: a sum of named contributions, each with its points and its reason.

`scoring.py` is pure: circumstances and what is known of a person in, an assessment out. `habits.py` keeps what is known, which
only a completed grant adds to. `mmdb.py` and `networks.py` read the operator's files as bytes, `sources.py` holds them open and
notices when they change, `assessing.py` puts all of it together for a login. Imports `storage.port` and the base only; the engine
calls it from one place, so that risk is the same on every door. Begin with `assessing.py`.
"""
