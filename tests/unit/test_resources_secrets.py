"""Secrets in files are read, and shown nowhere."""

import base64
import io

import pytest
import rich.console
from hypothesis import given, settings
from hypothesis import strategies as st

from scanplane.resources.documents import SourceText, parse_documents

VALUE = "Tr0ub4dor"
SECRET = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: massive}}\nstringData:\n  apiKey: {VALUE}\n"


def test_a_secret_is_read_apart_from_resources() -> None:
    encoded = base64.b64encode(b"amqp://guest@host/").decode()
    found = parse_documents(
        [SourceText("s.yaml", f"{SECRET}data: {{url: {encoded}, apiKey: {encoded}}}\ntype: Opaque\n")]
    )
    assert not found.problems
    assert not found.resources
    (secret,) = found.secrets
    assert (secret.name, secret.namespace, secret.file, secret.position.line) == ("massive", None, "s.yaml", 1)
    assert secret.values == {"url": "amqp://guest@host/", "apiKey": VALUE}


def test_a_secret_never_shows_its_values() -> None:
    (secret,) = parse_documents([SourceText("s.yaml", SECRET)]).secrets
    output = io.StringIO()
    rich.console.Console(file=output, width=200).print(secret, [secret])
    for shown in (repr(secret), str(secret), f"{secret}", repr([secret]), output.getvalue()):
        assert VALUE not in shown
        assert "apiKey" in shown


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (SECRET.replace(VALUE, "12345678"), "s.yaml:5:11 stringData.apiKey: must be a text; put it in quotes"),
        (SECRET.replace(VALUE, f"[{VALUE}]"), "s.yaml:5:11 stringData.apiKey: must be a text; put it in quotes"),
        (
            SECRET.replace("stringData", "data"),
            "s.yaml:5:11 data.apiKey: is not base64 of a text; write plain texts under stringData instead",
        ),
        (SECRET.replace("stringData", "stringdata"), "s.yaml:4:1 stringdata: unknown field 'stringdata'; did you mean"),
        (SECRET.replace("stringData:\n  apiKey:", "stringData:"), "s.yaml:4:13 stringData: must be a mapping of keys"),
        (f"{SECRET}---\n{SECRET}", "s.yaml:9:18 metadata.name: Secret massive is declared twice"),
        (SECRET.replace("{name: massive}", "{}"), "s.yaml:3:11 metadata.name: is missing"),
    ],
)
def test_what_is_wrong_with_a_secret_is_told_without_its_value(broken: str, expected: str) -> None:
    problems = [str(problem) for problem in parse_documents([SourceText("s.yaml", broken)]).problems]
    assert [line for line in problems if line.startswith(expected)]
    assert not [line for line in problems if VALUE in line or "12345678" in line]


@settings(max_examples=300, deadline=None, database=None)
@given(
    st.integers(0, len(SECRET)),
    st.integers(0, 3),
    st.sampled_from(["", ":", "'", '"', "{", "[", "]", "*", "&", "!", "\t", "\n", "---\n", "%", "@", "|", "- "]),
)
def test_no_damage_to_a_secret_makes_a_problem_show_its_value(at: int, gone: int, put: str) -> None:
    found = parse_documents([SourceText("s.yaml", SECRET[:at] + put + SECRET[at + gone :])])
    key_of = SECRET.index(VALUE)
    if at < key_of - 1 or at > key_of + len(VALUE):  # else the value itself was changed
        told = "".join(str(problem) for problem in (*found.problems, *found.notes))
        assert VALUE not in told
        assert VALUE not in repr(found)


@pytest.mark.parametrize(
    "spec",
    [
        f"provider: Massive\n  massive: {{feed: RealTime, apiKeySecretRef: {VALUE}}}",
        f"provider: Massive\n  massive: {{feed: RealTime, apiKeySecretRef: {{name: {VALUE}/x, key: '{VALUE} y'}}}}",
        f"provider: Massive\n  massive: {{feed: RealTime, apiKey: {VALUE}}}",
        f"provider: Massive\n  massive: {{endpoint: 'http://user:{VALUE}@host', apiKeySecretRef: {{name: a, key: b}}}}",
    ],
)
def test_a_password_where_a_reference_belongs_is_not_repeated(spec: str) -> None:
    text = f"apiVersion: scanplane.io/v1alpha1\nkind: Feed\nmetadata: {{name: f}}\nspec:\n  {spec}\n"
    problems = [str(problem) for problem in parse_documents([SourceText("f.yaml", text)]).problems]
    assert problems
    assert not [line for line in problems if VALUE in line]
