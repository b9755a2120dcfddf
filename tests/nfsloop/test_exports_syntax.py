"""exports(5) as nfs-utils reads it: words, continuation, options, clients; and what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nfsloop.exports5 import Client, Entry, Where, format, merge, parse, parse_clients
from nfsloop.hosts import HostPattern, Kind
from nfsloop.options import FILE_DEFAULTS, IGNORED, Options

RO = FILE_DEFAULTS


def clients(text: str) -> list[tuple[str, str]]:
    """Hosts and options of the one entry of a text without errors."""
    parsed = parse(text)
    assert not parsed.errors, parsed.errors
    (entry,) = parsed.entries
    return [(client.host.text, str(client.options)) for client in entry.clients]


def said(text: str) -> list[str]:
    """All problems of a text."""
    return [str(problem) for problem in parse(text, "f").problems]


def test_exports_the_line_of_the_manual() -> None:
    assert clients("/srv 10.0.0.0/8(rw,no_root_squash) host(ro) *.example.org fd00::/8(rw)") == [
        ("10.0.0.0/8", "rw,no_root_squash,secure"),
        ("host", "ro,root_squash,secure"),
        ("*.example.org", "ro,root_squash,secure"),
        ("fd00::/8", "rw,root_squash,secure"),
    ]


def test_exports_the_defaults_are_those_of_exports_5() -> None:
    """Read-only, and from reserved ports only; another default than the command line's."""
    (entry,) = parse("/srv host()").entries
    assert entry.clients[0].options == FILE_DEFAULTS
    assert FILE_DEFAULTS.read_only and FILE_DEFAULTS.secure and FILE_DEFAULTS.root_squash
    assert FILE_DEFAULTS.sync and not FILE_DEFAULTS.all_squash
    assert not Options().read_only and Options().secure is None


def test_exports_every_option_counts() -> None:
    words = "rw,async,insecure,all_squash,anonuid=5,anongid=6"
    (entry,) = parse(f"/srv *({words})").entries
    assert entry.clients[0].options == Options(False, True, True, 5, 6, False, False)
    again = "ro,sync,secure,no_all_squash,no_root_squash"
    (entry,) = parse(f"/srv *({words},{again})").entries
    assert entry.clients[0].options == Options(True, False, False, 5, 6, True, True)


def test_exports_default_options_of_a_line() -> None:
    """They hold for this line, and each client may differ."""
    text = "/a -rw,async one two(ro) three(sync)\n/b one"
    first, second = parse(text).entries
    # "one or more": each is for the clients behind it
    assert clients("/a one -rw two(async) -sync,all_squash three -ro") == [
        ("one", "ro,root_squash,secure"),
        ("two", "rw,root_squash,async,secure"),
        ("three", "rw,root_squash,all_squash,secure"),
    ]
    assert [str(c.options) for c in first.clients] == [
        "rw,root_squash,async,secure",
        "ro,root_squash,async,secure",
        "rw,root_squash,secure",
    ]
    assert second.clients[0].options == FILE_DEFAULTS


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('"/my data" *', "/my data"),
        ("/my\\040data *", "/my data"),
        ('/my" "data *', "/my data"),
        ("/a\\134b *", "/a\\b"),
        ("/a\\b *", "/a\\b"),
        ("/a\\400 *", "/a\\400"),
        ("/caf\\303\\251 *", "/café"),
        ("/café *", "/café"),
        ("/\\377 *", "/\udcff"),
        ('"/a#b" *', "/a#b"),
        ("/a#b *", "/a#b"),
        ("//a/./b// *", "/a/b"),
        ("/ *", "/"),
        ("\t /a\t*\t", "/a"),
        ("/a \\\n  *", "/a"),
        ("/a\\\n*", "/a"),
        ("# /x *\n\n  # more\n/a * # rest *", "/a"),
        ("# goes on \\\n/x *\n/a *", "/a"),
        ("/a *\r\n", "/a"),
    ],
)
def test_exports_words(text: str, path: str) -> None:
    parsed = parse(text)
    assert not parsed.problems, parsed.problems
    assert [(entry.path, len(entry.clients)) for entry in parsed.entries] == [(path, 1)]


def test_exports_a_blank_before_the_parenthesis() -> None:
    """The trap of the manual: the host has the defaults, and the world has the options."""
    (problem,) = parse("/srv host (rw)").problems
    assert not problem.error and "was host(rw) meant" in problem.text
    assert clients("/srv host (rw)") == [
        ("host", "ro,root_squash,secure"),
        ("*", "rw,root_squash,secure"),
    ]
    (problem,) = parse("/srv host(ro) (rw)").problems
    assert not problem.error and "write *(rw)" in problem.text
    (problem,) = parse("/srv").problems
    assert not problem.error and "everybody" in problem.text
    assert clients("/srv") == [("*", "ro,root_squash,secure")]


@pytest.mark.parametrize("word", [*(w + "=1" if w == "fsid" else w for w in IGNORED), "sec=sys"])
def test_exports_words_that_make_no_difference(word: str) -> None:
    parsed = parse(f"/srv *(rw,{word})")
    assert not parsed.errors and clients(f"/srv *(rw,{word})") == [("*", "rw,root_squash,secure")]
    if word != "sec=sys":
        (problem,) = parsed.problems
        assert "ignored" in problem.text and word in problem.text


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("/srv *(rot_squash)", "f:1:8", "rot_squash"),
        ("/srv *(rw,rot_squash)", "f:1:11", "rot_squash"),
        ("/a *\n/srv \\\n  *(rw,\\\nbad)", "f:3:3", "parentheses"),
        ("/a *\n/srv \\\n  *(rw,bad)", "f:3:8", "bad"),
        ("/srv -bad *", "f:1:7", "bad"),
        ("srv *", "f:1:1", "'srv'"),
        ("/a/../b *", "f:1:1", ".."),
        ("/a\\000 *", "f:1:1", "NUL"),
        ("/" + "a" * 1024 + " *", "f:1:1", "1024"),
        ("/srv *(rw", "f:1:6", "parentheses"),
        ("/srv *(rw, ro)", "f:1:6", "parentheses"),
        ("/srv *(rw)x", "f:1:6", "parentheses"),
        ("/srv *(rw)(ro)", "f:1:6", "parentheses"),
        ('/srv "host', "f:1:6", "quote"),
        ('/srv ""', "f:1:6", "client without a name"),
        ("/srv *(sec=krb5)", "f:1:8", "krb5"),
        ("/srv *(sec=krb5p:krb5i)", "f:1:8", "krb5p"),
        ("/srv *(xprtsec=mtls)", "f:1:8", "TLS"),
        ("/srv *(anonuid=-1)", "f:1:8", "anonuid"),
        ("/srv *(anongid=4294967295)", "f:1:8", "anongid"),
        ("/srv *(anonuid=٣)", "f:1:8", "anonuid"),
        ("/srv *(ro=1)", "f:1:8", "ro=1"),
        ("/srv *(storage=)", "f:1:8", "storage"),
        ("/srv a(storage=/x) b(storage=/y)", "f:1:22", "storage"),
        ("/srv 10.0.0.0/33", "f:1:6", "network"),
        ("/srv 10.0.0.0/255.0.255.0", "f:1:6", "network"),
        ("/srv 10.0.0.0/0.0.0.255", "f:1:6", "network"),
        ("/srv fd00::/255.0.0.0", "f:1:6", "network"),
        ("/srv host/24", "f:1:6", "network"),
        ("/srv [::1]", "f:1:6", "brackets"),
        ("/srv 10.0.0", "f:1:6", "neither"),
        ("/srv bad!host", "f:1:6", "neither"),
        ("/srv hôst", "f:1:6", "punycode"),
        ("/srv @", "f:1:6", "netgroup"),
        ("/srv gss/krb5", "f:1:6", "Kerberos"),
        ("/srv " + "a" * 256, "f:1:6", "255"),
    ],
)
def test_exports_errors_name_file_line_and_column(text: str, place: str, what: str) -> None:
    errors = [str(error) for error in parse(text, "f").errors]
    assert any(e.startswith(f"{place}: ") and what in e for e in errors), errors


def test_exports_all_errors_are_told_not_the_first() -> None:
    parsed = parse("/a *(bad1) *(bad2)\nrel *\n/c *(rw)\n/d *(bad3,bad4)", "f")
    assert [error.where.line for error in parsed.errors] == [1, 1, 2, 4, 4]
    assert "/c" in [entry.path for entry in parsed.entries]


def test_exports_warnings_about_what_may_not_be_meant() -> None:
    assert "10.0.0.0/8" in said("/srv 10.1.2.3/8")[0]
    assert "names" in said("/srv 10.0.0.*")[0]
    assert "blank belongs" in said("/srv(rw) host")[0]
    assert "only sec=sys" in said("/srv *(sec=sys:krb5)")[0]


def test_exports_our_own_option() -> None:
    """The storage, where it is not the path; one for all clients of a path."""
    (entry,) = parse("/scratch a(rw,storage=memory:) b(ro)").entries
    assert entry.storage == "memory:"
    (entry,) = parse("/x *(storage=/a\\054\\040b\\051)").entries
    assert entry.storage == "/a, b)"
    (entry,) = parse("/x *(mountpoint) b(mp)").entries
    assert entry.mountpoint == ""


def test_exports_lines_of_one_path_are_one_export() -> None:
    merged = merge(parse("/a one(rw)\n/b *\n/a two(storage=memory:)").entries)
    assert not merged.problems
    assert [entry.path for entry in merged.entries] == ["/a", "/b"]
    assert [client.host.text for client in merged.entries[0].clients] == ["one", "two"]
    assert merged.entries[0].storage == "memory:"


def test_exports_contradictions_are_errors() -> None:
    """The same twice is a warning."""
    texts = {
        "/a one(rw)\n/a one(ro)": True,
        "/a one(rw) ONE(ro)": True,
        "/a 10.0.0.0/8 10.0.0.0/255.0.0.0(rw)": True,
        "/a one one": False,
        "/a one(storage=/x)\n/a two(storage=/y)": True,
    }
    for text, error in texts.items():
        (problem,) = merge(parse(text, "f").entries).problems
        assert problem.error is error, text
        assert "twice" in problem.text or "storage" in problem.text


def test_exports_clients_alone() -> None:
    where = Where("toml", 7)
    (entry,) = parse_clients("-rw one two(ro)", where).entries
    assert [str(c.options) for c in entry.clients] == [
        "rw,root_squash,secure",
        "ro,root_squash,secure",
    ]
    (problem,) = parse_clients("one(bad)", where).errors
    assert str(problem.where) == "toml:7"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("host", Kind.HOST),
        ("10.1.2.3", Kind.HOST),
        ("fe80::1", Kind.HOST),
        ("10.0.0.0/8", Kind.NETWORK),
        ("10.0.0.0/255.255.0.0", Kind.NETWORK),
        ("fd00::/64", Kind.NETWORK),
        ("0.0.0.0/0", Kind.NETWORK),
        ("@group", Kind.NETGROUP),
        ("*.org", Kind.WILDCARD),
        ("host?", Kind.WILDCARD),
        ("host[0-9]", Kind.WILDCARD),
        ("*", Kind.ANYONE),
    ],
)
def test_exports_kinds_of_hosts(text: str, kind: Kind) -> None:
    assert HostPattern.parse(text).kind is kind


# Properties

HOSTS = st.sampled_from(
    ["*", "host", "a.b.org", "10.1.2.3", "10.0.0.0/8", "10.0.0.0/255.255.0.0", "fd00::/8", "::1",
     "@group", "*.org", "h?"]
)  # fmt: skip
NUMBERS = st.integers(0, 2**32 - 2)
OPTIONS = st.builds(
    Options, st.booleans(), st.booleans(), st.booleans(), NUMBERS, NUMBERS, st.booleans(),
    st.booleans(),
)  # fmt: skip
NAMES = st.text(min_size=1, max_size=20).filter(
    lambda name: not set(name) & {"/", "\0"} and name not in {".", ".."}
)
UTF8 = st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
PATHS = st.lists(
    st.one_of(NAMES, UTF8.filter(lambda n: n and not set(n) & {"/", "\0"} and n not in {".", ".."}))
).map(lambda names: "/" + "/".join(names))


def _encodes(path: str) -> bool:
    """Whether it is a path as it comes from bytes."""
    try:
        raw = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return raw.decode("utf-8", "surrogateescape") == path and len(raw) <= 1024


ENTRIES = st.builds(
    Entry,
    PATHS.filter(_encodes),
    st.lists(st.builds(Client, HOSTS.map(HostPattern.parse), OPTIONS), min_size=1).map(tuple),
    st.one_of(st.none(), st.just("memory:"), PATHS.filter(_encodes)),
)


@given(st.lists(ENTRIES))
def test_exports_what_is_formatted_is_parsed(entries: list[Entry]) -> None:
    parsed = parse(format(entries))
    assert not parsed.errors, parsed.errors
    assert parsed.entries == entries


PIECES = st.sampled_from(
    ["/", "a", " ", "\t", "\n", "\\\n", "\\", "\\040", '"', "(", ")", ",", "-", "#", "*", "@", "[",
     "]", "rw", "anonuid=", "9", "::", "10.0.0.0/8", "sec=", "storage=", "\0", "é", "\udcff", "\r"]
)  # fmt: skip


@settings(max_examples=500)
@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
def test_exports_no_text_does_harm(text: str) -> None:
    """It ends, and what is wrong is told, not raised; what is told has a place in the text."""
    parsed = parse(text, "f")
    for problem in parsed.problems:
        assert 1 <= problem.where.line <= text.count("\n") + 1
        assert problem.where.column >= 1
    merge(parsed.entries)
    again = parse(format(parsed.entries))
    assert not again.errors, again.errors
    assert again.entries == parsed.entries


def test_exports_takes_time_in_proportion() -> None:
    """A long line, many lines, long continuations: each character is looked at once or so."""
    for text in ("/a " + "x" * 200_000, "/a *\n" * 20_000, "/a \\\n" * 20_000, "(" * 100_000):
        parse(text)
