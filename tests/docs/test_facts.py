"""Numbers, names and sentences in the hand-written pages are those of the code."""

import re
import shlex

import pytest

from tests.docs.pages import ROOT, prose_code
from wardgate.account.recovery_code import CODES_PER_SET
from wardgate.admin.import_file import COLUMNS
from wardgate.admin.links import LINK_LIFE_MS, SESSION_LIFE_MS
from wardgate.config.store import KEPT_VERSIONS
from wardgate.delivery.sms.template import PLACES
from wardgate.directory.settings import RealmSettings
from wardgate.engine.brake_rows import KNOWN_SOURCE_MS
from wardgate.engine.settings import BrakeSettings, CodeSettings, SendingSettings
from wardgate.engine.terms import MAX_LOGIN_MS
from wardgate.factors import SECOND_FACTORS
from wardgate.janitor import OUTBOX_KEEP_MS, RETENTIONS
from wardgate.policy.conditions import CONDITIONS
from wardgate.radius.attributes import AttributeValueError
from wardgate.radius.dictionaries import BUILT_IN
from wardgate.radius.settings import MessageAuthenticatorPolicy, Mode
from wardgate.radius.vendors import VENDORS
from wardgate.texts import catalogue

GUIDE = (ROOT / "docs" / "operator-guide.md").read_text()
PALO_ALTO = (ROOT / "docs" / "integrations" / "palo-alto.md").read_text()
UNIT = ROOT / "packaging" / "wardgate.service"
MINUTE_S, DAY_MS = 60, 86_400_000


def flat(text: str) -> str:
    return " ".join(text.split())


def rows(text: str, first_column: str) -> list[list[str]]:
    """The cells of the table whose header begins with this word."""
    lines = text[text.index(f"| {first_column} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_numbers_of_brakes_and_codes_are_the_defaults() -> None:
    brakes, codes = BrakeSettings(), CodeSettings()
    first, second, third = codes.resend_after_s
    told = {
        f"{brakes.user_source_failures} in {brakes.user_source_window_s // MINUTE_S} minutes",
        f"wait {brakes.user_source_wait_s // MINUTE_S} minutes, doubling up to {brakes.user_source_wait_max_s // MINUTE_S}",
        f"{brakes.user_failures} since the last success",
        f"sources that he used in the last {KNOWN_SOURCE_MS // DAY_MS} days",
        f"{brakes.source_failures} in {brakes.source_window_s // MINUTE_S} minutes",
        f"wait {brakes.source_wait_s // MINUTE_S} minutes",
        f"one network (/{brakes.network_bits_ipv4}, of IPv6 /{brakes.network_bits_ipv6}) | {brakes.network_failures} in",
        f"through one NAS | {brakes.nas_failures:,} in {brakes.wide_window_s // MINUTE_S} minutes",
        f"of all | {brakes.global_failures:,} in {brakes.wide_window_s // MINUTE_S} minutes",
        f"strangers wait {brakes.wide_wait_s // MINUTE_S} minutes, doubling up to {brakes.wide_wait_max_s // MINUTE_S}",
        f"{brakes.network_messages:,}, {brakes.nas_messages:,}, {brakes.global_messages:,} in",
        f"| SMS for one client address | {SendingSettings().sms_per_source_per_hour} an hour |",
        f"| wrong codes in one login | {codes.tries} |",
        f"| {codes.digits} digits, {codes.life_s} s |",
        f"| one login as a whole | {MAX_LOGIN_MS // 60_000} minutes |",
        f"after {first}, {second}, {third} s",
        f"{codes.resends_per_hour} an hour, {codes.resends_per_day} a day",
        f"| {codes.messages_per_hour} an hour |",
        f"{codes.hotp_look_ahead} codes may be skipped",
        f"leaves {RealmSettings(name='x', directories=()).reply_floor_ms} ms after the request",
    }
    assert [part for part in told if part not in flat(GUIDE)] == []
    assert codes.totp_skew_steps == 1
    assert "one step before and after now" in GUIDE
    assert f"within {codes.replay_notice_s} s" in flat(PALO_ALTO)
    assert f"{codes.life_s} s | `codes: {{life_s: ...}}`, 60 to 600" in PALO_ALTO


def test_the_other_numbers_of_the_operator_guide_are_those_of_the_code() -> None:
    kept = {each.table: each.keep_ms // DAY_MS for each in RETENTIONS}
    most = {each.table: (each.most_rows or 0) // 1_000_000 for each in RETENTIONS}
    assert kept["timeline"] == kept["incident"] == kept["accounting"]
    told = {
        f"kept for {kept['timeline']} days, and never more than {most['timeline']} million timelines",
        f"{most['accounting']} million accounting records; messages for {OUTBOX_KEEP_MS // DAY_MS} days",
        f"A link lives {LINK_LIFE_MS // 60_000} minutes",
        f"lasts {SESSION_LIFE_MS // 3_600_000} hours",
        f"lists the kept versions ({KEPT_VERSIONS})",
    }
    assert [part for part in told if part not in flat(GUIDE)] == []
    assert CODES_PER_SET == 10
    assert "ten codes, each good once" in GUIDE


def test_every_factor_mode_policy_condition_and_column_is_in_the_operator_guide() -> None:
    names = [factor.kind for factor in SECOND_FACTORS]
    names += [*Mode.__args__, *MessageAuthenticatorPolicy.__args__, *COLUMNS]  # type: ignore[attr-defined]
    assert [name for name in names if f"`{name}`" not in GUIDE] == []
    assert [name for name in CONDITIONS if not re.search(rf"`{name}[`:]", GUIDE)] == []
    assert [place for place in PLACES if f"`{{{place}}}`" not in GUIDE] == []


def test_the_table_of_factors_says_which_are_strong() -> None:
    told = {cells[0].strip("`"): cells[2] for cells in rows(GUIDE, "factor")}
    assert told == {factor.kind: "yes" if factor.strong else "no" for factor in SECOND_FACTORS}


def test_the_words_that_choose_a_factor_are_the_factors_first_words() -> None:
    sentence = flat(GUIDE).partition("can type a word instead of a code to choose another:")[2].partition(".")[0]
    assert set(re.findall(r"`(\w+)`", sentence)) == {factor.words[0] for factor in SECOND_FACTORS}


def test_every_reason_of_the_decision_table_exists_and_is_told_as_it_is() -> None:
    """What stands in quotes in the first column is what a person reads, whatever the case of its first letter."""
    sentences = catalogue("en")
    spoken = " ".join(sentences.values()).lower()
    for saw, reasons, _ in rows(GUIDE, "the user saw"):
        for name in re.findall(r"`(\w+)`", reasons):
            assert f"reason.{name}" in sentences, name
        for quoted in re.findall(r'"([^"]+)"', saw):
            assert quoted.lower() in spoken, quoted


def test_what_the_palo_alto_page_finds_in_the_log_is_what_the_log_says() -> None:
    sentences = [sentence.lower() for name, sentence in catalogue("en").items() if name.startswith(("incident.", "reason."))]
    for _, log, _ in rows(PALO_ALTO, "symptom"):
        assert log.startswith("(") or any(sentence.startswith(log.lower()) for sentence in sentences), log


def test_the_live_log_has_the_section_that_the_pages_send_people_to() -> None:
    for page in (GUIDE, PALO_ALTO):
        assert f"*{catalogue('en')['live.incidents']}*" in page


def test_vendor_attributes_that_pages_name_are_in_the_dictionary() -> None:
    named = set(re.findall(r"\bPaloAlto-[A-Za-z-]+\b", GUIDE + PALO_ALTO))
    assert len(named) >= 5
    for name in named:
        try:
            BUILT_IN.find(name)
        except AttributeValueError as error:
            pytest.fail(error.message)
    assert "paloalto" in {profile.name for profile in VENDORS}


def test_the_words_of_the_glossary_stand_in_order_and_once() -> None:
    words = [cells[0] for cells in rows((ROOT / "docs" / "glossary.md").read_text(), "word")]
    assert words == sorted(set(words), key=str.lower)


# --- the unit ------------------------------------------------------------------------------------------------------------


def unit() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    section = ""
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(f"{section}.{name}", []).append(value)
    return found


def test_the_unit_waits_for_our_word_and_runs_what_we_have() -> None:
    settings = unit()
    assert settings["Service.Type"] == ["notify"]
    program, command = shlex.split(settings["Service.ExecStart"][0])
    assert (program, command) == ("/opt/wardgate/run", "serve")
    assert settings["Service.Environment"] == [f"WARDGATE_DATA=/var/lib/{settings['Service.StateDirectory'][0]}"]
    assert settings["Service.ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert settings["Service.KillMode"] == ["mixed"], "else the writer hears SIGTERM as early as the workers that need it"
    assert settings["Service.OOMPolicy"] == ["continue"], "else one worker too many ends all of them"


def test_the_unit_gives_nothing_away() -> None:
    settings = unit()
    assert settings["Service.CapabilityBoundingSet"] == [""]
    assert settings["Service.UMask"] == ["0077"]
    assert settings["Service.LimitCORE"] == ["0"], "secrets are in memory"
    for name in ("NoNewPrivileges", "PrivateTmp", "ProtectHome", "MemoryDenyWriteExecute", "RestrictSUIDSGID"):
        assert settings[f"Service.{name}"] == ["yes"], name
    assert settings["Service.ProtectSystem"] == ["strict"]


def test_the_wrapper_works_on_the_data_of_the_unit() -> None:
    settings, wrapper = unit(), (ROOT / "packaging" / "wardgate").read_text()
    assert settings["Service.Environment"][0] in wrapper
    assert f"sudo -u {settings['Service.User'][0]} " in wrapper
    assert settings["Service.ExecStart"][0].split()[0] in wrapper
    assert (ROOT / "packaging" / "wardgate").stat().st_mode & 0o111 == 0o111


def test_files_of_the_installation_that_pages_name_exist_in_the_code() -> None:
    text = (ROOT / "src" / "wardgate" / "installation.py").read_text() + (ROOT / "src" / "wardgate" / "settings.py").read_text()
    for name in ("wardgate.toml", "wardgate.db", "master.key", "tls/cert.pem", "tls/key.pem"):
        assert name in set(prose_code()), name
        assert name in text
