from pathlib import Path

import pytest

from scanplane.plan.configuration import SecretKey
from scanplane.roles.interface import SecretMissingError
from scanplane.roles.secrets import DirectorySecrets, MappingSecrets, environment_variable, secret_digests
from scanplane.telemetry.redaction import redact

API_KEY = SecretKey(name="massive", key="apiKey")


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """A folder as the kubelet makes it: keys are links into a hidden folder."""
    secret = tmp_path / "massive"
    hidden = secret / "..2026_01_01"
    hidden.mkdir(parents=True)
    (hidden / "apiKey").write_text("key-from-file-77\n")
    (hidden / "other.key").write_text("other-value-77\r\n")
    (secret / "..data").symlink_to(hidden.name)
    for key in ("apiKey", "other.key"):
        (secret / key).symlink_to(f"..data/{key}")
    return tmp_path


def test_a_mounted_key_is_read_without_its_line_end(mounted: Path) -> None:
    assert DirectorySecrets(mounted, {}).read(API_KEY) == "key-from-file-77"


def test_a_mounted_secret_is_read_whole_without_the_hidden_folders(mounted: Path) -> None:
    assert DirectorySecrets(mounted, {}).read_all("massive") == {
        "apiKey": "key-from-file-77",
        "other.key": "other-value-77",
    }


def test_what_is_read_is_hidden_in_texts_from_then_on(mounted: Path) -> None:
    value = DirectorySecrets(mounted, {}).read(API_KEY)
    assert redact(f"refused {value}") == "refused ***"


def test_the_environment_stands_in_for_a_missing_file(tmp_path: Path) -> None:
    environment = {"SCANPLANE_SECRET_MASSIVE_APIKEY": "key-from-environment"}
    secrets = DirectorySecrets(tmp_path, environment)
    assert secrets.read(API_KEY) == "key-from-environment"
    assert secrets.read_all("massive") == {"apikey": "key-from-environment"}


def test_the_file_comes_before_the_environment(mounted: Path) -> None:
    secrets = DirectorySecrets(mounted, {"SCANPLANE_SECRET_MASSIVE_APIKEY": "key-from-environment"})
    assert secrets.read(API_KEY) == "key-from-file-77"


def test_a_variable_has_upper_case_and_underscores() -> None:
    assert (
        environment_variable(SecretKey(name="my-broker.prod", key="amqp-url"))
        == "SCANPLANE_SECRET_MY_BROKER_PROD_AMQP_URL"
    )


def test_a_missing_secret_is_told_with_every_place_that_was_looked_at(tmp_path: Path) -> None:
    with pytest.raises(SecretMissingError) as missing:
        DirectorySecrets(tmp_path, {}).read(API_KEY)
    assert str(missing.value) == (
        f"secret 'massive' has no key 'apiKey': neither {tmp_path}/massive/apiKey "
        "nor the environment variable SCANPLANE_SECRET_MASSIVE_APIKEY is there"
    )
    with pytest.raises(SecretMissingError, match="secret 'massive' is missing"):
        DirectorySecrets(tmp_path, {}).read_all("massive")


@pytest.mark.parametrize("name", ["..", "../etc", "/etc", "a/b", "", ".hidden"])
def test_a_name_can_not_lead_out_of_the_folder(mounted: Path, name: str) -> None:
    secrets = DirectorySecrets(mounted / "massive", {})
    with pytest.raises(SecretMissingError, match="can't be the name or key of a secret"):
        secrets.read(SecretKey(name=name, key="passwd"))
    with pytest.raises(SecretMissingError, match="can't be the name or key of a secret"):
        secrets.read(SecretKey(name="massive", key=name))


def test_a_file_that_is_no_text_is_refused_without_showing_it(mounted: Path) -> None:
    (mounted / "massive" / "binary").write_bytes(b"\xff\xfe secret")
    with pytest.raises(SecretMissingError, match=r"massive/binary is not UTF-8 text$"):
        DirectorySecrets(mounted, {}).read(SecretKey(name="massive", key="binary"))


def test_documents_are_read_like_files() -> None:
    secrets = MappingSecrets(
        {"massive": {"apiKey": "key-from-document\n"}}, {"SCANPLANE_SECRET_CACHE_URL": "redis://cache"}
    )
    assert secrets.read(API_KEY) == "key-from-document"
    assert secrets.read_all("massive") == {"apiKey": "key-from-document"}
    assert secrets.read(SecretKey(name="cache", key="url")) == "redis://cache"
    assert "key-from-document" not in repr(secrets)
    with pytest.raises(SecretMissingError, match="neither a Secret document named 'other'"):
        secrets.read(SecretKey(name="other", key="x"))


def test_digests_change_with_the_value_and_only_with_it() -> None:
    digests = secret_digests({"massive": {"apiKey": "one\n", "old": "two"}})
    assert digests == secret_digests({"massive": {"old": "two", "apiKey": "one"}})
    assert digests["massive"]["apiKey"] != secret_digests({"massive": {"apiKey": "One"}})["massive"]["apiKey"]
    assert "one" not in str(digests)
