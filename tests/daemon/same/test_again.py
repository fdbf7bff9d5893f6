"""dfget's tests of a second run, with a daemon between; not those that count what the hub is asked for: the cache answers."""

from tests.dfget.test_again import (
    repo,  # noqa: F401
    test_a_demanded_digest_is_checked_on_what_is_there,  # noqa: F401
    test_a_file_changed_upstream_is_replaced_and_no_other,  # noqa: F401
    test_a_file_that_upstream_removed_stays,  # noqa: F401
    test_a_repository_costs_two_calls_to_find_that_nothing_changed,  # noqa: F401
    test_a_second_run_through_another_name_of_the_same_commit_transfers_nothing,  # noqa: F401
    test_a_second_run_touches_no_file,  # noqa: F401
    test_a_second_run_transfers_nothing_and_says_so,  # noqa: F401
    test_a_web_file_that_nothing_but_a_demanded_digest_pins_is_not_fetched_twice,  # noqa: F401
    test_a_web_file_that_nothing_pins_is_fetched_each_time,  # noqa: F401
    test_a_web_file_with_a_strong_etag_is_not_fetched_twice,  # noqa: F401
    test_files_that_another_tool_brought_are_recognised,  # noqa: F401
    test_without_its_receipt_a_file_is_hashed_and_not_fetched,  # noqa: F401
)
