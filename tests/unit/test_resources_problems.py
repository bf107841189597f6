"""Every mistake of a file is found at once, and said in one line: where, what, and what to write instead."""

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanplane.resources.documents import SourceText, parse_documents, resource_from_object
from scanplane.resources.kinds import Kind
from scanplane.resources.problems import Problem, render_problems
from support.resource_documents import AGREED, document

FEED = document("Feed", "provider: Massive\nmassive: {feed: RealTime, apiKeySecretRef: {name: massive, key: apiKey}}")
SCANNER = document("Scanner", "marketRef: {name: us-stocks}\nboard: {rankBy: volume}")

SECRET = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: probe\nstringData: {apiKey: x}\n"


def told(text: str) -> list[str]:
    return [str(problem) for problem in parse_documents([SourceText("f.yaml", textwrap.dedent(text))]).problems]


def test_every_mistake_of_every_document_is_told_at_once_in_the_order_of_the_file() -> None:
    assert told(
        """\
        apiVersion: scanplane.io/v1alpha1
        kind: Feed
        metadata: {name: massive}
        spec:
          provider: Massive
          massive:
            feed: Realtime
            apikey: x
        ---
        a: [1
        ---
        apiVersion: scanplane.io/v1alpha1
        kind: Scaner
        ---
        apiVersion: scanplane.io/v1alpha1
        kind: Scanner
        metadata: {name: gappers}
        spec:
          limit: 5
          board: {rankBy: gap_percent, limit: 1000}
          signal: {on: new_high_of_day, cooldown: 60}
        """
    ) == [
        "f.yaml:7:5 spec.massive.apiKeySecretRef: is missing",
        "f.yaml:7:11 spec.massive.feed: unknown feed 'Realtime'; did you mean RealTime?",
        "f.yaml:8:5 spec.massive.apikey: unknown field 'apikey'; did you mean apiKeySecretRef?",
        "f.yaml:11:1 not valid YAML: did not find expected ',' or ']'; close the list with ], its entries parted by commas",
        "f.yaml:13:7 kind: unknown kind 'Scaner'; did you mean Scanner?",
        "f.yaml:19:3 spec.limit: unknown field 'limit'; it belongs at spec.board.limit",
        "f.yaml:19:3 spec.marketRef: is missing",
        "f.yaml:20:39 spec.board.limit: must be at most 500, not 1000",
        "f.yaml:21:12 spec.signal.true: unknown field 'on', which YAML reads as true; the fields here are when, cooldown",
        "f.yaml:21:43 spec.signal.cooldown: 60 is not a duration; write a number with its unit (ms, s, m or h), such as 5s",
    ]


SUBSCRIPTION = "feedRef: {name: massive}\nmarketRef: {name: us}\n"
ONE_PROBLEM = [
    ("Market", "assetClass: Stock", "7:15 spec.assetClass: unknown assetClass 'Stock'; did you mean Stocks?"),
    (
        "Market",
        "assetClass: Stocks\nsessions: {premarket: 4:00}",
        "8:25 spec.sessions.premarket: '4:00' is not a time of day; write hours and minutes in quotes, such as \"04:00\"",
    ),
    (
        "Subscription",
        SUBSCRIPTION + "channels: [Trades]\nsymbols: [AAPL, ON]",
        '10:19 spec.symbols[1]: YAML reads ON as the boolean true; write "ON" in quotes',
    ),
    (
        "Subscription",
        SUBSCRIPTION + "channels: [Trades]\nsymbols: [0700]",
        '10:13 spec.symbols[0]: YAML reads 0700 as the number 448; write "0700" in quotes',
    ),
    (
        "Subscription",
        SUBSCRIPTION + "channels: Trades\nsymbols: ['*']",
        "9:13 spec.channels: must be a list; write [...] around it, or each entry after a hyphen",
    ),
    (
        "Subscription",
        "feedRef: massive\nmarketRef: {name: us}\nchannels: [Trades]\nsymbols: ['*']",
        "7:12 spec.feedRef: must be a mapping; write {name: ...}",
    ),
    (
        "DataPlane",
        "gateway: {maxClients: 'many'}",
        "7:25 spec.gateway.maxClients: must be a whole number, not the text 'many'",
    ),
    (
        "Scanner",
        "marketRef: {name: us}\nwhere: price > 2\nwhere: price > 3\nboard: {rankBy: volume}",
        "9:3 spec.where: field 'where' is given twice; the first is in line 8",
    ),
    ("Scanner", "marketRef: {name: us}", "7:3 spec: a Scanner needs spec.board, spec.signal or both"),
    (
        "Scanner",
        "marketRef: {name: us}\nwhere: price >\n\tboard: x",
        "9:3 not valid YAML: found a tab character that violates indentation; indent with spaces, not tabs",
    ),
    (
        "Scanner",
        "marketRef: {name: us}\nwhere: 'a' == symbol\nboard: {rankBy: volume}",
        "8:14 not valid YAML: did not find expected key; check the indentation, and a quote that ends before its line does",
    ),
    (
        "Subscription",
        SUBSCRIPTION + "channels: [Trades]\nsymbols: [*]",
        (
            "10:14 not valid YAML: did not find expected alphabetic or numeric character; "
            "a text that begins with * must be in quotes"
        ),
    ),
]


@pytest.mark.parametrize(("kind", "spec", "expected"), ONE_PROBLEM)
def test_one_mistake_is_one_line(kind: str, spec: str, expected: str) -> None:
    lines = document(kind, "@").replace("  @\n", textwrap.indent(spec, "  ") + "\n")
    assert told(lines) == [f"f.yaml:{expected}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("just a text", "f.yaml:1:1 a document must be a mapping with apiVersion, kind and metadata"),
        ("- a\n- b", "f.yaml:1:1 a document must be a mapping with apiVersion, kind and metadata"),
        ("spec: {}", "f.yaml:1:1 apiVersion: is missing; write scanplane.io/v1alpha1"),
        ("kind: Feed", "f.yaml:1:1 apiVersion: is missing; write scanplane.io/v1alpha1"),
        (
            "apiVersion: scanplane.io/v1\nkind: Feed",
            "f.yaml:1:13 apiVersion: unknown apiVersion 'scanplane.io/v1'; write scanplane.io/v1alpha1",
        ),
        (
            "apiVersion: scanplan.io/v1alpha1\nkind: Feed",
            "f.yaml:1:13 apiVersion: unknown apiVersion 'scanplan.io/v1alpha1'; write scanplane.io/v1alpha1",
        ),
        (
            "apiVersion: v1alpha1\nkind: Feed",
            "f.yaml:1:13 apiVersion: unknown apiVersion 'v1alpha1'; write scanplane.io/v1alpha1",
        ),
        (FEED.replace("spec:", "spce:"), "f.yaml:6:1 spce: unknown field 'spce'; did you mean spec?"),
        (FEED.replace("metadata:\n  name: probe\n", ""), "f.yaml:1:1 metadata.name: is missing"),
        (FEED.replace("name: probe", "nam: probe"), "f.yaml:4:3 metadata.nam: unknown field 'nam'; did you mean name?"),
        (
            FEED.replace("name: probe", "name: probe\n  annotations: {scanplane.io/pause: 'true'}"),
            "f.yaml:5:17 metadata.annotations['scanplane.io/pause']: annotations that begin with scanplane.io/ are reserved",
        ),
        (
            FEED.replace("name: probe", "name: probe\n  annotations: {scanplane.io/paused: true}"),
            "f.yaml:5:38 metadata.annotations['scanplane.io/paused']: YAML reads true as the boolean true",
        ),
        (f"{FEED}---\n{FEED}", "f.yaml:13:9 metadata.name: Feed probe is declared twice; the first is at f.yaml:4"),
        ("a: \x07", "f.yaml:1:4 the character U+0007 is not allowed in YAML"),
        ("[" * 100_000, "f.yaml:1:101 nested more than 100 deep"),
        (
            "a: &a [1]\nb: *c",
            "f.yaml:2:4 this alias has no anchor before it; a text that begins with * must be in quotes",
        ),
    ],
)
def test_a_document_that_is_none_of_ours_or_half_of_one_is_one_line(text: str, expected: str) -> None:
    assert any(line.startswith(expected) for line in told(text))
    assert len(told(text)) <= 2


def test_aliases_cannot_make_a_small_file_large() -> None:
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 10))
    problems = told(f"l0: &l0 [x]\n{levels}\n")
    assert any("more than 200000 values" in problem for problem in problems)


def test_what_belongs_to_somebody_else_is_a_note_and_no_problem() -> None:
    other = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"
    olm = "apiVersion: operators.coreos.com/v1alpha1\nkind: Subscription\nmetadata: {name: x}\n"
    found = parse_documents(
        [SourceText("f.yaml", f"{other}---\n{olm}---\n{FEED}"), SourceText("g.yaml", "# nothing\n")]
    )
    assert not found.problems
    assert [str(note) for note in found.notes] == [
        "f.yaml:1:1 ignored: apps/v1 Deployment web",
        "f.yaml:5:1 ignored: operators.coreos.com/v1alpha1 Subscription x",
        "g.yaml:1:1 nothing in it",
    ]
    assert [resource.name for resource in found.resources] == ["probe"]


def test_the_items_of_a_list_are_documents_of_their_own() -> None:
    item = textwrap.indent(FEED, "  ").lstrip()
    text = f"apiVersion: v1\nkind: List\nitems:\n- {item}- {item}"
    found = parse_documents([SourceText("f.yaml", text)])
    assert [(resource.kind, resource.name) for resource in found.resources] == [(Kind.FEED, "probe")]
    assert [str(problem) for problem in found.problems] == [
        "f.yaml:15:11 metadata.name: Feed probe is declared twice; the first is at f.yaml:7"
    ]
    assert found.resources[0].locate("spec.provider").line == 10


def test_a_dump_from_a_cluster_is_read_as_it_is() -> None:
    dump = FEED.replace("name: probe", "name: probe\n  uid: x\n  generation: 3\n  managedFields: []\n  namespace: prod")
    found = parse_documents([SourceText("f.yaml", dump + "status: {conditions: [], eventsPerHour: 1}\n")])
    assert not found.problems
    assert found.resources[0].namespace == "prod"


@pytest.mark.parametrize(("kind", "text"), [("Feed", FEED), ("Secret", SECRET)], ids=["a resource", "a Secret"])
def test_the_same_name_in_two_namespaces_is_told_because_files_are_run_as_one(kind: str, text: str) -> None:
    texts = [text.replace("name: probe", f"name: probe\n  namespace: {namespace}") for namespace in ("a", "b")]
    found = parse_documents([SourceText("a.yaml", texts[0]), SourceText("b.yaml", texts[1])])
    (problem,) = found.problems
    assert str(problem) == (
        f"b.yaml:4:9 metadata.name: {kind} probe is declared in two namespaces; the first is at a.yaml:4; "
        "give each namespace's files to a command of their own"
    )
    assert len(found.resources) + len(found.secrets) == 1


def test_a_resource_that_is_wrong_is_declared_all_the_same() -> None:
    found = parse_documents([SourceText("f.yaml", FEED.replace("RealTime", "Realtime"))])
    assert found.problems
    assert not found.resources
    assert [(declared.kind, declared.name) for declared in found.declared] == [(Kind.FEED, "probe")]


@pytest.mark.parametrize("separator", ["---\n", "--- # more\n", "---   \n", "...\n---\n"])
def test_documents_are_parted_as_kubectl_parts_them(separator: str) -> None:
    found = parse_documents([SourceText("f.yaml", f"\ufeff# head\n---\n{FEED}{separator}{SCANNER}")])
    assert not found.problems
    assert [resource.kind for resource in found.resources] == [Kind.FEED, Kind.SCANNER]


def test_windows_line_ends_and_json_are_read() -> None:
    found = parse_documents(
        [
            SourceText("f.yaml", FEED.replace("\n", "\r\n")),
            SourceText(
                "g.json",
                '{"apiVersion": "scanplane.io/v1alpha1", "kind": "Market", "metadata": {"name": "m"},\n'
                '\t"spec": {"assetClass": "Stocks"}}',
            ),
        ]
    )
    assert not found.problems
    assert len(found.resources) == 2


def test_problems_are_rendered_one_a_line_with_their_number() -> None:
    first = Problem(file="a.yaml", line=1, column=2, path="spec", message="is missing")
    second = Problem(file="b.yaml", line=3, column=4, message="not valid YAML", suggestion="check it")
    assert render_problems([]) == ""
    assert render_problems([first]) == "a.yaml:1:2 spec: is missing\n1 problem."
    assert render_problems([first, second]).splitlines()[-2:] == [
        "b.yaml:3:4 not valid YAML; check it",
        "2 problems in 2 files.",
    ]


def test_an_object_from_the_api_is_read_whatever_its_metadata_holds() -> None:
    made = {
        "apiVersion": "scanplane.io/v1alpha1",
        "kind": "Market",
        "metadata": {"name": "m", "namespace": "prod", "unheardOf": 1, "annotations": {"scanplane.io/anything": "x"}},
        "spec": {"assetClass": "Stocks", "sessions": None},
        "status": {"partitions": 1},
    }
    market = resource_from_object(Kind.MARKET, made)
    assert not isinstance(market, tuple)
    assert (market.metadata.name, market.metadata.namespace) == ("m", "prod")
    wrong = resource_from_object(Kind.MARKET, made | {"spec": {"assetClass": "Stock"}})
    assert isinstance(wrong, tuple)
    assert [str(problem) for problem in wrong] == ["spec.assetClass: unknown assetClass 'Stock'; did you mean Stocks?"]
    nameless = resource_from_object(Kind.MARKET, made | {"metadata": {}})
    assert isinstance(nameless, tuple)


@settings(max_examples=300, deadline=None, database=None)
@given(st.text(max_size=300))
def test_no_text_makes_parsing_fail(text: str) -> None:
    found = parse_documents([SourceText("f.yaml", text)])
    assert found.resources == ()


@settings(max_examples=400, deadline=None, database=None)
@given(st.sampled_from(AGREED), st.data())
def test_a_damaged_document_is_told_of_or_still_right(row: tuple[str, str, str, bool], data: st.DataObject) -> None:
    text = document(row[1], row[2])
    at = data.draw(st.integers(0, len(text)))
    gone = data.draw(st.integers(0, 5))
    put = data.draw(
        st.sampled_from(["", " ", "\n", ":", "-", "'", '"', "{", "]", "!", "&a ", "*a", "<<: ", "~", "1", "\t"])
    )
    found = parse_documents([SourceText("f.yaml", text[:at] + put + text[at + gone :])])
    assert len(found.resources) <= 2
    for problem in found.problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert "\n" not in str(problem)
