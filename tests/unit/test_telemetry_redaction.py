from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanplane.telemetry import redaction
from scanplane.telemetry.redaction import redact, register_secret


@pytest.fixture(autouse=True)
def _forget_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_spellings", set())
    monkeypatch.setattr(redaction, "_pattern", None)


def test_a_text_without_secrets_stays_as_it_is() -> None:
    register_secret("hunter22")
    assert redact("nothing to see") == "nothing to see"


@pytest.mark.parametrize(
    "text",
    [
        "key=p@ss/w\"o'rd\n",
        f"key={quote('p@ss/w' + chr(34) + 'o' + chr(39) + 'rd', safe='')}",
        "key=p%40ss%2fw%22o%27rd",
        "key=p@ss/w\\\"o'rd",
    ],
)
def test_a_secret_is_replaced_however_it_is_spelled(text: str) -> None:
    register_secret("p@ss/w\"o'rd")
    assert redact(text).strip() == "key=***"


def test_the_password_of_a_registered_url_is_a_secret_of_its_own() -> None:
    register_secret("amqp://scanner:top%40secret@rabbit:5672/")
    assert (
        redact("refused login of scanner with top%40secret (top@secret)") == "refused login of scanner with *** (***)"
    )


def test_each_line_of_a_secret_of_several_lines_is_replaced() -> None:
    register_secret("-----BEGIN-----\nMIIEvQIBADANBg\n-----END-----")
    assert "MIIEvQIBADANBg" not in redact("found MIIEvQIBADANBg in a traceback")


def test_a_value_too_short_to_hide_is_refused() -> None:
    assert register_secret("abc") is False
    assert redact("abc") == "abc"


def test_the_longer_of_two_overlapping_secrets_is_replaced_whole() -> None:
    register_secret("alpha")
    register_secret("alphabet")
    assert redact("alphabet alpha") == "*** ***"


@given(secret=st.text(min_size=4, max_size=40), before=st.text(max_size=10), after=st.text(max_size=10))
def test_no_registered_value_survives(secret: str, before: str, after: str) -> None:
    register_secret(secret)
    text = redact(f"{before}{secret}{after}{quote(secret)}")
    assert secret not in text.replace("***", "\0")
