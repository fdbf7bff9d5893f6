"""What an origin's headers may say: every answer is bytes of the right length or a SourceError that names the file."""

import httpx
from hypothesis import example
from hypothesis import strategies as st
from tests.fuzz.material import digits, fuzz, headers, texts

from dfly.errors import DflyError, SourceError
from dfly.origin.answers import Wanted, accept
from dfly.origin.pauses import Pauses, asked_pause
from dfly.origin.redirects import SafeRedirects
from dfly.values import Entry
from dfly_http.headers import Facts, Mark
from dfly_http.links import safe_name
from dfly_s3.answers import Facts as ObjectFacts

RANGES = st.builds("{}{}{}{}/{}".format, st.sampled_from(["bytes ", "Bytes ", "", "bytes=", "bits "]), digits,
                   st.sampled_from(["-", "", "--", "–"]), digits, digits | st.just("*"))  # fmt: skip
NAMES = ("content-range", "content-length", "content-encoding", "content-type", "etag", "content-disposition",
         "repr-digest", "digest", "content-digest", "content-md5", "last-modified", "x-amz-version-id",
         "x-amz-checksum-sha256", "x-amz-checksum-type")  # fmt: skip


def answer(status, fields):
    raw = [(name.encode(), value.encode("utf-8", "replace")) for name, value in fields.items()]
    return httpx.Response(status, headers=raw, request=httpx.Request("GET", "http://h/model.bin"))


@fuzz(
    st.sampled_from([200, 203, 206, 416, 204]),
    st.dictionaries(st.sampled_from(NAMES), headers | RANGES | digits, max_size=4),
    st.tuples(st.integers(0, 99), st.none() | st.integers(1, 100)).filter(lambda r: r[1] is None or r[0] < r[1]),
    st.sampled_from([100, None]),
    examples=200,
)
@example(206, {"content-range": f"bytes 0-{'9' * 5000}/100"}, (0, 100), 100)
@example(200, {"content-length": "9" * 5000}, (0, 100), 100)
@example(416, {"content-range": f"bytes */{'9' * 5000}"}, (0, 100), 100)
@example(206, {"content-range": "bytes ٣-٤/100"}, (3, 5), 100)
def test_an_answer_to_a_range_is_a_body_or_a_source_error(status, fields, wanted, size):
    start, stop = wanted
    entry = Entry(path="model.bin", size=size, url="u", identity="i")
    try:
        body = accept(answer(status, fields), entry, Wanted(start, stop, whole=(start, stop) == (0, size)), url="u")
    except SourceError:
        return
    assert body.length is None or 0 <= body.length <= 1 << 64
    if stop is not None and body.length is not None and not body.encoded:
        assert body.length <= stop - start or status in (200, 203)


POLICIES = st.lists(
    st.builds('"{}";r={};t={}'.format, texts, digits, digits) | headers | st.builds("{};t={}".format, headers, headers)
).map(",".join)
DATES = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format, st.sampled_from(["Mon", "", "Fri"]), digits, st.sampled_from(["Jan", "Feb", "x"]),
    st.integers(0, 10**6), digits, digits, digits, st.sampled_from(["GMT", "-0000", "+9999", "", "+1e9"]),
)  # fmt: skip


@fuzz(
    st.dictionaries(st.sampled_from(["ratelimit", "retry-after", "date"]), POLICIES | DATES | headers | digits),
    examples=200,
)
@example({"retry-after": "nan"})
@example({"retry-after": "inf"})
@example({"retry-after": "1e400"})
@example({"retry-after": "-1"})
@example({"retry-after": "9" * 5000})
@example({"ratelimit": '"resolvers";r=0;t=nan'})
@example({"ratelimit": '"resolvers";r=0;t=inf'})
@example({"retry-after": "Mon, 01 Jan 0001 00:00:00 -0000"})
@example({"retry-after": "Mon, 0 Jan 0 0:0:2147483648 GMT"})
@example({"retry-after": "Mon, 01 Jan 0001 00:00:00 +0000", "date": "Fri, 31 Dec 9999 23:59:59 -0000"})
@example({"retry-after": "Fri, 31 Dec 9999 23:59:59 -2359"})
@example({"retry-after": "Mon, 01 Jan 2000 00:00:00 +99999999999"})
def test_a_pause_that_is_asked_for_is_seconds_or_nothing(fields):
    asked = asked_pause(fields, now=lambda: 0.0)
    assert asked is None or asked >= 0.0
    if asked is not None:
        pauses = Pauses(longest=600.0)
        try:
            pauses.pause("http://h", asked)
        except SourceError:
            assert asked > 600.0
        assert 0.0 <= pauses.remaining("http://h") <= 600.0


@fuzz(
    st.sampled_from([200, 206, 416]),
    st.dictionaries(st.sampled_from(NAMES), headers | RANGES, max_size=5),
    examples=150,
)
@example(200, {"content-length": "9" * 5000})
@example(206, {"content-range": f"bytes 0-0/{'9' * 5000}"})
@example(200, {"content-disposition": "attachment; filename*=utf-8''%ff%00"})
@example(200, {"content-disposition": "attachment; filename*=nonsense''x"})
@example(200, {"content-disposition": "attachment; filename*0*=x''a; filename*9=b"})
def test_the_facts_of_a_download_are_facts(status, fields):
    response = answer(status, fields)
    facts = Facts.of(response)
    assert facts.size is None or 0 <= facts.size < 1 << 64
    assert not any(c in facts.name for c in "/\\\0")
    assert facts.name not in (".", "..")
    mark = Mark.of(response)
    assert mark is None or not mark.contradicts(response)
    stored = ObjectFacts.of(response.headers)
    assert stored.size is None or 0 <= stored.size < 1 << 64


@fuzz(texts | headers, st.booleans())
def test_a_name_that_a_server_gives_is_one_plain_name_or_none(raw, decoded):
    name = safe_name(raw, decoded=decoded)
    assert "/" not in name
    assert name.isprintable()
    assert name not in (".", "..")


LOCATIONS = (
    headers
    | texts
    | st.builds("{}://{}{}".format, st.sampled_from(["http", "https", "file", "//", "HTTP"]), headers, headers)
)


class Hops(httpx.BaseTransport):
    def __init__(self, location):
        self.location, self.asked = location.encode("utf-8", "surrogatepass"), []

    def handle_request(self, request):
        self.asked.append(request)
        if len(self.asked) > 1:
            return httpx.Response(200, content=b"x")
        return httpx.Response(302, headers=[(b"location", self.location)])


@fuzz(LOCATIONS, examples=150)
@example("http://[::1")
@example("//h:99999999999/")
@example("http://\x00/")
@example("http://xn--a/")
@example("http://me:pw@127.0.0.1/")
@example("https://" + "a" * 300 + "/")
def test_wherever_a_redirect_leads_the_secrets_stay(location):
    hops = Hops(location)
    sent = {"Authorization": "Bearer s3cret", "X-Api-Key": "s3cret", "Cookie": "c=s3cret"}
    with httpx.Client(transport=SafeRedirects(hops)) as client:
        try:
            client.get("http://hub.invalid/f", headers=sent)
        except (DflyError, httpx.InvalidURL):
            return
    for hop in hops.asked[1:]:
        if hop.url.raw_host != b"hub.invalid" or hop.url.port is not None:
            assert "s3cret" not in str(hop.headers)
        assert not hop.url.userinfo
