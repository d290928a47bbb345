"""Decides what a login needs, what follows it, and what self-service needs. Pure: facts in, plan out; no I/O, no clock, no
knowledge of doors or factors' insides.

`facts.py` is what is known about a login, `groups.py` how groups are named, `conditions.py` makes a tree of a `when` (with
`windows.py` for time and `patterns.py` for `matches`), `view.py` answers its questions from the facts, `index.py` finds the rules
that match, `plan.py` holds the result. `rules.py` compiles a policy and decides, `afterwards.py` compiles what follows a login,
`needs.py` what a reset and the like need, and `proofs.py` weighs what is presented for them. `explain.py` tells why, `testing.py`
runs the tests that a policy carries. Imports `durations` and `errors` only; of the machine it reads time zones, when a policy is
compiled. Begin with `rules.py`.
"""
