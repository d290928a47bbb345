"""Doors to other applications through the browser: they trust what we say about who signed in.

A relying party is an application of the document and what its metadata says (`relying_party`). What it is told follows from its
rules (`claims`, pure) and from what is known of the person.

`saml/` is the SAML 2.0 identity provider's protocol as pure code: bytes in, values out. Protocol code there does no I/O, reads no
clock and stores nothing; what it needs (ids, times, keys, an application's metadata) is handed in. Begin with `saml/values.py`.
"""
