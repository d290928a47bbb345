"""LDAPv3 as a client, on asyncio: messages, connections, pools and servers. Knows no users and no passwords' rules.

`port.py` is what directories ask for, `settings.py` what every LDAP directory's settings have. Imports the directory's kind,
`config.reference`, `clock`, `crypto`, `errors`. Begin with `port.py`.
"""
