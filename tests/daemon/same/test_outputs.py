"""dfget's tests of where files go, with a daemon between; not those of what is refused before anybody is asked."""

from tests.dfget.test_outputs import (
    test_a_folder_of_a_repository_goes_there_without_its_prefix,  # noqa: F401
    test_a_folder_where_the_file_should_go_is_refused,  # noqa: F401
    test_a_repository_goes_directly_under_its_output,  # noqa: F401
    test_a_source_that_is_missing_is_noticed_before_the_first_byte_of_another,  # noqa: F401
    test_an_empty_file_is_a_file,  # noqa: F401
    test_an_unsafe_name_that_is_excluded_does_no_harm,  # noqa: F401
    test_equal_files_cross_the_network_once,  # noqa: F401
    test_globs_are_those_of_the_hubs_own_tools,  # noqa: F401
    test_globs_without_r_are_a_usage_error,  # noqa: F401
    test_nothing_to_fetch_is_said_and_no_error,  # noqa: F401
    test_odd_names_arrive_as_they_are,  # noqa: F401
    test_one_file_goes_where_cp_would_put_it,  # noqa: F401
    test_several_sources_go_into_one_folder,  # noqa: F401
    test_several_sources_that_want_one_name_are_refused_before_the_first_byte,  # noqa: F401
    test_the_pinned_url_and_the_report_name_the_commit,  # noqa: F401
    test_with_r_one_file_goes_into_the_folder_too,  # noqa: F401
)
