"""An event that says nothing new of a resource asks for no pass."""

from typing import Any

import pytest

from scanplane_operator import news as module
from scanplane_operator.news import ResourceNews


def body(uid: str = "a", generation: int = 1, status: str = "", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "generation": generation, **metadata}, "status": {"session": status}}


@pytest.fixture
def news() -> ResourceNews:
    seen = ResourceNews()
    assert seen.is_news(None, body())
    return seen


@pytest.mark.parametrize("event", [None, "ADDED", "MODIFIED"])
def test_the_echo_of_a_status_is_none(news: ResourceNews, event: str | None) -> None:
    assert not news.is_news(event, body(status="regular"))


@pytest.mark.parametrize(
    "changed",
    [
        body(generation=2),
        body(annotations={"scanplane.io/paused": "true"}),
        body(deletionTimestamp="2026-01-05T14:30:00Z"),
        body(uid="b"),
    ],
    ids=["spec", "annotation", "deletion", "another one"],
)
def test_what_the_operator_acts_on_is_news_once(news: ResourceNews, changed: dict[str, Any]) -> None:
    assert news.is_news("MODIFIED", changed)
    assert not news.is_news("MODIFIED", changed)


def test_a_resource_that_is_gone_is_news_and_forgotten(news: ResourceNews) -> None:
    assert news.is_news("DELETED", body())
    assert len(news) == 0
    assert news.is_news("ADDED", body())


def test_it_remembers_the_newest_and_not_more(news: ResourceNews, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED", 3)
    for uid in ("b", "c"):
        assert news.is_news("ADDED", body(uid=uid))
    assert not news.is_news("MODIFIED", body())
    assert news.is_news("ADDED", body(uid="d"))
    assert len(news) == 3
    assert not news.is_news("MODIFIED", body())
    assert news.is_news("MODIFIED", body(uid="b"))
