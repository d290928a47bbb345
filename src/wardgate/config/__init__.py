"""The configuration document: one YAML vocabulary for realms, directories, gateways, NAS, applications and policies.

`document.py` parses and validates it into the settings dataclasses that stand beside the code that reads them; `store.py`
keeps its versions in storage with secrets sealed; `reference.py` is the way a secret is named (`{env: X}`, `{file: Y}`,
`{sealed: ...}`). Imports rooms' settings and storage; rooms may import `reference`. Begin with `document.py`.
"""
