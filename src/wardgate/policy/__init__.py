"""Decides what a login needs. Pure: facts in, plan out; no I/O, no clock, no knowledge of doors or factors' insides.

`facts.py` is what is known about a login, `groups.py` how groups are named, `conditions.py` compiles `when`, `plan.py` holds the
result, `rules.py` walks the ordered rules and applies the floors. Imports `errors` only. Begin with `rules.py`.
"""
