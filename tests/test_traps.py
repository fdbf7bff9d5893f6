"""Every trap of the hubs has a test that is named after its truth; this is the list, by the traps' numbers.

A trap that the engine handles has its test there and, where a hub brings it about in a way of its own, one in its plugin.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGINE, FILES = "tests/origin/test_", "tests/dfget/test_"
HF, HTTP = "plugins/hf/tests/test_", "plugins/http/tests/test_"

TRAPS = {
    "1 a range under status 200": [
        f"{ENGINE}ranges::test_a_200_with_the_right_content_range_is_that_range",
        f"{HTTP}traps::test_a_range_under_status_200_is_accepted_by_its_content_range",
    ],
    "2 the whole file for a range": [
        f"{ENGINE}ranges::test_the_whole_file_for_a_range_means_no_ranges",
        f"{ENGINE}fetch::test_without_ranges_a_job_falls_back_to_one_stream",
        f"{HTTP}traps::test_a_whole_file_for_a_range_says_that_ranges_are_unsupported",
        f"{FILES}events::test_a_server_without_ranges_is_read_in_one_stream",
    ],
    "3 another range than asked for": [
        f"{ENGINE}ranges::test_another_part_than_asked_for_yields_no_byte",
        f"{HTTP}traps::test_another_part_than_the_one_asked_for_is_thrown_away",
        f"{HTTP}traps::test_another_total_means_that_the_file_changed",
    ],
    "4 several ranges at once": [f"{HTTP}traps::test_ranges_are_single_and_absolute"],
    "5 a range past the end": [
        f"{ENGINE}ranges::test_an_end_that_is_already_reached_is_no_error_where_the_size_is_unknown",
        f"{ENGINE}ranges::test_an_empty_file_is_never_asked_for_a_range",
        f"{HTTP}traps::test_a_416_at_a_new_size_means_that_the_file_changed",
    ],
    "6 suffix ranges": [f"{ENGINE}ranges::test_a_range_is_absolute_and_a_whole_file_asks_for_none"],
    "7 a HEAD that says zero": [
        f"{ENGINE}ranges::test_an_empty_file_that_is_not_empty_is_refused",
        f"{HTTP}stat::test_a_head_that_says_zero_is_not_believed",
    ],
    "8 empty files, repositories and matches": [
        f"{HF}traps::test_an_empty_file_and_an_empty_repository_are_no_errors",
        f"{HTTP}stat::test_an_empty_file_has_size_zero_and_no_bytes",
        f"{FILES}outputs::test_an_empty_file_is_a_file",
        f"{FILES}outputs::test_nothing_to_fetch_is_said_and_no_error",
    ],
    "9 no length": [
        f"{ENGINE}ranges::test_a_body_without_a_length_is_held_to_the_listed_size",
        f"{HTTP}traps::test_a_file_of_unknown_size_ends_where_the_body_ends",
        f"{FILES}events::test_a_chunked_body_cut_short_is_no_whole_file",
    ],
    "10 gzip although identity was asked": [
        f"{ENGINE}ranges::test_a_compressed_whole_file_is_decoded",
        f"{HF}traps::test_gzip_although_identity_was_asked_is_decoded_to_the_right_bytes",
        f"{HTTP}traps::test_a_compressed_part_is_never_taken_for_the_plain_one",
        f"{HTTP}traps::test_a_compressed_whole_file_comes_out_plain",
    ],
    "11 weak and opaque ETags": [
        f"{ENGINE}ranges::test_a_weak_etag_says_nothing",
        f"{HTTP}headers::test_only_a_strong_etag_pins",
        f"{HTTP}stat::test_a_weak_etag_or_a_date_pins_nothing",
    ],
    "12 which hex is which hash": [
        f"{HF}traps::test_only_forty_or_sixty_four_hex_digits_are_a_hash",
        f"{HTTP}traps::test_an_unquoted_etag_pins",
    ],
    "13 metadata on the redirect": [f"{HF}traps::test_a_file_costs_one_resolve_call_and_no_head"],
    "14 redirects": [
        f"{ENGINE}redirects::test_relative_locations_are_resolved",
        f"{ENGINE}redirects::test_a_circle_ends_after_twenty_steps",
        f"{ENGINE}redirects::test_a_step_down_to_plain_http_is_refused",
        f"{HF}traps::test_a_renamed_repository_keeps_working_and_its_new_name_is_reported",
        f"{HF}traps::test_redirects_in_a_circle_end",
        f"{HTTP}traps::test_every_kind_of_redirect_is_followed",
        f"{HTTP}traps::test_a_protocol_relative_location_is_followed",
    ],
    "15 credentials across origins": [
        f"{ENGINE}redirects::test_no_header_but_the_harmless_ones_reaches_another_origin",
        f"{ENGINE}redirects::test_another_port_is_another_origin",
        f"{HF}traps::test_the_token_never_reaches_another_origin",
        f"{HF}traps::test_neither_token_nor_signature_is_logged",
        f"{HTTP}secrets::test_no_credential_follows_a_redirect_to_another_server",
        f"{FILES}secrets::test_a_token_is_used_and_shown_nowhere",
        f"{FILES}secrets::test_no_log_event_or_error_shows_a_signed_link",
    ],
    "16 a link that expires": [
        f"{ENGINE}patience::test_an_expired_link_in_the_middle_of_a_file_goes_on_at_the_offset",
        f"{ENGINE}patience::test_links_that_are_refused_again_and_again_are_a_refusal",
        f"{HF}traps::test_a_link_that_runs_out_in_the_middle_is_renewed_at_the_offset",
        f"{HTTP}traps::test_an_expired_redirect_is_asked_for_again_and_the_offset_kept",
    ],
    "17 a body cut short": [
        f"{ENGINE}patience::test_a_truncated_body_resumes_at_the_offset",
        f"{ENGINE}patience::test_only_progress_resets_the_budget",
        f"{HF}traps::test_a_cut_body_goes_on_at_the_offset",
        f"{HTTP}traps::test_a_body_cut_short_goes_on_at_the_offset",
        f"{FILES}events::test_a_break_on_the_way_is_told_and_counts_no_byte_twice",
    ],
    "18 a shorter body with a length that agrees": [
        f"{ENGINE}ranges::test_a_truncated_file_with_a_length_that_agrees_is_refused_by_the_listed_size",
        f"{HF}traps::test_a_body_shorter_than_listed_is_not_complete",
        f"{FILES}wrong_bytes::test_a_short_file_with_a_length_that_agrees_is_never_complete",
    ],
    "19 wrong bytes of the right length": [
        f"{HF}traps::test_wrong_bytes_of_the_right_length_do_not_match_the_digest",
        f"{FILES}wrong_bytes::test_wrong_bytes_are_fetched_once_more",
        f"{FILES}wrong_bytes::test_bytes_that_stay_wrong_are_an_error_and_leave_nothing",
    ],
    "20 a 5xx": [
        f"{HF}traps::test_a_failing_file_request_is_tried_again",
        f"{HF}traps::test_a_failing_api_call_is_tried_again_and_then_names_the_endpoint",
        f"{HTTP}traps::test_a_5xx_is_tried_again",
    ],
    "21 a 429": [
        f"{ENGINE}pauses::test_what_the_headers_ask_for",
        f"{ENGINE}patience::test_a_429_pauses_every_reader_of_that_host",
        f"{HF}traps::test_a_rate_limit_is_waited_out",
        f"{HTTP}traps::test_a_429_is_obeyed_in_both_spellings",
        f"{HTTP}traps::test_a_pause_too_long_is_an_error_that_names_it",
    ],
    "22 gated, private, missing": [
        f"{HF}traps::test_a_gated_repository_is_answered_with_where_to_accept_the_terms",
        f"{HF}backend::test_a_missing_and_a_private_repository_look_the_same_and_both_are_said",
        f"{FILES}errors::test_a_gated_repository_says_where_to_accept_the_terms",
        f"{FILES}errors::test_a_missing_and_a_private_repository_look_the_same_and_both_are_said",
    ],
    "23 kinds of not found": [
        f"{HF}traps::test_the_kinds_of_not_found_are_told_apart",
        f"{HTTP}stat::test_a_missing_file_is_not_found_and_costs_two_calls",
        f"{FILES}errors::test_what_is_not_found_is_answered_with_what_comes_near",
    ],
    "24 a web page in a file's place": [
        f"{ENGINE}ranges::test_a_web_page_is_not_a_model",
        f"{ENGINE}ranges::test_an_error_body_is_not_read_to_its_end",
        f"{HF}traps::test_a_web_page_in_place_of_a_file_is_not_a_hub",
        f"{HF}traps::test_a_redirect_to_a_login_page_is_not_a_hub",
        f"{HTTP}traps::test_a_login_page_in_mid_download_is_not_stored",
        f"{FILES}errors::test_a_login_page_in_a_files_place_is_never_stored",
    ],
    "27 pages of a listing": [
        f"{HF}traps::test_a_listing_is_read_to_its_last_page",
        f"{HF}traps::test_a_listing_that_fails_on_a_later_page_is_no_shorter_listing",
        f"{HF}traps::test_a_next_page_outside_the_api_is_refused",
    ],
    "28 a revision with a slash": [f"{HF}traps::test_a_revision_with_a_slash_is_one_segment_and_only_asked_once"],
    "29 a branch that moves": [
        f"{HF}traps::test_a_branch_that_moves_after_the_listing_changes_nothing",
        f"{HF}traps::test_an_answer_for_another_commit_is_refused_before_its_first_byte",
        f"{HF}traps::test_a_branch_named_like_a_commit_does_not_pass_for_it",
        f"{FILES}interrupted::test_a_pinned_revision_goes_on_whatever_happens_to_the_branch",
    ],
    "30 odd names": [
        f"{HF}traps::test_odd_names_are_quoted_once_and_decoded_never",
        f"{HTTP}traps::test_strange_names_arrive_as_they_are",
        f"{FILES}outputs::test_odd_names_arrive_as_they_are",
        f"{FILES}outputs::test_an_odd_name_can_be_asked_for_alone",
    ],
    "31 hostile names": [
        f"{HF}traps::test_names_of_a_listing_are_handed_on_as_they_are_for_the_core_to_judge",
        f"{HTTP}links::test_an_unsafe_name_is_no_name",
        f"{FILES}outputs::test_an_unsafe_listing_is_refused_before_the_first_byte",
        f"{FILES}outputs::test_what_no_hub_lists_is_refused_too",
    ],
    "33 replaced while its ranges are in flight": [
        f"{ENGINE}ranges::test_an_etag_is_compared_even_where_the_server_ignores_if_match",
        f"{HTTP}traps::test_a_changed_file_is_noticed_by_its_strong_etag",
        f"{HTTP}traps::test_a_changed_file_is_noticed_by_its_weak_marks",
        f"{FILES}interrupted::test_a_file_changed_while_it_is_fetched_is_noticed",
    ],
    "37 connections": [
        f"{ENGINE}retry::test_a_kept_connection_that_was_closed_meanwhile_goes_unnoticed",
        f"{ENGINE}ranges::test_a_body_that_crawls_is_a_lost_connection",
        f"{ENGINE}ranges::test_a_body_that_stands_still_ends_with_the_read_timeout",
        f"{HTTP}traps::test_a_connection_closed_between_requests_costs_nothing",
        f"{FILES}interrupted::test_an_origin_that_stops_sending_is_given_up_and_what_came_is_kept",
    ],
    "38 the length of a redirect": [
        f"{HF}traps::test_a_mirror_that_does_not_repeat_the_size_does_no_harm",
        f"{HTTP}stat::test_the_length_of_a_redirect_is_not_the_files",
    ],
    "39 offline": [f"{HF}traps::test_offline_opens_no_socket"],
    "40 disks and destinations": [
        f"{FILES}disks::test_what_does_not_fit_is_refused_before_the_first_byte",
        f"{FILES}disks::test_a_disk_that_fills_up_on_the_way_is_said_and_leaves_nothing_unknown",
        f"{FILES}disks::test_a_folder_that_may_not_be_written_is_refused_before_the_first_byte",
        f"{FILES}disks::test_a_link_at_the_destination_is_refused_and_what_it_points_to_stays",
        f"{FILES}disks::test_two_runs_to_one_folder_both_end_right_and_share_the_large_files",
    ],
    "41 files that only Xet stores": [f"{HF}traps::test_a_xet_hash_is_never_taken_for_a_digest"],
    "42 plain http, and endpoints with a prefix": [
        f"{HF}traps::test_a_bare_401_over_http_is_still_about_the_repository",
        f"{HF}traps::test_an_endpoint_with_password_port_and_prefix_is_used_whole_and_shown_without",
    ],
}

#: 25, 26: ModelScope. 32, 34, 35, 36: S3.
OF_OTHER_HUBS = {25, 26, 32, 34, 35, 36}


@cache
def names_in(path: str) -> set[str]:
    found = ast.walk(ast.parse((ROOT / path).read_text()))
    return {node.name for node in found if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_has_tests_named_after_its_truth(trap):
    for test in TRAPS[trap]:
        module, _, name = test.partition("::")
        assert name in names_in(f"{module}.py")


def test_no_trap_is_left_out():
    assert {int(trap.partition(" ")[0]) for trap in TRAPS} | OF_OTHER_HUBS == set(range(1, 43))
