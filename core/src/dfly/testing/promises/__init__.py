"""The promises of `dfly.backend` as tests, by subject. `dfly.testing.contract` puts them together."""
