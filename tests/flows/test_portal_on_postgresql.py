"""Journeys of the portal and the daily jobs on PostgreSQL, as the other files of this folder run them on the memory storage."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests import postgresql
from tests.flows import (
    test_directory_contacts,
    test_password_writes,
    test_portal_activation,
    test_portal_contacts,
    test_portal_devices,
    test_portal_enrolment,
    test_portal_freeze,
    test_portal_names,
    test_portal_questions,
    test_portal_recovery,
    test_portal_recovery_lane,
    test_portal_renaming,
    test_portal_staying,
    test_portal_tokens,
    test_questions_recovery,
    test_reminding,
    test_short_links,
)
from tests.flows.portal_world import PortalWorld
from tests.flows.world import World
from wardgate.audit.heads import sign_all_heads
from wardgate.engine.reconciling import Reconciling
from wardgate.engine.runtime import EngineParts
from wardgate.federation.signing_keys import forget_old_keys
from wardgate.federation.stored_metadata import Refreshing
from wardgate.janitor import RETENTIONS, Janitor
from wardgate.storage.port import Storage
from wardgate.storage.postgres import PostgresStorage

pytestmark = pytest.mark.neighbour("postgresql")

Journey = Callable[[], Awaitable[None]]
JOURNEYS: tuple[Journey, ...] = (
    test_portal_recovery.test_two_proofs_reset_the_password_and_end_what_was_open,
    test_portal_recovery.test_eight_forms_at_once_set_one_password,
    test_portal_recovery.test_fourth_reset_in_a_week_is_refused_after_the_proofs,
    test_portal_recovery.test_locked_account_is_opened_and_one_that_is_not_locked_is_told_so,
    test_portal_recovery_lane.test_codes_guessed_through_it_close_it_for_their_source_and_after_a_days_worth_for_everybody,
    test_portal_recovery_lane.test_a_right_code_among_guesses_at_once_is_worth_nothing_once_they_fill_the_limit,
    test_portal_names.test_several_accounts_are_listed_with_their_realms_in_one_message,
    test_portal_names.test_contact_gets_three_messages_a_day_and_the_page_does_not_tell,
    test_portal_contacts.test_replacing_keeps_the_old_one_until_the_code_was_right,
    test_portal_contacts.test_hold_ends_after_a_day,
    test_portal_contacts.test_directory_takes_another_where_it_is_allowed_and_the_new_one_is_on_hold,
    test_portal_contacts.test_last_way_in_is_not_removed_even_by_two_forms_at_once,
    test_portal_contacts.test_cancel_link_undoes_a_replacement_ends_sessions_and_tells,
    test_portal_contacts.test_two_removals_of_one_contact_send_one_notice,
    test_portal_contacts.test_not_me_link_of_a_new_authenticator_ends_sessions_and_devices,
    test_portal_questions.test_questions_are_set_and_told_everywhere,
    test_portal_questions.test_of_forms_at_once_one_wins,
    test_portal_questions.test_clearing_asks_first_and_removes_all,
    test_questions_recovery.test_phone_and_questions_reset_a_password,
    test_questions_recovery.test_same_round_twice_at_once_proves_once,
    test_portal_freeze.test_row_that_was_not_me_freezes_the_account_and_ends_every_session,
    test_portal_freeze.test_owner_signs_in_with_the_older_app_and_lifts_it_by_a_new_password,
    test_portal_freeze.test_contact_that_was_added_goes_and_one_that_was_removed_comes_back_with_the_lift,
    test_portal_freeze.test_older_pages_go_on_where_the_one_before_ended,
    test_portal_devices.test_trusted_browser_is_spared_the_factor_and_its_cookie_changes_each_time,
    test_portal_devices.test_replayed_cookie_is_asked_for_the_code_and_the_device_is_forgotten,
    test_portal_renaming.test_trusted_browser_is_renamed_and_stays_trusted,
    test_portal_staying.test_person_who_stays_has_the_whole_time_again,
    test_portal_enrolment.test_app_is_enrolled_by_its_key_and_first_code_and_recovery_codes_follow,
    test_portal_enrolment.test_last_authenticator_cannot_be_removed_even_by_two_forms_at_once,
    test_portal_tokens.test_of_two_who_take_one_token_one_gets_it,
    test_portal_activation.test_link_start_code_password_app_and_codes_open_the_account,
    test_portal_activation.test_of_two_browsers_with_both_proofs_one_sets_the_password,
    test_password_writes.test_truth_of_a_lost_answer_is_found_out_and_told_once_the_directory_is_back,
    test_directory_contacts.test_hold_of_a_change_begins_with_the_daily_round_that_finds_it,
    test_reminding.test_end_of_a_password_is_mailed_on_each_of_the_days_to_who_never_signs_in,
    test_reminding.test_contacts_are_asked_about_half_a_year_after_the_last_was_verified_and_then_each_half_year,
    test_reminding.test_everybody_of_a_large_directory_is_told,
)
OfALink = Callable[[test_short_links.LinkWorld], Awaitable[None]]
LINKS: tuple[OfALink, ...] = (
    test_short_links.test_who_has_no_second_step_sets_up_an_app_and_types_its_code,
    test_short_links.test_one_link_proved_twice_at_once_shows_one_code,
    test_short_links.test_this_was_not_me_ends_the_login_and_has_its_asker_wait,
)


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    """An empty database."""
    database = await postgresql.empty_database("portal")
    opened = await PostgresStorage.open(postgresql.shared().settings(database), tmp_path)
    yield opened
    await opened.close()


@pytest.mark.parametrize("journey", JOURNEYS, ids=lambda journey: journey.__name__.removeprefix("test_"))
async def test_journey_comes_to_the_same_on_postgresql(journey: Journey, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    made = World.__post_init__

    def on_it(world: World) -> None:
        world.storage = storage
        made(world)

    monkeypatch.setattr(World, "__post_init__", on_it)
    await journey()
    assert await storage.count("audit_event"), "it was this database that the journey used"


@pytest.mark.parametrize("journey", LINKS, ids=lambda journey: journey.__name__.removeprefix("test_"))
async def test_short_link_comes_to_the_same_on_postgresql(journey: OfALink, storage: Storage) -> None:
    await journey(test_short_links.LinkWorld(storage=storage))


async def test_every_daily_job_runs_on_postgresql_and_clears_what_a_journey_left(storage: Storage) -> None:
    world = PortalWorld(storage=storage)
    user = await world.person("ada", phone="+905321234567", mail="ada@acme.test")
    await world.give_totp(user)
    world.directory.change_end(user, world.clock.now() + timedelta(days=40))
    await test_portal_recovery.reset_with_app_and_text_message(world)
    async with world.browser() as browser:
        world.later(60)
        await browser.get("/account")
        await browser.get("/username")
        await browser.post("/username", contact="ada@acme.test")
    parts = EngineParts(world.storage, world.clock, lambda: world.ring, world.configuration, public_url=world.origin)
    assert await storage.find("self_service") != []
    await sign_all_heads(storage, lambda: world.ring, world.clock)
    await Reconciling(parts).run_once()
    await Refreshing(storage, world.clock, tuple).run_once()
    await forget_old_keys(storage, world.clock)
    world.later(40 * 86_400)
    janitor = Janitor(storage, world.clock)
    while await janitor.sweep():
        world.later(60)
    ended = {each.table for each in RETENTIONS} - {"audit_head", "timeline", "sending", "incident", "accounting", "habit"}
    assert {table for table in ended if await storage.find(table)} == set()
    assert (await world.verified()).findings == ()
