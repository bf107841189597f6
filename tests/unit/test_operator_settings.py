"""The operator's environment: what each variable means, and one line for each that makes no sense."""

import re
from pathlib import Path

import pytest

from scanplane.resources.data_plane import LogLevel
from scanplane.resources.pods import PullPolicy
from scanplane_operator.settings import PodSettings, Settings, SettingsError, read_settings

IMAGE = {"SCANPLANE_IMAGE": "registry/scanplane:1"}
DESIGN = Path(__file__).parents[2] / "docs" / "design" / "0006-operator.md"


def test_what_is_left_out_has_its_default() -> None:
    assert read_settings(IMAGE) == Settings(pods=PodSettings(image="registry/scanplane:1"))


GOOD = {
    "SCANPLANE_NAMESPACES": (" a, b,,a ", lambda settings: settings.namespaces, ("a", "b")),
    "SCANPLANE_IMAGE": (" registry/x ", lambda settings: settings.pods.image, "registry/x"),
    "SCANPLANE_IMAGE_PULL_POLICY": ("Always", lambda settings: settings.pods.pull_policy, PullPolicy.ALWAYS),
    "SCANPLANE_IMAGE_PULL_SECRETS": ("one,two.x", lambda settings: settings.pods.pull_secrets, ("one", "two.x")),
    "SCANPLANE_NETWORK_POLICIES": ("true", lambda settings: settings.pods.network_policies, True),
    "SCANPLANE_NETWORK_POLICY_STATUS_FROM": (
        '[{"podSelector": {}}]',
        lambda settings: settings.pods.status_peers,
        ({"podSelector": {}},),
    ),
    "SCANPLANE_NETWORK_POLICY_GATEWAY_FROM": (
        '[{"namespaceSelector": {}}]',
        lambda settings: settings.pods.gateway_peers,
        ({"namespaceSelector": {}},),
    ),
    "SCANPLANE_POD_DISRUPTION_BUDGETS": ("true", lambda settings: settings.pods.disruption_budgets, True),
    "SCANPLANE_STATUS_PORT": ("9000", lambda settings: settings.status_port, 9000),
    "SCANPLANE_RESYNC_SECONDS": ("1.5", lambda settings: settings.resync_s, 1.5),
    "SCANPLANE_SECRETS_SECONDS": ("0.1", lambda settings: settings.secrets_s, 0.1),
    "SCANPLANE_FIGURES_SECONDS": ("3600", lambda settings: settings.figures_s, 3600.0),
    "SCANPLANE_LOG_LEVEL": ("Debug", lambda settings: settings.log_level, LogLevel.DEBUG),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_variable_is_taken(name: str) -> None:
    text, setting, value = GOOD[name]
    assert setting(read_settings({**IMAGE, name: text})) == value


@pytest.mark.parametrize("name", sorted(GOOD.keys() - IMAGE.keys()))
def test_an_empty_variable_counts_as_left_out(name: str) -> None:
    assert read_settings({**IMAGE, name: " "}) == read_settings(IMAGE)


NAMES = "write names of Kubernetes with commas between them"
PEERS = 'write a list of NetworkPolicy peers in JSON, such as [{"podSelector": {}}]'
POLICIES = "Always, IfNotPresent, Never"
BAD = [
    ("SCANPLANE_IMAGE", "", "SCANPLANE_IMAGE is not set: write the image of the workloads, such as registry/scanplane:1.2.0"),
    ("SCANPLANE_NAMESPACES", "a b", f"SCANPLANE_NAMESPACES: 'a b' is no name: {NAMES}"),
    ("SCANPLANE_NAMESPACES", "a,../b", f"SCANPLANE_NAMESPACES: '../b' is no name: {NAMES}"),
    ("SCANPLANE_IMAGE_PULL_SECRETS", "A", f"SCANPLANE_IMAGE_PULL_SECRETS: 'A' is no name: {NAMES}"),
    ("SCANPLANE_IMAGE_PULL_POLICY", "always", f"SCANPLANE_IMAGE_PULL_POLICY is 'always': write one of {POLICIES}"),
    ("SCANPLANE_NETWORK_POLICIES", "yes", "SCANPLANE_NETWORK_POLICIES is 'yes': write one of true, false"),
    ("SCANPLANE_NETWORK_POLICY_STATUS_FROM", "everybody", f"SCANPLANE_NETWORK_POLICY_STATUS_FROM is no JSON: {PEERS}"),
    ("SCANPLANE_NETWORK_POLICY_GATEWAY_FROM", "[1]", f"SCANPLANE_NETWORK_POLICY_GATEWAY_FROM is no list of objects: {PEERS}"),
    ("SCANPLANE_POD_DISRUPTION_BUDGETS", "True", "SCANPLANE_POD_DISRUPTION_BUDGETS is 'True': write one of true, false"),
    ("SCANPLANE_STATUS_PORT", "65536", "SCANPLANE_STATUS_PORT is '65536': write a number from 0 to 65535"),
    ("SCANPLANE_STATUS_PORT", "80.5", "SCANPLANE_STATUS_PORT is '80.5': write a whole number from 0 to 65535"),
    ("SCANPLANE_RESYNC_SECONDS", "0.5", "SCANPLANE_RESYNC_SECONDS is '0.5': write a number from 1 to 86400"),
    ("SCANPLANE_SECRETS_SECONDS", "soon", "SCANPLANE_SECRETS_SECONDS is 'soon': write a number from 0.1 to 3600"),
    ("SCANPLANE_FIGURES_SECONDS", "nan", "SCANPLANE_FIGURES_SECONDS is 'nan': write a number from 0.1 to 3600"),
    ("SCANPLANE_FIGURES_SECONDS", "inf", "SCANPLANE_FIGURES_SECONDS is 'inf': write a number from 0.1 to 3600"),
    ("SCANPLANE_LOG_LEVEL", "INFO", "SCANPLANE_LOG_LEVEL is 'INFO': write one of Debug, Info, Warning, Error"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "line"), BAD)
def test_a_wrong_value_is_refused_in_one_line_that_says_what_to_write(name: str, text: str, line: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({**IMAGE, name: text})
    assert str(refused.value) == line


def test_every_variable_is_documented_and_tried() -> None:
    documented = set(re.findall(r"^\| `(SCANPLANE_\w+)`", DESIGN.read_text(), re.MULTILINE))
    assert documented == set(GOOD)
    assert {name for name, _, _ in BAD} == documented
