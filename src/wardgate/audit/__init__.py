"""What happened: audit events for auditors (`events.py`, chained by `trail.py`), timelines for operators (`timeline.py`).

An audit event is written in the same commit as the change that it describes; nothing is granted that is not recorded. A
timeline tells how a request went, step by step, with durations; incidents are what never became a login (a wrong secret, an
unknown address). Imports storage's port, crypto, clock. Begin with `events.py`.
"""
