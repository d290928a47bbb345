"""Where users and passwords live, behind `port.py`: narrow protocols, one per ability.

`local.py` keeps users in our own storage, `memory.py` is a real directory in memory and the double in tests. `realm.py` says
which directories a typed name may belong to. A directory knows names, passwords, groups and attributes; what we add to a
user (authenticators, links) is in `account`. Imports storage's port, `passwords`, `clock`, `errors`. Begin with `port.py`.
"""
