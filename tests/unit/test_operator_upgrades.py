"""What a new version of the operator or a new image restarts, and when."""

import pytest

from scanplane.plan.services import digest
from scanplane.resources.data_plane import LogLevel, Telemetry
from scanplane_operator.rollouts import Decision
from scanplane_operator.settings import PodSettings
from support.operator_world import US_STOCKS, World, settled_world

ANALYZER, GATEWAY, LISTENER = "analyzer-us-stocks-0", "gateway", "listener-massive"


@pytest.fixture
def world() -> World:
    return settled_world()


def test_a_new_image_restarts_everything_once(world: World) -> None:
    world.settings = PodSettings(image="registry/scanplane:2")
    world.settle()
    rolls = world.take_rolls()
    assert sorted(name for name, _ in rolls) == [ANALYZER, GATEWAY, LISTENER]
    assert {reason for _, reason in rolls} == {"ImageChanged (image registry/scanplane:1 became registry/scanplane:2)"}


def with_policy(world: World, session: float) -> None:
    world.patch("DataPlane/default", updatePolicy="MarketClosed")
    world.settle()
    world.report(ANALYZER, {"session": session})
    world.settle()
    world.take_rolls()


def test_a_new_image_waits_for_the_close_where_asked(world: World) -> None:
    with_policy(world, session=2.0)
    world.settings = PodSettings(image="registry/scanplane:2")
    made = world.make_pass()
    assert set(made.by_instance.values()) == {Decision.WAIT_FOR_CLOSE}
    assert world.condition("Feed/massive", "Progressing") == (
        "True",
        "WaitsForMarketClose",
        "listener-massive waits for the close: ImageChanged (image registry/scanplane:1 became registry/scanplane:2)",
    )
    assert all(world.ready(str(key))[0] == "True" for key in world.resources)
    assert world.make_pass().is_nothing
    world.report(ANALYZER, {"session": 0.0})
    world.settle()
    assert world.rolled() == [ANALYZER, GATEWAY, LISTENER]


def test_a_market_that_never_closes_holds_up_no_upgrade() -> None:
    world = World(US_STOCKS.replace("assetClass: Stocks", "assetClass: Crypto"))
    world.settle()
    with_policy(world, session=2.0)
    world.settings = PodSettings(image="registry/scanplane:2")
    world.settle()
    assert world.rolled() == [ANALYZER, GATEWAY, LISTENER]


def test_what_a_release_adds_to_the_models_and_nobody_writes_is_no_edit() -> None:
    class Newer(Telemetry, frozen=True, kw_only=True):
        sampling: str | None = None

    assert digest(Newer(log_level=LogLevel.DEBUG)) == digest(Telemetry(log_level=LogLevel.DEBUG))
    assert digest(Newer(sampling="all")) != digest(Newer())


def test_what_waits_is_not_told_of_every_scanner(world: World) -> None:
    with_policy(world, session=2.0)
    world.settings = PodSettings(image="registry/scanplane:2")
    told = {key for key, reason, _ in world.make_pass().told() if reason == "WaitsForMarketClose"}
    assert told == {"DataPlane/default", "Feed/massive", "Market/us-stocks"}


def test_an_operator_that_has_just_begun_takes_no_open_market_for_closed(world: World) -> None:
    with_policy(world, session=1.0)
    assert world.status("Market/us-stocks")["session"] == "premarket"
    world.forget_operator()
    world.settings = PodSettings(image="registry/scanplane:2")
    assert set(world.make_pass().by_instance.values()) == {Decision.WAIT_FOR_CLOSE}


def test_an_analyzer_that_waits_for_its_first_tick_is_no_closed_market(world: World) -> None:
    with_policy(world, session=2.0)
    world.report(ANALYZER, {"symbols": 0.0})
    world.settings = PodSettings(image="registry/scanplane:2")
    assert set(world.make_pass().by_instance.values()) == {Decision.WAIT_FOR_CLOSE}
    assert world.status("Market/us-stocks")["session"] == "regular"


def test_an_edit_does_not_wait_where_nobody_can_read_any_more_what_ran_before(world: World) -> None:
    with_policy(world, session=2.0)
    (name,) = (name for name in world.names("ConfigMap") if ANALYZER in name)
    world.delete(f"ConfigMap/{name}")
    world.patch("Scanner/gappers", where="price >= 9.0")
    world.settle()
    assert world.rolled() == [ANALYZER]


def test_an_analyzer_that_serves_nobody_holds_up_no_upgrade(world: World) -> None:
    with_policy(world, session=2.0)
    world.forget_operator()
    for replica_set in world.replica_sets.values():
        replica_set["status"]["availableReplicas"] = 0
    world.start_rollouts()
    world.settings = PodSettings(image="registry/scanplane:2")
    world.settle()
    assert world.rolled() == [ANALYZER, GATEWAY, LISTENER]


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        ({"resource": "Scanner/gappers", "where": "price >= 9.0"}, [ANALYZER]),
        (
            {"resource": "DataPlane/default", "workloads": {"nodeSelector": {"disk": "fast"}}},
            [ANALYZER, GATEWAY, LISTENER],
        ),
        ({"resource": "Market/us-stocks", "analyzer": {"resources": {"requests": {"cpu": "1000m"}}}}, [ANALYZER]),
    ],
)
def test_what_a_user_changed_never_waits_even_together_with_an_image(
    world: World, edit: dict[str, object], expected: list[str]
) -> None:
    with_policy(world, session=2.0)
    world.settings = PodSettings(image="registry/scanplane:2")
    resource = str(edit.pop("resource"))
    world.patch(resource, **edit)
    world.settle()
    assert world.rolled() == expected


def test_amounts_that_the_server_writes_in_another_way_are_no_wish_of_a_user(world: World) -> None:
    asked = {"requests": {"cpu": "1000m", "memory": "2048Mi"}, "limits": {"cpu": "2.50", "memory": "1.5Ti"}}
    world.patch("DataPlane/default", workloads={"analyzer": {"resources": asked}})
    world.settle()
    with_policy(world, session=2.0)
    world.settings = PodSettings(image="registry/scanplane:2")
    assert world.make_pass().by_instance[ANALYZER] is Decision.WAIT_FOR_CLOSE
