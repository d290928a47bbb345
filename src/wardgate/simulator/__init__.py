"""Plays a NAS against a running server: over real UDP, with real retransmissions, and with a firewall's limits.

`nas` says what a make of device puts into its requests; `line` sends them and tells what happened; `globalprotect` reads a
challenge as the GlobalProtect app does and complains where that would break; `codes` gets one-time codes from a secret or
from the demo's outbox; `login` plays one login with its challenges, and the portal and gateway logins of GlobalProtect;
`script` is the format of an unattended run and `scripted` plays it; `transcript` prints.

The room imports the RADIUS client and codec and the HOTP function: never the engine, storage or a server. It knows no more
than a firewall knows. Begin with `login`.
"""
