"""Challenge questions: what may be asked, which answers are taken, how they are stored, asked and judged.

Off unless a policy names `kba`, and never meant to stand alone: answers can be found or guessed, and cannot be changed like a
password. Everything here works against that: answers are hashed with Argon2id over a keyed fingerprint, all that were asked are
judged together, wrong rounds close the questions, and somebody who does not exist is asked like everybody else.

Begin with `settings.py` and `catalogue.py` (which questions), then `normalisation.py` and `rules.py` (which answers),
`enrolment.py` (setting them) and `asking.py` (asking and judging). `answers.py` and `rounds.py` own the tables. Imports account,
audit events, directory port, passwords (the pool of threads) and storage port.
"""
