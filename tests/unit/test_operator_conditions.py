"""What the conditions of each resource say: every reason that there is, in one line, with the times of its transitions."""

import ast
import copy
from collections.abc import Callable
from pathlib import Path

import pytest

from scanplane.plan.condition_reasons import REASONS, conditions_of
from scanplane.plan.inventory import Reason
from scanplane.resources.status import ConditionStatus, ConditionType
from scanplane.telemetry.status import Phase
from scanplane_operator import verdicts
from scanplane_operator.conditions import Verdict, merge_conditions, transitions
from scanplane_operator.observed import ObjectKey
from scanplane_operator.settings import PodSettings
from support.operator_world import World

ANALYZER, GATEWAY, LISTENER = "analyzer-us-stocks-0", "gateway", "listener-massive"


@pytest.fixture(scope="module")
def settled() -> World:
    world = World()
    world.settle()
    return world


@pytest.fixture
def world(settled: World) -> World:
    return copy.deepcopy(settled)


def start_anew(world: World) -> None:
    for instance in world.instances():
        world.delete(f"Deployment/scanplane-{instance}")
    world.collect_garbage()
    world.make_pass()
    world.start_rollouts()


def edit_feed(world: World) -> None:
    world.patch("Feed/massive", massive={"feed": "Nasdaq"})


def take_the_channel_away(world: World) -> None:
    world.patch("Subscription/seconds", channels=["Quotes"])
    world.settle()
    world.patch("Feed/massive", massive={"feed": "Delayed"})


def lose_a_pod(world: World) -> None:
    world.patch("Scanner/gappers", where="price >= 4.0")
    world.settle()
    world.lose_pods(ANALYZER)


def get_stuck(world: World) -> None:
    edit_feed(world)
    world.make_pass()
    world.finish_rollouts(stuck=[LISTENER])
    world.extra_pods = [
        {
            "metadata": {
                "name": "scanplane-listener-massive-x",
                "uid": "x",
                "labels": world.deployment(LISTENER)["metadata"]["labels"],
            },
            "status": {
                "containerStatuses": [
                    {
                        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
                        "lastState": {"terminated": {"message": "provider refuses  the key"}},
                    }
                ]
            },
        }
    ]


def ask_for_two_partitions(world: World) -> None:
    world.patch("Market/us-stocks", analyzer={"partitions": 2})
    world.make_pass()


def wait_for_close(world: World) -> None:
    world.patch("DataPlane/default", updatePolicy="MarketClosed")
    world.report(ANALYZER, {"session": 2.0})
    world.settings = PodSettings(image="registry/scanplane:2")


def roll_back(world: World) -> None:
    edit_feed(world)
    world.settle()
    world.undo(LISTENER)
    world.finish_rollouts()


def take_name(world: World) -> None:
    world.delete("Deployment/scanplane-listener-massive")
    world.others = {ObjectKey("Deployment", "scanplane-listener-massive")}


def refuse(world: World) -> None:
    edit_feed(world)
    world.refuses = {ObjectKey("Deployment", "scanplane-listener-massive"): "exceeded quota"}


def lose_broker_secret(world: World) -> None:
    world.secrets.pop("services")


def pause_market_and_edit_scanner(world: World) -> None:
    world.pause("Market/us-stocks")
    world.settle()
    world.patch("Scanner/gappers", where="price >= 3.0")


def pause_and_edit(world: World) -> None:
    world.pause("Feed/massive")
    edit_feed(world)


def add_paused(world: World) -> None:
    world.apply(
        "{kind: Feed, metadata: {name: late, annotations: {scanplane.io/paused: 'true'}}, "
        "spec: {provider: Replay, replay: {path: x}}}"
    )


def report(**figures: float) -> Callable[[World], None]:
    return lambda world: world.report(LISTENER, figures)


def report_trouble(world: World) -> None:
    world.report(LISTENER, {"streaming": 0}, problems=("provider: the key is refused", "broker: away"))


def add_bad_scanner(world: World) -> None:
    world.apply("{kind: Scanner, metadata: {name: late}, spec: {marketRef: {name: us-stocks}, board: {rankBy: prise}}}")


def nothing(world: World) -> None:
    del world


IMAGES = "image registry/scanplane:1 became registry/scanplane:2"

CASES = [
    # the condition, what is done, of whom it is said, and what is said
    ("Accepted", nothing, "Feed/massive", "True", "Accepted", "the spec is valid and all it refers to is there"),
    (
        "Accepted",
        lambda world: world.patch("Feed/massive", provider="x"),
        "Feed/massive",
        "False",
        "InvalidSpec",
        "spec.provider unknown provider 'x'; write one of Massive, Replay; generation 1 goes on",
    ),
    ("Accepted", pause_and_edit, "Feed/massive", "True", "Paused", "generation 1 goes on while it is paused"),
    ("Accepted", add_paused, "Feed/late", "Unknown", "Paused", "paused before it was looked at"),
    (
        "Accepted",
        lose_broker_secret,
        "DataPlane/default",
        "False",
        "SecretNotFound",
        (
            "broker.urlSecretRef.name there is no Secret 'services': create it with the key 'broker';"
            " cache.urlSecretRef.name there is no Secret 'services': create it with the key 'cache'; "
            "generation 1 goes on"
        ),
    ),
    ("Available", nothing, "Feed/massive", "True", "Serving", "listener-massive serves"),
    ("Available", nothing, "Subscription/seconds", "True", "Serving", "analyzer-us-stocks-0, listener-massive serve"),
    ("Available", start_anew, "Market/us-stocks", "False", "NotAvailable", "no pod of analyzer-us-stocks-0 is ready"),
    (
        "Available",
        take_name,
        "Feed/massive",
        "False",
        "NameTaken",
        "Deployment/scanplane-listener-massive is there already and not the operator's: rename or remove it",
    ),
    (
        "Available",
        lambda world: (world.patch("DataPlane/default", gateway={"replicas": 0}), world.settle()),
        "DataPlane/default",
        "False",
        "NoReplicas",
        "gateway has no replicas, as asked",
    ),
    (
        "Available",
        lambda world: world.delete("Subscription/seconds"),
        "Market/us-stocks",
        "False",
        "NotUsed",
        "no accepted Subscription refers to this Market, so nothing runs for it",
    ),
    (
        "Available",
        lambda world: world.delete("Subscription/seconds"),
        "Scanner/gappers",
        "False",
        "NotUsed",
        "no accepted Subscription brings data to its Market, so nothing runs for it",
    ),
    ("Available", add_bad_scanner, "Scanner/late", "False", "NotUsed", "it is not accepted, so nothing runs for it"),
    (
        "Available",
        lambda world: world.patch("Scanner/gappers", marketRef={"name": "gone"}),
        "Scanner/gappers",
        "True",
        "Serving",
        "analyzer-us-stocks-0 serves",
    ),
    (
        "Available",
        lambda world: world.delete("DataPlane/default"),
        "Feed/massive",
        "Unknown",
        "NoDataPlane",
        "nothing is decided without an accepted DataPlane named 'default'; what runs is left alone",
    ),
    ("Progressing", nothing, "Feed/massive", "False", "RolledOut", "everything runs as asked"),
    (
        "Progressing",
        edit_feed,
        "Feed/massive",
        "True",
        "RollingOut",
        "listener-massive is being rolled out because of FeedChanged (Feed/massive edited)",
    ),
    (
        "Progressing",
        lambda world: (edit_feed(world), world.make_pass(), world.start_rollouts()),
        "Feed/massive",
        "True",
        "RollingOut",
        "listener-massive is being rolled out because of FeedChanged (Feed/massive edited)",
    ),
    (
        "Progressing",
        start_anew,
        "Subscription/seconds",
        "True",
        "RollingOut",
        "analyzer-us-stocks-0, listener-massive are being rolled out",
    ),
    (
        "Progressing",
        get_stuck,
        "Feed/massive",
        "False",
        "DeadlineExceeded",
        (
            "the new listener-massive does not become ready: pod scanplane-listener-massive-x: "
            "CrashLoopBackOff: provider refuses the key"
        ),
    ),
    (
        "Progressing",
        ask_for_two_partitions,
        "Feed/massive",
        "True",
        "WaitsForAnalyzers",
        "listener-massive goes on until the analyzers stand by",
    ),
    (
        "Progressing",
        wait_for_close,
        "Feed/massive",
        "True",
        "WaitsForMarketClose",
        f"listener-massive waits for the close: ImageChanged ({IMAGES})",
    ),
    ("Progressing", wait_for_close, "Scanner/gappers", "False", "RolledOut", "everything runs as asked"),
    (
        "Progressing",
        roll_back,
        "Feed/massive",
        "False",
        "RolledBack",
        "listener-massive was rolled back by somebody; the next change goes forward",
    ),
    (
        "Progressing",
        take_name,
        "Subscription/seconds",
        "False",
        "NameTaken",
        "Deployment/scanplane-listener-massive is there already and not the operator's: rename or remove it",
    ),
    (
        "Progressing",
        refuse,
        "Feed/massive",
        "False",
        "WriteRefused",
        "the API server refused: Deployment/scanplane-listener-massive: exceeded quota",
    ),
    (
        "Progressing",
        lose_broker_secret,
        "Feed/massive",
        "False",
        "InputMissing",
        "listener-massive goes on as before and can't be restarted without Secret 'services'",
    ),
    (
        "Progressing",
        pause_market_and_edit_scanner,
        "Scanner/gappers",
        "False",
        "WorkloadPaused",
        "analyzer-us-stocks-0 goes on as before: Market/us-stocks is paused",
    ),
    ("DataFlowing", nothing, "Feed/massive", "Unknown", "NoReport", "no workload has reported yet"),
    (
        "DataFlowing",
        lambda world: world.report(LISTENER, phase=Phase.STANDBY),
        "Feed/massive",
        "Unknown",
        "Standby",
        "the workload stands by",
    ),
    (
        "DataFlowing",
        report(streaming=0),
        "Feed/massive",
        "False",
        "Connecting",
        "the connection to the provider is being made",
    ),
    ("DataFlowing", report(streaming=1), "Feed/massive", "False", "NoEvents", "no event has come yet"),
    ("DataFlowing", report(streaming=1, events_total=5), "Subscription/seconds", "True", "Flowing", "events come"),
    ("DataFlowing", report_trouble, "Feed/massive", "False", "Trouble", "provider: the key is refused; broker: away"),
    (
        "DataFlowing",
        lambda world: world.delete("Subscription/seconds"),
        "Feed/massive",
        "False",
        "NotUsed",
        "no accepted Subscription refers to this Feed, so nothing runs for it",
    ),
    ("Paused", nothing, "Feed/massive", "False", "NotPaused", "the operator reconciles it"),
    (
        "Paused",
        pause_and_edit,
        "Feed/massive",
        "True",
        "Paused",
        "the operator leaves it alone: scanplane.io/paused is true",
    ),
    (
        "Paused",
        lambda world: world.annotate("Feed/massive", "scanplane.io/paused", "yes"),
        "Feed/massive",
        "False",
        "UnknownValue",
        "scanplane.io/paused is 'yes' and pauses nothing: write 'true', or remove it",
    ),
    ("Ready", nothing, "Feed/massive", "True", "RolledOut", "accepted, and listener-massive is rolled out"),
    (
        "Ready",
        edit_feed,
        "Feed/massive",
        "False",
        "RollingOut",
        "listener-massive is being rolled out because of FeedChanged (Feed/massive edited)",
    ),
    ("Ready", wait_for_close, "Feed/massive", "True", "RolledOut", "accepted, and listener-massive is rolled out"),
    (
        "Ready",
        pause_and_edit,
        "Feed/massive",
        "False",
        "Paused",
        "generation 2 waits until it is paused no more; generation 1 goes on while it is paused",
    ),
    (
        "Ready",
        lambda world: world.delete("Subscription/seconds"),
        "Feed/massive",
        "True",
        "NotUsed",
        "no accepted Subscription refers to this Feed, so nothing runs for it",
    ),
    (
        "Ready",
        take_the_channel_away,
        "Feed/massive",
        "False",
        "SubscriptionNotAccepted",
        "a Subscription of it is not accepted any more; what ran for it goes on as before",
    ),
    ("Ready", lose_a_pod, "Market/us-stocks", "True", "RolledOut", "accepted, and analyzer-us-stocks-0 is rolled out"),
    ("Progressing", lose_a_pod, "Market/us-stocks", "False", "RolledOut", "everything runs as asked"),
    ("Available", lose_a_pod, "Market/us-stocks", "False", "NotAvailable", "no pod of analyzer-us-stocks-0 is ready"),
    ("Ready", report_trouble, "Feed/massive", "True", "RolledOut", "accepted, and listener-massive is rolled out"),
]


@pytest.mark.parametrize(
    ("kind", "act", "resource", "status", "reason", "message"),
    [pytest.param(*case, id=f"{case[0]}-{case[4]}-{number}") for number, case in enumerate(CASES)],
)
def test_a_condition_says_what_is_true_and_what_to_do(
    world: World, kind: str, act: Callable[[World], None], resource: str, status: str, reason: str, message: str
) -> None:
    act(world)
    world.make_pass()
    assert world.condition(resource, kind) == (status, reason, message)
    world.make_pass()  # what only one pass knows must not be all that is said
    assert world.condition(resource, kind)[:2] == (status, reason)


def test_every_reason_has_a_case() -> None:
    tree = ast.parse(Path(verdicts.__file__).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Verdict"]
    reasons = {node.args[2].value for node in calls if isinstance(node.args[2], ast.Constant)}
    assert len(reasons) > 20
    assert reasons | {"NoDataPlane", "Accepted", "SecretNotFound", "SubscriptionNotAccepted"} == {
        case[4] for case in CASES
    }


def test_the_reference_lists_the_reasons_that_are_said_and_no_other() -> None:
    listed = {(str(kind), str(each.status), str(each.reason)) for kind, reasons in REASONS.items() for each in reasons}
    said = {(kind, status, reason) for kind, _, _, status, reason, _ in CASES}
    of_others = {("Ready", status, reason) for kind, status, reason in listed if kind in {"Accepted", "Progressing"}}
    assert said - listed - {(kind, "False", reason) for kind, _, reason in of_others} == set()
    of_many = {"NoDataPlane", "SubscriptionNotAccepted"}  # said by several conditions at once, of which one has a case
    unsaid = {each for each in listed - said if each[2] not in of_many}
    of_the_planner = {("Accepted", status, str(reason)) for status in ("True", "False") for reason in Reason}
    assert unsaid - of_the_planner == set()


def test_every_kind_says_each_condition_once_and_in_order(world: World) -> None:
    for key, document in world.resources.items():
        kinds = [each["type"] for each in document["status"]["conditions"]]
        assert kinds == conditions_of(key.kind), "what the reference says"
        flows = ["DataFlowing"] if key.kind in {"Feed", "Market", "Subscription"} else []
        assert kinds == ["Accepted", "Available", "Progressing", *flows, "Paused", "Ready"]


def test_a_resource_that_is_bad_in_many_places_names_a_few(world: World) -> None:
    world.patch("Scanner/gappers", board={"columns": [f"wrong_{number}" for number in range(9)]})
    world.make_pass()
    assert " (and 4 more); generation 1 goes on" in world.condition("Scanner/gappers", "Accepted")[2]


def test_a_pod_that_finds_no_node_says_so(world: World) -> None:
    get_stuck(world)
    world.extra_pods[0]["status"] = {
        "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are free"}
        ]
    }
    world.make_pass()
    assert world.condition("Feed/massive", "Ready")[2].endswith(": Unschedulable: 0/1 nodes are free")


def test_a_pod_that_is_going_complains_of_nothing(world: World) -> None:
    get_stuck(world)
    world.extra_pods[0]["metadata"]["deletionTimestamp"] = "2027-01-01T00:00:00Z"
    world.make_pass()
    assert world.condition("Feed/massive", "Ready")[2] == "the new listener-massive does not become ready"


# Times


def verdict(status: ConditionStatus, reason: str = "Because") -> Verdict:
    return Verdict(ConditionType.READY, status, reason, "a message\n of  two lines")


@pytest.mark.parametrize(
    ("before", "now", "since"),
    [
        ([], ConditionStatus.TRUE, "now"),
        ([{"type": "Ready", "status": "True", "lastTransitionTime": "then"}], ConditionStatus.TRUE, "then"),
        ([{"type": "Ready", "status": "True", "lastTransitionTime": "then"}], ConditionStatus.FALSE, "now"),
        ([{"type": "Ready", "status": "True"}], ConditionStatus.TRUE, "now"),
        ([{"type": "Paused", "status": "True", "lastTransitionTime": "then"}], ConditionStatus.TRUE, "now"),
        ([{"status": "True"}, {}], ConditionStatus.TRUE, "now"),
    ],
)
def test_a_transition_is_a_change_of_status(before: list[dict[str, str]], now: ConditionStatus, since: str) -> None:
    (condition,) = merge_conditions(before, [verdict(now)], 7, "now")
    assert condition.last_transition_time == since
    assert condition.observed_generation == 7
    assert condition.message == "a message of two lines"


@pytest.mark.parametrize(
    ("before", "is_told"),
    [
        ([], True),
        ([{"type": "Ready", "status": "True", "reason": "Because"}], False),
        ([{"type": "Ready", "status": "True", "reason": "Because", "message": "of another"}], False),
        ([{"type": "Ready", "status": "True", "reason": "Otherwise"}], True),
        ([{"type": "Ready", "status": "False", "reason": "Because"}], True),
    ],
)
def test_a_change_of_status_or_reason_is_told(before: list[dict[str, str]], is_told: bool) -> None:  # noqa: FBT001
    after = merge_conditions(before, [verdict(ConditionStatus.TRUE)], 1, "now")
    assert bool(transitions(before, after)) is is_told


def test_times_move_with_the_status_alone(world: World) -> None:
    def since(kind: str) -> str:
        conditions = world.status("Feed/massive")["conditions"]
        return str(next(each["lastTransitionTime"] for each in conditions if each["type"] == kind))

    before = {kind: since(kind) for kind in ("Accepted", "Available", "Progressing", "Ready")}
    world.now_s += 100
    edit_feed(world)
    world.make_pass()
    during = {kind: since(kind) for kind in before}
    assert {kind for kind in before if before[kind] != during[kind]} == {"Progressing", "Ready"}
    world.make_pass()
    assert {kind: since(kind) for kind in before} == during


# Events


def test_a_story_is_told_by_its_turns_alone(world: World) -> None:
    edit_feed(world)
    told = [world.make_pass().told()]
    world.start_rollouts()
    told += [world.make_pass().told() for _ in range(3)]
    world.finish_rollouts()
    told += [world.make_pass().told() for _ in range(3)]
    assert [turn for turn in told if turn] == [
        [("Feed/massive", "FeedChanged", "restarting: FeedChanged (Feed/massive edited)")],
        [("Feed/massive", "RolledOut", "accepted, and listener-massive is rolled out")],
    ]


@pytest.mark.parametrize(
    ("act", "resource", "kind", "reason"),
    [
        (lambda world: world.patch("Feed/massive", provider="x"), "Feed/massive", "Warning", "InvalidSpec"),
        (
            lambda world: world.patch("Scanner/volume", board={"rankBy": "free_float"}),
            "Scanner/volume",
            "Warning",
            "FeatureWithoutData",
        ),
        (pause_and_edit, "Feed/massive", "Normal", "Paused"),
        (edit_feed, "Feed/massive", "Normal", "FeedChanged"),
        (get_stuck, "Feed/massive", "Warning", "DeadlineExceeded"),
        (roll_back, "Feed/massive", "Warning", "RolledBack"),
        (take_name, "Feed/massive", "Warning", "NameTaken"),
        (refuse, "Feed/massive", "Warning", "WriteRefused"),
        (lose_broker_secret, "DataPlane/default", "Warning", "SecretNotFound"),
        (ask_for_two_partitions, "Market/us-stocks", "Normal", "MarketChanged"),
        (wait_for_close, "Feed/massive", "Normal", "WaitsForMarketClose"),
        (report_trouble, "Feed/massive", "Warning", "Trouble"),
        (report(streaming=1, events_total=5), "Feed/massive", "Normal", "Flowing"),
    ],
)
def test_a_turn_is_an_event_of_its_kind_and_is_posted_once(
    world: World, act: Callable[[World], None], resource: str, kind: str, reason: str
) -> None:
    events = []
    make_pass = world.make_pass

    def remember() -> object:
        made = make_pass()
        events.extend(made.events)
        return made

    world.make_pass = remember  # type: ignore[method-assign, assignment]
    act(world)
    for _ in range(3):
        world.make_pass()
    mine = [
        each
        for each in events
        if f"{each['regarding']['kind']}/{each['regarding']['name']}" == resource and each["reason"] == reason
    ]
    assert [each["type"] for each in mine] == [kind]
    (event,) = mine
    assert event["regarding"]["uid"] == world.resource(resource)["metadata"]["uid"]
    assert event["reportingController"] == "scanplane-operator"


def test_a_thousand_scanners_do_not_flood_a_restart(world: World) -> None:
    world.patch("Market/us-stocks", calendar="XLON")
    told = [turn for made in world.settle() for turn in made.told()]
    assert [turn for turn in told if turn[0].startswith("Scanner")] == []


def test_a_long_note_of_other_letters_fits_an_event(world: World) -> None:
    world.report(LISTENER, problems=("é" * 2000,))
    (event,) = [each for each in world.make_pass().events if each["regarding"]["kind"] == "Feed"]
    assert set(event["note"]) == {"é"}
    assert len(event["note"].encode()) == 1024
