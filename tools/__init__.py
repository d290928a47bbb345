"""What the repository needs before there is an environment: `./run`, `./test` and the lock files.

Only the standard library and Python 3.11 may be used here, for on a fresh machine there is nothing else.
Begin with bootstrap.py (the environment); debian.py installs packages, suite.py runs checks and tests, `lock` renews the locks.
"""
