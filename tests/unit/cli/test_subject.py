"""`wardgate subject ...`, alone and beside a server."""

from .conftest import Cli

PASSWORD = "a lantern over the lake"


def two(cli: Cli) -> None:
    for name in ("ada", "ada2"):
        assert cli("user", "add", name, "--password-stdin", stdin=PASSWORD).code == 0


def test_an_account_is_shown_first_and_then_linked(cli: Cli) -> None:
    two(cli)
    cli("authenticator", "add", "ada2", "totp")
    plan = cli("subject", "relink", "ada2", "--to", "ada", "--dry-run", "--json").json("subject-relink")
    assert (plan["done"], [each["kind"] for each in plan["moved"]]) == (False, ["totp"])
    assert "goes along" in cli("subject", "relink", "ada2", "--to", "ada", "--dry-run").out
    done = cli("subject", "relink", "ada2", "--to", "ada", "--yes", "--json").json("subject-relink")
    assert (done["done"], done["user"]) == (True, "ada2")
    shown = cli("subject", "show", "ada", "--json").json("subject-show")
    assert len(shown["links"]) == 2
    assert shown["subject_id"] == done["to_subject"]
    by_id = cli("subject", "show", "--subject", shown["subject_id"], "--json").json("subject-show")
    assert by_id["authenticators"] == shown["authenticators"]
    assert cli("subject", "show", "ada").code == 0
    assert cli("subject", "relink", "ada2", "--to", "ada", "--yes").out.startswith("ada2 of ")


def test_nobody_who_could_be_asked_means_that_yes_must_be_said(cli: Cli) -> None:
    two(cli)
    ran = cli("subject", "relink", "ada2", "--to", "ada")
    assert (ran.code, "--yes" in ran.err) == (2, True)
    assert len(cli("subject", "show", "ada", "--json").json("subject-show")["links"]) == 0


def test_where_both_have_authenticators_one_has_to_be_kept(cli: Cli) -> None:
    two(cli)
    for name in ("ada", "ada2"):
        cli("authenticator", "add", name, "totp")
    ran = cli("subject", "relink", "ada2", "--to", "ada", "--yes", "--json")
    assert ran.code == 4
    assert "--keep" in ran.json("error")["error"]["message"]
    done = cli("subject", "relink", "ada2", "--to", "ada", "--keep", "person", "--yes", "--json").json("subject-relink")
    assert (len(done["kept"]), len(done["revoked"])) == (1, 1)


def test_a_wait_is_lifted(cli: Cli) -> None:
    two(cli)
    assert cli("subject", "unlock", "ada", "--json").json("subject-unlock")["released"] is True
    assert cli("subject", "unlock", "ada").code == 0


def test_trusted_devices_are_ended(cli: Cli) -> None:
    two(cli)
    assert cli("subject", "forget-devices", "ada", "--json").json("subject-forget-devices")["devices"] == []
    assert cli("subject", "forget-devices", "ada").out.startswith("0 devices of ada")
    assert cli("subject", "forget-devices", "ada", "--id", "0199aa").code == 1


def test_what_is_not_there_and_what_cannot_be_meant(cli: Cli) -> None:
    two(cli)
    assert cli("subject", "show", "nobody", "--json").code == 1
    assert cli("subject", "unlock", "nobody").code == 1
    assert cli("subject", "relink", "ada2", "--to", "nobody", "--yes").code == 1
    assert cli("subject", "relink", "ada2", "--yes").code == 2
    assert cli("subject", "relink", "ada2", "--to", "ada", "--keep", "both", "--yes").code == 2
    assert cli("subject", "relink", "ada", "--to", "ada", "--yes").code == 2


def test_an_account_is_frozen_shown_and_lifted_once(cli: Cli) -> None:
    two(cli)
    cli("authenticator", "add", "ada", "totp")
    told = cli("user", "freeze", "ada", "--since", "2026-01-05T08:00:00+00:00", "--json").json("user-freeze")
    # What an operator gave stays.
    assert (told["user"], told["authenticators"], told["contacts"]) == ("ada", 0, 0)
    shown = cli("subject", "show", "ada", "--json").json("subject-show")
    assert shown["frozen"]["by"] == "operator"
    assert "frozen since" in cli("subject", "show", "ada").out
    ran = cli("subject", "relink", "ada2", "--to", "ada", "--yes")
    assert (ran.code, "frozen" in ran.err) == (4, True)
    assert cli("user", "freeze", "ada").out.startswith("The account of ada is frozen")
    assert cli("user", "unfreeze", "ada", "--bring-back", "--json").json("user-unfreeze")["user"] == "ada"
    assert cli("user", "unfreeze", "ada").code == 4
    assert cli("subject", "show", "ada", "--json").json("subject-show")["frozen"] is None
    assert cli("user", "freeze", "nobody").code == 1
    assert cli("user", "freeze", "ada", "--since", "2999-01-01").code == 2
    assert cli("user", "freeze", "ada", "--since", "yesterday").code == 2
