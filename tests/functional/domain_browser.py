"""The browser of a computer in the domain: Debian's Chromium, told by its administrator whom it may show tickets.

What a Chromium on Linux wants before it shows one, each found with its own log (`--log-net-log`) and Kerberos' (`KRB5_TRACE`):

- It is told so for this host, by the policy AuthServerAllowlist or the option --auth-server-allowlist.
- It has met a site that asks for tickets before, in an earlier run: the first time it only notes that, since the process which
  speaks to the network is locked too tightly to load the Kerberos library, and says no word.
- Its name for the host is the one that the ticket is for: it looks up the canonical name, and `--host-resolver-rules` changes that.

So the computer has files of its own in /etc, which only this browser sees: it runs in a mount namespace.
"""

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Playwright

from tests import neighbours
from tests.functional.chromium import DEADLINE_S, FLAGS, NO_BUS
from tests.kerberos import Computer

# What Chromium keeps of having met a site that asks for tickets.
_MET = {"net": {"received_http_auth_negotiate_headers": True}}
_SCRIPT = """#!/bin/sh
exec unshare --mount --propagation private sh -c '
  mount --bind "$0/chromium" /etc/chromium && mount --bind "$0/hosts" /etc/hosts && exec "$@"' '{folder}' '{program}' "$@"
"""


@dataclass
class DomainBrowser:
    """The browser of one person on one computer, that is opened and closed. `host`: the only name that it finds, on this machine.

    `told`: the policies of its administrator. `met`: whether it has met a site that asks for tickets in an earlier run.
    """

    playwright: Playwright
    computer: Computer
    host: str
    told: Mapping[str, Any]
    met: bool = True
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = self.computer.folder / f"browser-{secrets.token_hex(4)}"
        policies, profile = self.folder / "chromium" / "policies" / "managed", self.folder / "profile"
        policies.mkdir(parents=True)
        profile.mkdir()
        (policies / "acme.json").write_text(json.dumps(self.told))
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost\n127.0.0.1 {self.host}\n")
        if self.met:
            (profile / "Local State").write_text(json.dumps(_MET))
        script = _SCRIPT.format(folder=self.folder, program=neighbours.executable("chromium"))
        (self.folder / "run").write_text(script)
        (self.folder / "run").chmod(0o755)

    @contextmanager
    def opened(self, *options: str, **settings: Any) -> Iterator[BrowserContext]:
        """Its window, with what it kept from before. `options`: of the command line; `settings`: how it is seen."""
        here = [each for each in FLAGS if not each.startswith("--host-resolver-rules")]
        context = self.playwright.chromium.launch_persistent_context(
            str(self.folder / "profile"),
            executable_path=str(self.folder / "run"),
            args=[*here, f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {self.host}", *options],
            env={**self.computer.variables, **NO_BUS},
            ignore_https_errors=True,
            **settings,
        )
        try:
            context.set_default_timeout(DEADLINE_S * 1000)
            yield context
        finally:
            context.close()
