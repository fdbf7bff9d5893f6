"""dfget's tests of hubs that send wrong bytes, with a daemon between."""

from tests.dfget.test_wrong_bytes import *  # noqa: F403
