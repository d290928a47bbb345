"""Doors to other applications through the browser: they trust what we say about who signed in.

`saml/` is the SAML 2.0 identity provider's protocol as pure code: bytes in, values out. Protocol code here does no I/O, reads no
clock and stores nothing; what it needs (ids, times, keys, an application's metadata) is handed in. Begin with `saml/values.py`.
"""
