"""The RADIUS door: bytes in, values out, and a server on top.

Everything here except `server` and the asyncio half of `client` is pure: no I/O, no clock, no randomness. Packets are an
ordered list of (type, value) pairs; nothing is looked up in a dictionary until somebody asks for a name.

Begin with `packet` (RFC 2865 section 3: decode, encode, both authenticators), then `pap` (the User-Password hiding) and
`credentials` (what kind of proof a request carries). `attributes` gives names and types to values, `dictionaries` and
`vendors` hold the tables, `describe` makes a packet printable without its secrets. `nas_table` finds who sent a
datagram, `duplicates` remembers what was answered (RFC 5080 section 2.2.2).

The room may import the engine, audit and the small shared modules. It never imports another door.
MD5, which RADIUS forces on us, is called in `shared_secret` and nowhere else.
"""
