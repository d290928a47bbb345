"""Decides what a login needs. Pure: facts in, plan out; no I/O, no clock, no knowledge of doors or factors' insides.

`facts.py` is what is known about a login, `groups.py` how groups are named, `conditions.py` makes a tree of a `when` (with
`windows.py` for time and `patterns.py` for `matches`), `view.py` answers its questions from the facts, `index.py` finds the rules
that match, `plan.py` holds the result. `rules.py` compiles a policy and decides, `explain.py` tells why, `testing.py` runs the
tests that a policy carries. Imports `errors` only; of the machine it reads time zones, when a policy is compiled. Begin with
`rules.py`.
"""
