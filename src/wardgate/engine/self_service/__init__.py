"""Self-service goals: a forgotten password, a locked account. The same factors, brakes, outbox and audit as a login, another plan.

Proofs are gathered one by one until policy says that they are enough; only then something is done. Somebody who does not exist goes
the same way: his rows, pages, brakes and times are those of everybody, nothing is sent, and no answer is right.
"""
