"""Kerberos tickets that browsers bring (SPNEGO, RFC 4559): whether one is good, and whose it is.

`port.py` is what the engine asks, `acceptor.py` the adapter of MIT's library, which is an extra that need not be there, and
`pac.py` reads the one part of a ticket that Active Directory adds and that we need: the account's SID. A ticket is a proof of
before; what it is worth is decided in the engine. Imports errors and values alone. Begin with `port.py`.
"""
