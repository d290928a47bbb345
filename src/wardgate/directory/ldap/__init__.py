"""LDAPv3 as a client, on asyncio: messages, connections, pools and servers. Knows no users and no passwords' rules.

`port.py` is what directories ask for; `client.py` does it: which server is asked, and what is never asked twice. Below it stand
`server.py` (one server), `health.py` (up, suspect, down), `pools.py` (connections of the service account, and for binds),
`connection.py` (one connection, TLS), `discovery.py` with `srv.py` (servers that DNS names). `messages.py`, `ber.py`, `filters.py`
and `names.py` are bytes and text without I/O. `settings.py` is what every LDAP directory's settings have, `checks.py` what is wrong
with them. Imports the directory's kind, `config.reference`, `clock`, `crypto`, `fair_queue`, `errors`. Begin with `port.py`.
"""
