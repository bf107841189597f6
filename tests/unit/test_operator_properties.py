"""Whatever people do in whatever order, the operator settles, loses nothing that it needs, and ends where a fresh one would."""

import copy
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from scanplane.plan.inventory import ResourceKey
from scanplane.resources.kinds import Kind
from scanplane_operator.names import REVISION
from scanplane_operator.observed import ObjectKey
from scanplane_operator.rollouts import live_config_map
from scanplane_operator.settings import PodSettings
from support.operator_world import SECRETS, US_STOCKS, World
from support.resource_documents import specs

SETTLED = World()
SETTLED.settle()
NAMES = [str(key) for key in SETTLED.resources]
BASE = {str(key): copy.deepcopy(document["spec"]) for key, document in SETTLED.resources.items()}

Step = Callable[[World], None]

EDITS: list[tuple[str, dict[str, Any]]] = [
    ("DataPlane/default", {"gateway": {"replicas": 0}}),
    ("DataPlane/default", {"gateway": {"maxClients": 5}}),
    ("DataPlane/default", {"gateway": {"service": {"type": "NodePort"}}}),
    ("DataPlane/default", {"workloads": {"nodeSelector": {"disk": "fast"}}}),
    ("DataPlane/default", {"workloads": {"listener": {"resources": {"requests": {"cpu": "1500m", "memory": "4Gi"}}}}}),
    ("DataPlane/default", {"updatePolicy": "MarketClosed"}),
    ("DataPlane/default", {"broker": None}),
    ("Feed/massive", {"massive": {"feed": "Delayed"}}),
    ("Feed/massive", {"massive": {"apiKeySecretRef": {"name": "gone"}}}),
    ("Feed/massive", {"provider": "Bloomberg"}),
    ("Market/us-stocks", {"analyzer": {"partitions": 2}}),
    ("Market/us-stocks", {"analyzer": {"partitions": 4}}),
    ("Market/us-stocks", {"analyzer": {"standby": True}}),
    ("Market/us-stocks", {"calendar": "MOON"}),
    ("Market/us-stocks", {"reference": {"freeFloat": "File", "file": {"symbols": "s.csv", "configMapRef": {"name": "r"}}}}),
    ("Subscription/seconds", {"symbols": ["AAPL"]}),
    ("Subscription/seconds", {"feedRef": {"name": "gone"}}),
    ("Scanner/gappers", {"where": "price >= 3.0"}),
    ("Scanner/gappers", {"where": "prise >= 3.0"}),
    ("Scanner/volume", {"marketRef": {"name": "gone"}}),
]  # fmt: skip


def present(step: Callable[[World, str], None]) -> Callable[[str], Step]:
    """Return a step over a resource that may have been deleted."""

    def over(name: str) -> Step:
        def run(world: World) -> None:
            kind, _, plain = name.partition("/")
            if ResourceKey(Kind(kind), plain) in world.resources:
                step(world, name)

        return run

    return over


def edit(change: tuple[str, dict[str, Any]]) -> Step:
    name, fields = change
    return present(lambda world, each: world.patch(each, **copy.deepcopy(fields)))(name)


def write_any(change: tuple[str, Any]) -> Step:
    name, spec = change

    def run(world: World, each: str) -> None:
        world._edit(world.resource(each), copy.deepcopy(spec))

    return present(run)(name)


def mend(world: World, name: str) -> None:
    world._edit(world.resource(name), copy.deepcopy(BASE[name]))


def delete_child(number: int) -> Step:
    def run(world: World) -> None:
        children = sorted(world.children)
        if children:
            world.delete(str(children[number % len(children)]))

    return run


def undo(number: int) -> Step:
    def run(world: World) -> None:
        world.start_rollouts()
        candidates = [name for name in world.instances() if len(world._replica_sets_of(world.deployment(name))) > 1]
        if candidates:
            world.undo(candidates[number % len(candidates)])

    return run


def restart(number: int) -> Step:
    def run(world: World) -> None:
        if world.instances():
            world.restart(world.instances()[number % len(world.instances())])

    return run


def set_image(number: int) -> Step:
    def run(world: World) -> None:
        world.settings = PodSettings(image=f"registry/scanplane:{number}")

    return run


def get_stuck(number: int) -> Step:
    return lambda world: world.finish_rollouts(stuck=world.instances()[number % 3 : number % 3 + 1])


def open_market(session: int) -> Step:
    return lambda world: world.report("analyzer-us-stocks-0", {"session": float(session)})


def refuse(number: int) -> Step:
    def run(world: World) -> None:
        children = sorted(world.children)
        world.refuses = {children[number % len(children)]: "exceeded quota"} if children else {}

    return run


def lose_secret(name: str) -> Step:
    return lambda world: world.secrets.pop(name, None) and None


def rotate(name: str) -> Step:
    return lambda world: world.secrets.update({name: {key: f"{key}-{world.now_s}" for key in SECRETS[name]}})


def restore(world: World) -> None:
    world.refuses = {}
    world.secrets = {name: dict(keys) for name, keys in SECRETS.items()}


def make_pass(world: World) -> None:
    """Make a pass, and look that it did nothing twice and took nothing away that is needed."""
    paused = {
        key for key, each in world.resources.items() if "scanplane.io/paused" in each["metadata"].get("annotations", {})
    }
    had = set(world.children)
    before = {(owner_of(child), key) for key, child in world.children.items()}
    world.make_pass()
    gone = {owner for owner, key in before if key not in world.children}
    assert not gone & paused, "what belongs to a paused resource is left alone"
    tried = {f"apply {key}" for key in world.refuses}
    again = set(world.make_pass().writes) - tried
    assert all(write.startswith("remove ConfigMap/") for write in again), "what a removed workload read goes after it"
    assert set(world.make_pass().writes) <= tried, "a pass over an unchanged world writes nothing"
    assert not {key for key in had - world.children.keys() if key in needed(world)}, "pods find their configuration"


def owner_of(child: dict[str, Any]) -> ResourceKey:
    reference = child["metadata"]["ownerReferences"][0]
    return ResourceKey(Kind(reference["kind"]), reference["name"])


def needed(world: World) -> set[ObjectKey]:
    """Return the configurations that pods read, or would after a rollback."""
    holders = [*world.replica_sets.values(), *(world.deployment(name) for name in world.instances())]
    return {ObjectKey("ConfigMap", live_config_map(holder) or "") for holder in holders}


names, numbers = some.sampled_from(NAMES), some.integers(0, 20)
STEPS: some.SearchStrategy[Step] = some.one_of(
    some.sampled_from(EDITS).map(edit),
    some.sampled_from(EDITS).map(edit),
    some.sampled_from(NAMES)
    .flatmap(lambda name: some.tuples(some.just(name), specs(Kind(name.split("/")[0]))))
    .map(write_any),
    names.map(present(mend)),
    names.map(present(lambda world, name: world.pause(name))),
    names.map(present(lambda world, name: world.resume(name))),
    names.map(present(lambda world, name: world.delete(name))),
    names.map(present(lambda world, name: world.resource(name).pop("status", None) and None)),
    some.just(lambda world: world.apply(US_STOCKS)),
    numbers.map(delete_child),
    numbers.map(undo),
    numbers.map(restart),
    some.integers(1, 3).map(set_image),
    numbers.map(get_stuck),
    some.integers(0, 3).map(open_market),
    numbers.map(refuse),
    some.sampled_from(["services", "massive"]).map(lose_secret),
    some.sampled_from(["services", "massive"]).map(rotate),
    some.just(restore),
    some.just(World.forget_operator),
    some.just(World.start_rollouts),
    some.just(World.finish_rollouts),
    some.just(make_pass),
    some.just(make_pass),
    some.just(make_pass),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(some.lists(STEPS, max_size=14))
def test_whatever_happens_it_settles_and_heals(steps: list[Step]) -> None:
    world = copy.deepcopy(SETTLED)
    for step in steps:
        step(world)
    world.refuses = {}
    world.settle()

    restore(world)
    world.settings = PodSettings(image="registry/scanplane:9")  # a change that goes forward also after a rollback
    world.forget_operator()
    world.apply(US_STOCKS)
    for name in NAMES:
        world.resume(name)
        mend(world, name)
        world.status(name).pop("session", None)
    world.settle()
    world.settle()

    fresh = World(settings=world.settings)
    fresh.settle()
    assert world.instances() == fresh.instances()
    for name in fresh.instances():
        assert world.template_annotation(name, REVISION) == fresh.template_annotation(name, REVISION)
    for name in NAMES:
        assert world.ready(name) == ("True", "RolledOut"), (name, world.condition(name, "Ready"))
    assert world.make_pass().is_nothing
