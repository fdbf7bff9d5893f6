"""dfget's tests of where files go, with a daemon between."""

from tests.dfget.test_outputs import *  # noqa: F403
