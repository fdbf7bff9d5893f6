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
MS, S3 = "plugins/modelscope/tests/test_", "plugins/s3/tests/test_"

TRAPS = {
    "1 a range under status 200": [
        f"{ENGINE}ranges::test_a_200_with_the_right_content_range_is_that_range",
        f"{HTTP}traps::test_a_range_under_status_200_is_accepted_by_its_content_range",
        f"{MS}trap_transfer::test_a_part_is_known_by_its_content_range_and_not_by_its_status",
        f"{S3}traps::test_a_range_under_status_200_is_accepted_by_its_content_range",
    ],
    "2 the whole file for a range": [
        f"{ENGINE}ranges::test_the_whole_file_for_a_range_means_no_ranges",
        f"{ENGINE}fetch::test_without_ranges_a_job_falls_back_to_one_stream",
        f"{HTTP}traps::test_a_whole_file_for_a_range_says_that_ranges_are_unsupported",
        f"{FILES}events::test_a_server_without_ranges_is_read_in_one_stream",
        f"{MS}trap_transfer::test_a_small_file_whose_range_is_ignored_is_not_mixed",
        f"{S3}traps::test_a_whole_object_for_a_range_is_one_stream",
    ],
    "3 another range than asked for": [
        f"{ENGINE}ranges::test_another_part_than_asked_for_yields_no_byte",
        f"{HTTP}traps::test_another_part_than_the_one_asked_for_is_thrown_away",
        f"{HTTP}traps::test_another_total_means_that_the_file_changed",
        f"{S3}traps::test_another_part_than_the_one_asked_for_is_thrown_away",
        f"{S3}traps::test_another_size_means_that_the_object_was_replaced",
    ],
    "4 several ranges at once": [
        f"{HTTP}traps::test_ranges_are_single_and_absolute",
        f"{S3}traps::test_ranges_are_single_absolute_and_signed_one_by_one",
    ],
    "5 a range past the end": [
        f"{ENGINE}ranges::test_an_end_that_is_already_reached_is_no_error_where_the_size_is_unknown",
        f"{ENGINE}ranges::test_an_empty_file_is_never_asked_for_a_range",
        f"{HTTP}traps::test_a_416_at_a_new_size_means_that_the_file_changed",
    ],
    "6 suffix ranges": [
        f"{ENGINE}ranges::test_a_range_is_absolute_and_a_whole_file_asks_for_none",
        f"{S3}traps::test_ranges_are_single_absolute_and_signed_one_by_one",
    ],
    "7 a HEAD that says zero": [
        f"{ENGINE}ranges::test_an_empty_file_that_is_not_empty_is_refused",
        f"{HTTP}stat::test_a_head_that_says_zero_is_not_believed",
        f"{MS}trap_listings::test_a_size_of_zero_is_unknown_unless_the_hash_is_that_of_nothing",
    ],
    "8 empty files, repositories and matches": [
        f"{HF}traps::test_an_empty_file_and_an_empty_repository_are_no_errors",
        f"{HTTP}stat::test_an_empty_file_has_size_zero_and_no_bytes",
        f"{FILES}outputs::test_an_empty_file_is_a_file",
        f"{FILES}outputs::test_nothing_to_fetch_is_said_and_no_error",
        f"{MS}trap_refusals::test_a_repository_without_files_is_empty_and_no_error",
        f"{S3}traps::test_an_object_of_no_bytes_is_no_error",
        f"{S3}backend::test_a_folder_of_nothing_but_its_marker_is_empty_and_a_missing_one_is_not_found",
    ],
    "9 no length": [
        f"{ENGINE}ranges::test_a_body_without_a_length_is_held_to_the_listed_size",
        f"{HTTP}traps::test_a_file_of_unknown_size_ends_where_the_body_ends",
        f"{FILES}events::test_a_chunked_body_cut_short_is_no_whole_file",
        f"{S3}traps::test_a_body_in_chunks_is_held_to_the_size",
    ],
    "10 gzip although identity was asked": [
        f"{ENGINE}ranges::test_a_compressed_whole_file_is_decoded",
        f"{HF}traps::test_gzip_although_identity_was_asked_is_decoded_to_the_right_bytes",
        f"{HTTP}traps::test_a_compressed_part_is_never_taken_for_the_plain_one",
        f"{HTTP}traps::test_a_compressed_whole_file_comes_out_plain",
        f"{MS}trap_listings::test_an_answer_of_the_api_is_read_compressed_and_refused_endless",
        f"{S3}traps::test_a_compressed_part_is_never_taken_for_the_plain_one",
    ],
    "11 weak and opaque ETags": [
        f"{ENGINE}ranges::test_a_weak_etag_says_nothing",
        f"{HTTP}headers::test_only_a_strong_etag_pins",
        f"{HTTP}stat::test_a_weak_etag_or_a_date_pins_nothing",
        f"{S3}answers::test_a_weak_etag_pins_nothing_and_an_unquoted_one_does",
    ],
    "12 which hex is which hash": [
        f"{HF}traps::test_only_forty_or_sixty_four_hex_digits_are_a_hash",
        f"{HTTP}traps::test_an_unquoted_etag_pins",
        f"{S3}answers::test_an_etag_that_need_not_be_an_md5_is_none",
    ],
    "13 metadata on the redirect": [
        f"{HF}traps::test_a_file_costs_one_resolve_call_and_no_head",
        f"{MS}trap_transfer::test_a_file_costs_one_resolve_call_and_no_head",
        f"{S3}traps::test_a_head_that_is_not_allowed_is_made_up_for_by_a_get",
    ],
    "14 redirects": [
        f"{ENGINE}redirects::test_relative_locations_are_resolved",
        f"{ENGINE}redirects::test_a_circle_ends_after_twenty_steps",
        f"{ENGINE}redirects::test_a_step_down_to_plain_http_is_refused",
        f"{HF}traps::test_a_renamed_repository_keeps_working_and_its_new_name_is_reported",
        f"{HF}traps::test_redirects_in_a_circle_end",
        f"{HTTP}traps::test_every_kind_of_redirect_is_followed",
        f"{HTTP}traps::test_a_protocol_relative_location_is_followed",
        f"{S3}traps::test_a_redirect_to_another_store_is_not_followed_with_our_signature",
    ],
    "15 credentials across origins": [
        f"{ENGINE}redirects::test_no_header_but_the_harmless_ones_reaches_another_origin",
        f"{ENGINE}redirects::test_another_port_is_another_origin",
        f"{HF}traps::test_the_token_never_reaches_another_origin",
        f"{HF}traps::test_neither_token_nor_signature_is_logged",
        f"{HTTP}secrets::test_no_credential_follows_a_redirect_to_another_server",
        f"{FILES}secrets::test_a_token_is_used_and_shown_nowhere",
        f"{FILES}secrets::test_no_log_event_or_error_shows_a_signed_link",
        f"{MS}trap_transfer::test_bearer_and_cookie_go_to_the_hub_and_to_no_other_origin",
        f"{MS}trap_transfer::test_the_leak_detector_detects",
        f"{MS}trap_transfer::test_neither_token_nor_signature_is_logged",
        f"{S3}traps::test_a_redirect_to_another_store_is_not_followed_with_our_signature",
        f"{S3}traps::test_neither_key_nor_token_nor_signature_is_logged",
        f"{S3}account::test_an_endpoint_that_a_node_chose_never_sees_what_a_seed_peer_signs_with",
    ],
    "16 a link that expires": [
        f"{ENGINE}patience::test_an_expired_link_in_the_middle_of_a_file_goes_on_at_the_offset",
        f"{ENGINE}patience::test_links_that_are_refused_again_and_again_are_a_refusal",
        f"{HF}traps::test_a_link_that_runs_out_in_the_middle_is_renewed_at_the_offset",
        f"{HTTP}traps::test_an_expired_redirect_is_asked_for_again_and_the_offset_kept",
        f"{MS}trap_transfer::test_a_link_that_runs_out_in_the_middle_is_renewed_at_the_offset",
        f"{S3}traps::test_a_session_that_runs_out_in_the_middle_is_renewed_at_the_offset",
    ],
    "17 a body cut short": [
        f"{ENGINE}patience::test_a_truncated_body_resumes_at_the_offset",
        f"{ENGINE}patience::test_only_progress_resets_the_budget",
        f"{HF}traps::test_a_cut_body_goes_on_at_the_offset",
        f"{HTTP}traps::test_a_body_cut_short_goes_on_at_the_offset",
        f"{FILES}events::test_a_break_on_the_way_is_told_and_counts_no_byte_twice",
        f"{MS}trap_transfer::test_a_cut_body_goes_on_at_the_offset",
        f"{S3}traps::test_a_cut_body_goes_on_at_the_offset",
    ],
    "18 a shorter body with a length that agrees": [
        f"{ENGINE}ranges::test_a_truncated_file_with_a_length_that_agrees_is_refused_by_the_listed_size",
        f"{HF}traps::test_a_body_shorter_than_listed_is_not_complete",
        f"{FILES}wrong_bytes::test_a_short_file_with_a_length_that_agrees_is_never_complete",
        f"{MS}trap_transfer::test_a_body_shorter_than_listed_is_not_complete",
        f"{S3}traps::test_a_body_shorter_than_listed_is_not_complete",
    ],
    "19 wrong bytes of the right length": [
        f"{HF}traps::test_wrong_bytes_of_the_right_length_do_not_match_the_digest",
        f"{FILES}wrong_bytes::test_wrong_bytes_are_fetched_once_more",
        f"{FILES}wrong_bytes::test_bytes_that_stay_wrong_are_an_error_and_leave_nothing",
        f"{MS}trap_transfer::test_wrong_bytes_of_the_right_length_do_not_match_the_digest",
        f"{S3}traps::test_wrong_bytes_of_the_right_length_do_not_match_the_digest",
    ],
    "20 a 5xx": [
        f"{HF}traps::test_a_failing_file_request_is_tried_again",
        f"{HF}traps::test_a_failing_api_call_is_tried_again_and_then_names_the_endpoint",
        f"{HTTP}traps::test_a_5xx_is_tried_again",
        f"{MS}trap_transfer::test_a_failing_file_request_is_tried_again",
        f"{MS}trap_transfer::test_a_failing_api_call_is_tried_again_and_then_names_the_endpoint",
        f"{S3}traps::test_what_may_pass_is_tried_again",
    ],
    "21 a 429": [
        f"{ENGINE}pauses::test_what_the_headers_ask_for",
        f"{ENGINE}patience::test_a_429_pauses_every_reader_of_that_host",
        f"{HF}traps::test_a_rate_limit_is_waited_out",
        f"{HTTP}traps::test_a_429_is_obeyed_in_both_spellings",
        f"{HTTP}traps::test_a_pause_too_long_is_an_error_that_names_it",
        f"{MS}trap_transfer::test_a_rate_limit_is_waited_out_and_one_that_lasts_says_what_helps",
        f"{S3}traps::test_what_may_pass_is_tried_again",
    ],
    "22 gated, private, missing": [
        f"{HF}traps::test_a_gated_repository_is_answered_with_where_to_accept_the_terms",
        f"{HF}backend::test_a_missing_and_a_private_repository_look_the_same_and_both_are_said",
        f"{FILES}errors::test_a_gated_repository_says_where_to_accept_the_terms",
        f"{FILES}errors::test_a_missing_and_a_private_repository_look_the_same_and_both_are_said",
        f"{MS}trap_pins::test_a_gated_repository_lists_to_all_and_is_authorized_by_its_content",
        f"{MS}trap_refusals::test_a_private_repository_is_answered_with_where_to_ask",
        f"{S3}traps::test_what_credentials_do_not_open_may_also_not_exist_or_want_to_be_paid",
    ],
    "23 kinds of not found": [
        f"{HF}traps::test_the_kinds_of_not_found_are_told_apart",
        f"{HTTP}stat::test_a_missing_file_is_not_found_and_costs_two_calls",
        f"{FILES}errors::test_what_is_not_found_is_answered_with_what_comes_near",
        f"{MS}trap_refusals::test_the_kinds_of_not_found_are_told_apart",
        f"{S3}traps::test_a_missing_object_bucket_and_version_are_told_apart",
    ],
    "24 a web page in a file's place": [
        f"{ENGINE}ranges::test_a_web_page_is_not_a_model",
        f"{ENGINE}ranges::test_an_error_body_is_not_read_to_its_end",
        f"{HF}traps::test_a_web_page_in_place_of_a_file_is_not_a_hub",
        f"{HF}traps::test_a_redirect_to_a_login_page_is_not_a_hub",
        f"{HTTP}traps::test_a_login_page_in_mid_download_is_not_stored",
        f"{FILES}errors::test_a_login_page_in_a_files_place_is_never_stored",
        f"{MS}trap_refusals::test_an_answer_that_is_no_json_is_not_a_hub",
        f"{MS}trap_refusals::test_a_refusal_in_place_of_a_file_is_not_its_content",
        f"{S3}traps::test_a_login_page_is_never_the_object",
        f"{S3}traps::test_a_login_page_in_front_of_the_store_is_said_to_be_no_store",
        f"{S3}traps::test_an_error_longer_than_any_error_is_not_read_to_its_end",
    ],
    "25 a refusal under status 200": [
        f"{MS}trap_refusals::test_a_refusal_or_a_strange_answer_under_200_is_never_an_empty_listing",
        f"{MS}trap_refusals::test_a_business_code_is_believed_before_the_status",
        f"{MS}trap_refusals::test_a_revision_that_does_not_exist_is_not_an_empty_repository",
        f"{MS}trap_pins::test_no_access_under_200_is_no_access",
        f"{MS}real_client::test_a_refusal_under_200_is_an_empty_success_to_the_client",
        f"{S3}put::test_a_refusal_under_status_200_is_tried_again_and_then_an_error",
    ],
    "26 listings cut without a word, and their rows": [
        f"{MS}trap_listings::test_a_listing_of_exactly_3000_rows_is_read_again_folder_by_folder",
        f"{MS}trap_listings::test_a_folder_of_3000_files_is_refused_and_never_cut_short",
        f"{MS}trap_listings::test_a_dataset_whose_pages_begin_again_is_refused",
        f"{MS}trap_listings::test_a_page_that_is_denied_after_others_were_shown_is_asked_for_again",
        f"{MS}trap_listings::test_folders_and_submodules_are_no_files",
        f"{MS}trap_listings::test_a_file_without_a_hash_is_pinned_by_its_commit",
        f"{MS}trap_listings::test_a_size_of_zero_is_unknown_unless_the_hash_is_that_of_nothing",
    ],
    "27 pages of a listing": [
        f"{HF}traps::test_a_listing_is_read_to_its_last_page",
        f"{HF}traps::test_a_listing_that_fails_on_a_later_page_is_no_shorter_listing",
        f"{HF}traps::test_a_next_page_outside_the_api_is_refused",
        f"{MS}trap_listings::test_a_dataset_is_read_to_its_last_page",
        f"{MS}trap_listings::test_a_dataset_that_fails_on_a_later_page_is_no_shorter_dataset",
        f"{S3}backend::test_every_page_of_a_listing_is_read",
        f"{S3}backend::test_a_listing_that_leads_in_a_circle_ends",
    ],
    "28 a revision with a slash": [
        f"{HF}traps::test_a_revision_with_a_slash_is_one_segment_and_only_asked_once",
        f"{MS}urls::test_a_url_names_what_it_says",
    ],
    "29 a branch that moves": [
        f"{HF}traps::test_a_branch_that_moves_after_the_listing_changes_nothing",
        f"{HF}traps::test_an_answer_for_another_commit_is_refused_before_its_first_byte",
        f"{HF}traps::test_a_branch_named_like_a_commit_does_not_pass_for_it",
        f"{FILES}interrupted::test_a_pinned_revision_goes_on_whatever_happens_to_the_branch",
        f"{MS}trap_pins::test_a_branch_that_moves_after_the_listing_changes_nothing",
        f"{MS}trap_pins::test_a_branch_named_like_a_commit_does_not_pass_for_it",
        f"{MS}swarm::test_a_revision_is_pinned_while_its_branch_moves",
        f"{S3}backend::test_an_object_of_a_versioned_bucket_is_pinned_by_its_version",
        f"{S3}swarm::test_a_version_stays_what_it_was_while_its_key_is_written_again",
    ],
    "30 odd names": [
        f"{HF}traps::test_odd_names_are_quoted_once_and_decoded_never",
        f"{HTTP}traps::test_strange_names_arrive_as_they_are",
        f"{FILES}outputs::test_odd_names_arrive_as_they_are",
        f"{FILES}outputs::test_an_odd_name_can_be_asked_for_alone",
        f"{MS}trap_listings::test_odd_names_are_quoted_once_with_plus_for_space_and_decoded_never",
        f"{S3}backend::test_strange_keys_are_listed_and_fetched_as_boto3_does",
        f"{S3}urls::test_every_character_of_a_key_is_encoded_once",
    ],
    "31 hostile names": [
        f"{HF}traps::test_names_of_a_listing_are_handed_on_as_they_are_for_the_core_to_judge",
        f"{HTTP}links::test_an_unsafe_name_is_no_name",
        f"{FILES}outputs::test_an_unsafe_listing_is_refused_before_the_first_byte",
        f"{FILES}outputs::test_what_no_hub_lists_is_refused_too",
        f"{MS}trap_listings::test_names_of_a_listing_are_handed_on_as_they_are_for_the_core_to_judge",
        f"{S3}command::test_keys_that_cannot_be_files_side_by_side_are_refused_before_anything_is_fetched",
    ],
    "32 markers, odd keys, archives, and who pays": [
        f"{S3}backend::test_markers_of_folders_are_passed_over_and_everything_else_is_kept",
        f"{S3}backend::test_a_url_without_a_final_slash_is_the_object_else_what_is_below",
        f"{S3}command::test_keys_that_cannot_be_files_side_by_side_are_refused_before_anything_is_fetched",
        f"{S3}traps::test_an_archived_object_is_listed_and_refused_when_it_is_fetched",
        f"{S3}traps::test_what_credentials_do_not_open_may_also_not_exist_or_want_to_be_paid",
    ],
    "33 replaced while its ranges are in flight": [
        f"{ENGINE}ranges::test_an_etag_is_compared_even_where_the_server_ignores_if_match",
        f"{HTTP}traps::test_a_changed_file_is_noticed_by_its_strong_etag",
        f"{HTTP}traps::test_a_changed_file_is_noticed_by_its_weak_marks",
        f"{FILES}interrupted::test_a_file_changed_while_it_is_fetched_is_noticed",
        f"{MS}trap_transfer::test_content_that_is_announced_as_another_files_is_refused",
        f"{S3}traps::test_an_object_that_is_replaced_in_the_middle_ends_the_download",
        f"{S3}traps::test_a_store_that_ignores_if_match_is_found_out_by_its_etag",
        f"{S3}traps::test_a_store_that_answers_with_another_version_is_found_out",
    ],
    "34 ETags and checksums of a store": [
        f"{S3}answers::test_a_checksum_of_the_whole_object_verifies",
        f"{S3}answers::test_a_checksum_of_parts_or_of_a_wrong_length_is_left_out",
        f"{S3}answers::test_an_etag_that_need_not_be_an_md5_is_none",
        f"{S3}traps::test_a_checksum_is_asked_for_and_one_of_parts_left_out",
        f"{S3}traps::test_an_encrypted_objects_etag_does_not_refuse_its_right_bytes",
    ],
    "35 regions, clocks, sessions": [
        f"{S3}traps::test_a_bucket_in_another_region_is_asked_there",
        f"{S3}traps::test_an_anonymous_request_to_aws_learns_the_region_from_the_answer",
        f"{S3}traps::test_a_store_that_sends_from_region_to_region_is_given_up",
        f"{S3}traps::test_a_wrong_clock_is_said_to_be_wrong_and_by_how_much",
        f"{S3}traps::test_a_session_that_runs_out_in_the_middle_is_renewed_at_the_offset",
        f"{S3}traps::test_a_session_that_cannot_be_renewed_says_whose_it_is",
    ],
    "36 no credentials": [
        f"{S3}account::test_an_instance_role_that_does_not_answer_is_asked_for_once_and_given_up",
        f"{S3}account::test_the_instance_role_is_not_asked_for_where_there_are_credentials",
        f"{S3}traps::test_without_credentials_nothing_is_signed_and_a_refusal_says_where_they_were_looked_for",
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
    "39 offline": [
        f"{HF}traps::test_offline_opens_no_socket",
    ],
    "40 disks and destinations": [
        f"{FILES}disks::test_what_does_not_fit_is_refused_before_the_first_byte",
        f"{FILES}disks::test_a_disk_that_fills_up_on_the_way_is_said_and_leaves_nothing_unknown",
        f"{FILES}disks::test_a_folder_that_may_not_be_written_is_refused_before_the_first_byte",
        f"{FILES}disks::test_a_link_at_the_destination_is_refused_and_what_it_points_to_stays",
        f"{FILES}disks::test_two_runs_to_one_folder_both_end_right_and_share_the_large_files",
    ],
    "41 files that only Xet stores": [
        f"{HF}traps::test_a_xet_hash_is_never_taken_for_a_digest",
        f"{S3}backend::test_an_upload_in_parts_has_no_digest_and_is_pinned_all_the_same",
    ],
    "42 plain http, and endpoints with a prefix": [
        f"{HF}traps::test_a_bare_401_over_http_is_still_about_the_repository",
        f"{HF}traps::test_an_endpoint_with_password_port_and_prefix_is_used_whole_and_shown_without",
        f"{MS}trap_pins::test_an_endpoint_with_password_port_and_prefix_is_used_whole_and_shown_without",
        f"{S3}urls::test_what_is_no_endpoint_is_a_usage_error_without_the_password",
    ],
}

#: Traps that a hub cannot set, or that the engine meets for it without the hub's having a way of its own.
ELSEWHERE = {
    MS: {
        **dict.fromkeys((3, 4, 5, 6, 9, 14, 37, 38), "the engine's: the hub brings about nothing else"),
        **dict.fromkeys((11, 12), "the hub's ETags are not used: its listing has the SHA-256 of every file"),
        **dict.fromkeys((32, 34, 35, 36), "of object stores"),
        39: "the hub's tools have no offline mode",
        40: "of the user's disk",
        41: "the hub tells a SHA-256 of what it stores itself",
    },
    S3: {
        **dict.fromkeys((5, 7, 37), "the engine's: a store brings about nothing else"),
        26: "of one hub's listings",
        28: "there are versions, and no branches",
        38: "a store serves its objects itself",
        39: "there is no offline mode",
        40: "of the user's disk",
    },
}


@cache
def names_in(path: str) -> set[str]:
    found = ast.walk(ast.parse((ROOT / path).read_text()))
    return {node.name for node in found if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_has_tests_named_after_its_truth(trap):
    for test in TRAPS[trap]:
        module, _, name = test.partition("::")
        assert name in names_in(f"{module}.py")


def number(trap: str) -> int:
    return int(trap.partition(" ")[0])


def test_no_trap_is_left_out():
    assert {number(trap) for trap in TRAPS} == set(range(1, 43))


@pytest.mark.parametrize("hub", ELSEWHERE, ids=["modelscope", "s3"])
def test_a_hub_meets_every_trap_itself_or_it_is_said_who_does(hub):
    met = {number(trap) for trap, tests in TRAPS.items() if any(test.startswith(hub) for test in tests)}
    assert met.isdisjoint(ELSEWHERE[hub])
    assert met | ELSEWHERE[hub].keys() == set(range(1, 43))
