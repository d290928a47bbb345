"""What the demo shows on the terminal: what listens, who can log in, what to try next."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from rich.console import Console
from rich.table import Table

PLAIN_WIDTH = 140


def show_demo(told: Mapping[str, Any], console: Console | None = None) -> None:
    """Print it; without colours where the output is no terminal."""
    console = console or Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    radius = told["radius"]
    console.print()
    where = "on this machine only"
    if not ip_address(radius["host"]).is_loopback:
        where = f"on {radius['host']}, which others can reach; its pages and codes open on this machine only"
    console.print(f"[bold]Wardgate demo[/bold] is serving {where}. Ctrl-C stops it; the next start goes on with the same data.")
    console.print()
    console.print(f"  RADIUS      {radius['host']} port {radius['port']}, accounting {radius['acct_port']}")
    console.print(f"  secret      {radius['secret']}")
    console.print(f"  start page  {told['https']['url']}  (the browser warns: the certificate is the demo's own)")
    console.print(f"  messages    {told['outbox_url']}")
    console.print(f"  live log    {told['admin_url']}")
    console.print()
    console.print(_users(told["users"]))
    console.print()
    console.print("[bold]Try next[/bold]")
    for line in _to_try(told):
        console.print(f"  {line}")
    console.print()


def _users(users: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=True)
    for title in ("user", "password", "second factor"):
        # What is there to be copied is never broken over two lines.
        table.add_column(title, no_wrap=True, overflow="ignore")
    for user in users:
        table.add_row(
            user["name"], user["password"], "\n".join(_factor(each) for each in user["factors"]) or "none: denied, told why"
        )
    return table


def _factor(factor: Mapping[str, Any]) -> str:
    match factor["kind"]:
        case "totp":
            return f"app: oathtool --totp {factor['secret_hex']}"
        case "hotp":
            return f"device: oathtool --hotp --counter={factor['counter']} {factor['secret_hex']}"
        case "recovery_code":
            return f"recovery codes: {', '.join(factor['codes'][:2])} ..."
        case kind:
            return f"{'SMS' if kind == 'sms' else 'e-mail'} to {factor['address']}"


def _to_try(told: Mapping[str, Any]) -> list[str]:
    radius, users = told["radius"], {user["name"]: user for user in told["users"]}
    lines = [
        "./run simulate paloalto --user ada        plays the firewall: portal, then gateway",
        "./run trace --user ada --last             tells how that login went, step by step",
        "./run check                               looks for what an operator should mend",
    ]
    if "bob" in users:
        said = f"User-Name=bob,User-Password={users['bob']['password']}"
        lines.insert(1, f"echo '{said}' | radclient -x {radius['host']}:{radius['port']} auth {radius['secret']}")
    return lines
