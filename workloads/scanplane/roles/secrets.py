"""Where the values behind a configuration's references come from: mounted folders, documents, the environment.

A pod mounts each Secret as a folder (``<folder>/<secret name>/<key>``); ``scanplane up`` reads Secret documents
beside the other resources; both fall back to ``SCANPLANE_SECRET_<NAME>_<KEY>`` in the environment. Every value that
is read is registered for redaction before anybody else sees it.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from scanplane.plan.configuration import SecretKey
from scanplane.roles.interface import SecretMissingError
from scanplane.telemetry.redaction import register_secret

__all__ = ["DirectorySecrets", "MappingSecrets", "environment_variable", "secret_digests"]

_NAME = re.compile(r"[A-Za-z0-9][-._A-Za-z0-9]*")
_PREFIX = "SCANPLANE_SECRET_"


def _upper(text: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", text.upper())


def environment_variable(key: SecretKey) -> str:
    """Return the variable that stands in for *key*: upper case, ``_`` for whatever is no letter or digit."""
    return f"{_PREFIX}{_upper(key.name)}_{_upper(key.key)}"


def secret_digests(secrets: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return a digest for each key of each Secret, as the planner's inventory holds them: a rotation changes it."""
    return {
        name: {key: hashlib.sha256(_clean(value).encode()).hexdigest()[:16] for key, value in sorted(values.items())}
        for name, values in sorted(secrets.items())
    }


def _clean(value: str) -> str:
    """Return *value* without the line end that editors and ``echo`` leave in secret files."""
    return value.rstrip("\r\n")


def _registered(value: str) -> str:
    clean = _clean(value)
    register_secret(clean)
    return clean


class _EnvironmentSecrets:
    """The fallback that both homes share."""

    def __init__(self, environment: Mapping[str, str] | None) -> None:
        self._environment = os.environ if environment is None else environment

    def _read_variable(self, key: SecretKey, looked_in: str) -> str:
        variable = environment_variable(key)
        value = self._environment.get(variable)
        if value is None:
            raise SecretMissingError(
                f"secret {key.name!r} has no key {key.key!r}: neither {looked_in} "
                f"nor the environment variable {variable} is there"
            )
        return _registered(value)

    def _read_variables(self, name: str, looked_in: str) -> dict[str, str]:
        prefix = f"{_PREFIX}{_upper(name)}_"
        found = {
            variable.removeprefix(prefix).lower(): _registered(value)
            for variable, value in sorted(self._environment.items())
            if variable.startswith(prefix) and variable != prefix
        }
        if not found:
            raise SecretMissingError(
                f"secret {name!r} is missing: neither {looked_in} nor environment variables {prefix}* are there"
            )
        return found


class DirectorySecrets(_EnvironmentSecrets):
    """Secrets mounted as ``<path>/<secret name>/<key>``, as Kubernetes does; read anew at every call."""

    def __init__(self, path: Path, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(environment)
        self._path = path

    def read(self, key: SecretKey) -> str:
        """Return one value. Raises SecretMissingError."""
        file = self._folder(key.name) / _checked(key.key)
        text = _read_text(file)
        return self._read_variable(key, str(file)) if text is None else _registered(text)

    def read_all(self, name: str) -> dict[str, str]:
        """Return every key and value of one Secret; from the environment, keys are lower case.

        Raises SecretMissingError.
        """
        folder = self._folder(name)
        if not folder.is_dir():
            return self._read_variables(name, str(folder))
        # Kubernetes keeps the real files in hidden folders (``..data``) behind links that bear the keys' names.
        texts = {file.name: _read_text(file) for file in sorted(folder.iterdir()) if not file.name.startswith(".")}
        return {key: _registered(text) for key, text in texts.items() if text is not None}

    def _folder(self, name: str) -> Path:
        return self._path / _checked(name)


class MappingSecrets(_EnvironmentSecrets):
    """Secrets from documents: each Secret's name with its keys and values."""

    def __init__(self, secrets: Mapping[str, Mapping[str, str]], environment: Mapping[str, str] | None = None) -> None:
        super().__init__(environment)
        self._secrets = secrets
        for values in secrets.values():
            for value in values.values():
                _registered(value)

    def __repr__(self) -> str:
        return f"MappingSecrets({sorted(self._secrets)})"

    def read(self, key: SecretKey) -> str:
        """Return one value. Raises SecretMissingError."""
        value = self._secrets.get(key.name, {}).get(key.key)
        return (
            self._read_variable(key, f"a Secret document named {key.name!r} with that key")
            if value is None
            else _clean(value)
        )

    def read_all(self, name: str) -> dict[str, str]:
        """Return every key and value of one Secret; from the environment, keys are lower case.

        Raises SecretMissingError.
        """
        values = self._secrets.get(name)
        if values is None:
            return self._read_variables(name, f"a Secret document named {name!r}")
        return {key: _clean(value) for key, value in values.items()}


def _checked(name: str) -> str:
    """Return *name* if it can only name an entry of its own folder."""
    if not _NAME.fullmatch(name):
        raise SecretMissingError(
            f"{name!r} can't be the name or key of a secret: use letters, digits, '-', '_' and '.'"
        )
    return name


def _read_text(file: Path) -> str | None:
    """Return the text of *file*, or None if it is not there. Raises SecretMissingError if it can't be read."""
    try:
        return file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except UnicodeDecodeError:
        raise SecretMissingError(f"{file} is not UTF-8 text") from None
    except OSError as error:
        raise SecretMissingError(f"{file} can't be read: {(error.strerror or 'input/output error').lower()}") from None
