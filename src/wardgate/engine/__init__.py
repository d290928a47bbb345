"""Runs logins: one engine that every door drives with `begin`, `answer` and `cancel`, each returning an outcome.

`outcome.py` is what comes back, `transaction.py` the stored state of a login in progress, `brakes.py` the limits on wrong
proofs, `codes.py` the sending of one-time codes, `engine.py` the decisions. The engine imports policy, account, audit, factors,
texts and the ports of directory, delivery and storage; no door, no socket, no web framework. Begin with `engine.py`.
"""
