"""Runs logins: one engine that every door drives with `begin`, `answer` and `cancel`, each returning an outcome.

`outcome.py` is what comes back, `transaction.py` the stored state of a login in progress. `engine.py` decides: it has
`first_factor.py` find the person (`finding.py`) and check the password, asks policy what is left (`course.py`), and either lets in
(`granting.py`) or opens a login (`opening.py`) whose questions `asking.py` puts; `answering.py` judges what comes back, by rounds
(`rounds.py`) until all is `proved.py`.
`brakes.py` are the limits on wrong proofs (`brake_changes.py`: what becomes of a row, `lifting.py`: how they end by hand),
`turns.py` those on messages and starts, `bind_brake.py` those below a directory's own lock-out. The engine imports policy, account,
audit, factors, texts and the ports of directory, delivery and storage; no door, no socket, no web framework. Begin with
`engine.py`.
"""
