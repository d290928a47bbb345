"""The configuration document: one YAML vocabulary for realms, directories, gateways, NAS, applications and policies.

`document.py` parses and validates it into the settings dataclasses that stand beside the code that reads them; `sources.py` joins
the files of one and finds the place of a fault in them, `includes.py` reads those files for a command; `schema.py` makes the JSON
Schema. `store.py` keeps versions in storage with secrets sealed; `touches.py` says what a change reaches; `reference.py` is the way
a secret is named (`{env: X}`, `{file: Y}`, `{sealed: ...}`). Imports rooms' settings and storage; rooms may import `reference`.
Begin with `document.py`.
"""
