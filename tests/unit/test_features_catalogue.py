"""The catalogue, the table of sale conditions, and the page that is written from them."""

from pathlib import Path

import pytest

from scanplane.features.catalogue import CATALOGUE
from scanplane.features.documentation import render_features
from scanplane.marketdata.conditions import CONDITIONS, eligibility_of

ROOT = Path(__file__).parents[2]


def test_the_page_of_features_is_what_the_catalogue_says() -> None:
    page = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    assert page == render_features(), "run `make generate`"


def test_every_feature_has_a_row_of_as_many_cells_as_the_header() -> None:
    rows = [line for line in render_features().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == list(CATALOGUE)
    assert {row.replace("\\|", "").count("|") for row in rows} == {7}


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_definition_is_a_sentence_and_every_feature_says_where_it_is_from(name: str) -> None:
    feature = CATALOGUE[name]
    assert feature.definition.endswith(".")
    assert feature.source
    assert feature.any_of or feature.needs_reference or name in {"symbol", "session", "minutes_since_open"}


def test_no_condition_lets_a_trade_set_the_price_but_not_the_high() -> None:
    assert [c.name for c in CONDITIONS.values() if c.updates_last and not c.updates_high_low] == []


def test_a_trade_without_conditions_or_with_unknown_ones_counts_for_everything() -> None:
    for conditions in ((), (0,), (12345,)):
        eligibility = eligibility_of(conditions)
        assert eligibility.updates_last
        assert eligibility.extended_updates_last
        assert eligibility.updates_high_low
        assert eligibility.updates_volume
        assert not eligibility.is_closing_print


def test_form_t_counts_for_price_outside_the_regular_session_only() -> None:
    eligibility = eligibility_of((12, 14))
    assert (eligibility.updates_last, eligibility.updates_high_low, eligibility.updates_volume) == (False, False, True)
    assert (eligibility.extended_updates_last, eligibility.extended_updates_high_low) == (True, True)
    with_odd_lot = eligibility_of((12, 37))
    assert (with_odd_lot.extended_updates_last, with_odd_lot.extended_updates_high_low) == (False, False)
