"""Wardgate: one engine that guards every way in.

Each room is a package: `engine` runs logins, `policy` says what a login needs, `factors` prove things,
`directory` knows users, `delivery` sends codes, `account` holds what we add to a user, `storage` keeps it,
`audit` records it. Doors (`radius`, `web`, `cli`) translate protocols into engine calls and never decide.
`app.py` alone knows all names and puts the rooms together. Start reading at `engine/engine.py`.
"""

__version__ = "0.1.0"
