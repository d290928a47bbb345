"""Where users and passwords live, behind `port.py`: narrow protocols, one per ability. `registry.py` lists the kinds.

`local.py` keeps users in our own storage, `memory.py` is a real directory in memory and the double in tests. `realm.py` says
which realm a typed name belongs to, `names.py` how names compare. A directory knows names, passwords, groups and attributes;
what we add to a user (authenticators, links) is in `account`. Imports storage's port, audit's events, `passwords`, `clock`,
`errors`. Begin with `port.py`.
"""
