"""Plugins are found by entry point; what is broken is named and harms nobody."""

import os
import subprocess
import sys
from importlib import metadata

import pytest

from dfly.errors import PluginError, UnknownScheme, UsageError
from dfly.plugins import Broken, Found, Plugins
from dfly.testing.memory import memory_backend


def test_the_installed_plugins_are_found_in_this_environment():
    plugins = Plugins()
    assert {"hf", "http", "https"} <= set(plugins.schemes())
    assert plugins.backend("https") is plugins.backend("http")


def test_a_scheme_leads_to_its_distributions_class(site):
    site.install("dfly-plugin-gopher", schemes=("gopher",), version="2.1")
    plugins = Plugins(entry_points=site.entry_points())
    assert plugins.found() == (Found("gopher", "dfly_plugin_gopher", "dfly-plugin-gopher", "2.1"),)
    assert plugins.backend("gopher").schemes == ("gopher",)
    assert plugins.backend_for("GOPHER://host/file") is plugins.backend("gopher")


def test_what_is_installed_meanwhile_is_found(site):
    site.install("dfly-plugin-gopher", schemes=("gopher",))
    assert "gopher" in Plugins().schemes()
    before = site.path.stat().st_mtime_ns
    site.install("dfly-plugin-wais", schemes=("wais",))
    os.utime(site.path, ns=(before + 10**9, before + 10**9))  # not in the tick of the last look
    assert {"gopher", "wais"} <= set(Plugins().schemes())


def test_an_unknown_scheme_names_the_installed_ones_and_what_to_install(site):
    site.install("dfly-plugin-gopher", schemes=("gopher", "gophers"))
    with pytest.raises(UnknownScheme) as caught:
        Plugins(entry_points=site.entry_points()).backend_for("wais://host/file")
    assert "gopher, gophers" in caught.value.message
    assert caught.value.hint == "pip install dfly-plugin-wais"
    assert caught.value.exit_code == 2


def test_with_no_plugin_at_all_the_message_says_none():
    with pytest.raises(UnknownScheme, match="installed: none"):
        Plugins(entry_points=metadata.EntryPoints()).backend("wais")


@pytest.mark.parametrize("url", ["model.bin", "gopher://", "://x", "/local/path", ""])
def test_what_is_no_url_is_a_usage_error_that_shows_the_form(url, site):
    site.install("dfly-plugin-gopher", schemes=("gopher",))
    with pytest.raises(UsageError) as caught:
        Plugins(entry_points=site.entry_points()).backend_for(url)
    assert "gopher" in caught.value.hint or isinstance(caught.value, UnknownScheme)


BROUGHT = """
import dfly
class Gopher(dfly.Backend):
    {}
    stat = list = None
@dfly.hookimpl
def dfly_backends(): return [Gopher]
"""


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import a_module_that_is_not_there", "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"),
        ("raise RuntimeError('no such card')", "RuntimeError: no such card"),
        ("def broken(:", "SyntaxError"),
        ("import sys; sys.exit('wrong machine')", "SystemExit: wrong machine"),
        ("import dfly\n@dfly.hookimpl\ndef dfly_backends(): raise OSError('no burrow')", "OSError: no burrow"),
        ("import dfly\n@dfly.hookimpl\ndef dfly_backends(): return [int]", "not a subclass of dfly.Backend"),
        (BROUGHT.format("schemes = ('gopher')"), "Gopher.schemes is 'gopher', which is not a tuple"),
        (
            BROUGHT.format("schemes = ('gopher',); options = dict"),
            "Gopher.options is <class 'dict'>, which is not an attrs",
        ),
        ("import dfly\n@dfly.hookimpl\ndef dfly_backends(): return []", "brings no backend with 'gopher'"),
        ("", "brings no backend with 'gopher'"),
    ],
    ids=[
        "missing-import",
        "raises",
        "syntax",
        "exits",
        "hook-raises",
        "not-a-backend",
        "one-word",
        "no-attrs",
        "empty-hook",
        "no-hook",
    ],
)
def test_a_broken_plugin_is_reported_by_distribution_and_harms_no_other(source, reason, site):
    site.install("dfly-plugin-gopher", schemes=("gopher",), source=source)
    site.install("dfly-plugin-wais", schemes=("wais",))
    plugins = Plugins(entry_points=site.entry_points())
    assert set(plugins.load_all()) == {"wais"}
    (broken,) = plugins.broken()
    assert (broken.scheme, broken.distribution) == ("gopher", "dfly-plugin-gopher")
    assert reason in broken.reason
    for _ in range(2):  # asking again says the same
        with pytest.raises(PluginError, match="dfly-plugin-gopher") as caught:
            plugins.backend("gopher")
        assert reason in caught.value.message
    assert plugins.backend("wais").schemes == ("wais",)


def test_two_distributions_with_one_scheme_are_both_named(site):
    site.install("dfly-plugin-gopher", schemes=("gopher",))
    site.install("rival-gopher", schemes=("gopher", "wais"))
    plugins = Plugins(entry_points=site.entry_points())
    reason = "dfly-plugin-gopher already serves gopher://; uninstall one of the two"
    assert plugins.broken() == (Broken("gopher", "rival-gopher", reason),)
    assert plugins.backend("gopher").__module__ == "dfly_plugin_gopher"
    assert plugins.backend("wais").__module__ == "rival_gopher"


def test_several_schemes_of_one_module_share_a_class(site):
    site.install("dfly-plugin-gopher", schemes=("gopher", "gophers"))
    plugins = Plugins(entry_points=site.entry_points())
    assert plugins.backend("gophers") is plugins.backend("gopher")
    assert set(plugins.load_all()) == {"gopher", "gophers"}


def test_a_pasted_link_of_a_known_host_goes_to_its_hub(site):
    site.install("dfly-plugin-gopher", schemes=("gopher",), hosts=("Gopher.Example",))
    site.install("dfly-plugin-web", schemes=("https",))
    plugins = Plugins(entry_points=site.entry_points())
    hub, web = plugins.backend("gopher"), plugins.backend("https")
    assert plugins.backend_for("https://gopher.example/owner/repo") is hub
    assert plugins.backend_for("https://me@GOPHER.example:8443/owner/repo") is hub
    assert plugins.backend_for("https://gopher.example.evil/owner/repo") is web
    assert plugins.backend_for("https://[broken/owner/repo") is web


def test_classes_can_be_given_without_a_distribution(site):
    memory = memory_backend({})
    plugins = Plugins(extra=[memory], entry_points=site.entry_points())
    assert plugins.backend_for("memory://tiny/a") is memory
    assert plugins.schemes() == ("memory",)


def test_only_the_plugin_that_is_needed_is_imported(site):
    site.install("dfly-plugin-gopher", schemes=("gopher",))
    site.install("dfly-plugin-wais", schemes=("wais",))
    script = (
        "import sys; from dfly.plugins import Plugins; plugins = Plugins(); plugins.schemes();"
        "heavy = {'dfly_plugin_gopher', 'dfly_plugin_wais', 'dfly_hf', 'dfly_http', 'httpx'};"
        "loaded = lambda: sorted(heavy & set(sys.modules));"
        "print(loaded()); plugins.backend('wais'); print(loaded())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(site.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["[]", "['dfly_plugin_wais']"]
