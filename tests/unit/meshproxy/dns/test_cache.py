"""What is remembered, and for how long."""

from meshproxy.dns import message as dns
from meshproxy.dns.cache import CacheSettings, DnsCache
from meshproxy.dns.message import Answer, Question, Record
from meshproxy.dns.name import wire_of

NAME = wire_of("www.example.com")
ASKED = Question(NAME, dns.A)
SOA = Record(wire_of("example.com"), dns.SOA, 900, bytes(22))


def a(ttl: int) -> Record:
    return Record(NAME, dns.A, ttl, bytes(4))


def test_an_answer_is_kept_until_its_lowest_ttl_is_over() -> None:
    cache = DnsCache()
    answer = Answer(0, (a(60), a(30)))
    cache.keep(ASKED, answer, 100.0)
    assert cache.find(Question(wire_of("WWW.example.com"), dns.A), 112.9) == (answer, 12)
    assert cache.find(Question(NAME, dns.AAAA), 112.0) is None
    assert cache.find(ASKED, 130.0) is None
    assert len(cache) == 0


def test_an_answer_is_not_kept_longer_than_the_bound() -> None:
    cache = DnsCache()
    cache.keep(ASKED, Answer(0, (a(10**6),)), 0.0)
    assert cache.find(ASKED, 3599.0)
    assert cache.find(ASKED, 3600.0) is None


def test_negative_answers_are_kept_as_their_zone_says_within_bounds() -> None:
    for rcode in (dns.NXDOMAIN, dns.NOERROR):
        cache = DnsCache()
        cache.keep(ASKED, Answer(rcode, (), SOA), 0.0)
        assert cache.find(ASKED, 299.0)
        assert cache.find(ASKED, 300.0) is None


def test_what_does_not_say_for_how_long_is_not_kept() -> None:
    cache = DnsCache()
    alias = Record(NAME, dns.CNAME, 60, wire_of("b.example.com"))
    for answer in (
        Answer(dns.NXDOMAIN),
        Answer(dns.NOERROR),
        Answer(dns.NOERROR, (alias,)),
        Answer(0, (a(0),)),
        Answer(dns.SERVFAIL, (a(60),)),
    ):
        cache.keep(ASKED, answer, 0.0)
    assert len(cache) == 0


def test_what_was_not_used_longest_goes_first() -> None:
    cache = DnsCache(CacheSettings(max_entries=2))
    asked = [Question(wire_of(f"{name}.example"), dns.A) for name in "abc"]
    for question in asked[:2]:
        cache.keep(question, Answer(0, (a(60),)), 0.0)
    assert cache.find(asked[0], 1.0)
    cache.keep(asked[2], Answer(0, (a(60),)), 1.0)
    assert [cache.find(question, 2.0) is not None for question in asked] == [True, False, True]


def test_giants_are_not_kept() -> None:
    cache = DnsCache(CacheSettings(max_answer_size=100))
    cache.keep(ASKED, Answer(0, (a(60),) * 20), 0.0)
    assert len(cache) == 0


def test_what_is_kept_has_a_size_in_memory_not_in_the_message() -> None:
    """500 addresses of a short name are 4 KB of data, and twenty times as much of objects."""
    cache = DnsCache(CacheSettings(max_size=20_000))
    for number in range(50):
        name = wire_of(f"a{number}")
        cache.keep(Question(name, dns.A), Answer(0, (Record(name, dns.A, 60, bytes(4)),) * 20), 0.0)
    assert 0 < cache.size <= 20_000
    assert len(cache) < 6
    assert cache.find(Question(wire_of("a49"), dns.A), 1.0)
    assert cache.find(Question(wire_of("a0"), dns.A), 1.0) is None


def test_what_is_replaced_or_over_takes_no_place() -> None:
    cache = DnsCache()
    for _ in range(3):
        cache.keep(ASKED, Answer(0, (a(60),)), 0.0)
    once = cache.size
    assert cache.find(ASKED, 60.0) is None
    assert (cache.size, once < 1000) == (0, True)
