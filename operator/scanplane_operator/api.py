"""The API server, as far as the operator needs it: list, get, apply, delete, and nothing that keeps state.

On ``kubernetes.aio``'s client for connection, certificates and tokens; objects stay plain dictionaries, since models of all of
Kubernetes would cost memory and say nothing that we need.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
import msgspec
from kubernetes.aio import config as client_config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from msgspec import Struct

__all__ = ["Api", "ApiError", "ApiUnavailableError", "Writes", "all_of", "connect"]

REQUEST_S = 30.0
PAGE = 500
MAX_PAGES = 200
MAX_CONCURRENT = 16

Answer = TypeVar("Answer")


class ApiUnavailableError(Exception):
    """The API server can't be reached or does not answer in time; the text says what happened."""


class ApiError(Exception):
    """The API server refused a request. ``status`` is HTTP's, ``reason`` Kubernetes' word, such as Forbidden."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class Writes(Struct, kw_only=True):
    """Requests that changed something or tried to, by kind and verb; for metrics and tests."""

    by_kind_and_verb: dict[tuple[str, str], int] = {}

    def count(self, kind: str, verb: str) -> None:
        """Count one."""
        self.by_kind_and_verb[kind, verb] = self.by_kind_and_verb.get((kind, verb), 0) + 1


class Api:
    """Requests to one API server. Every method raises ApiError or ApiUnavailableError."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._turns = asyncio.Semaphore(MAX_CONCURRENT)
        self.writes = Writes()

    async def list(
        self, path: str, *, selector: str = "", name: str = "", managers: bool = False
    ) -> list[dict[str, Any]]:
        """Return the objects at *path*, by label *selector* or by *name*; who wrote which field only if *managers* asks.

        That is half of an object.
        """
        query = {"limit": str(PAGE)}
        if selector:
            query["labelSelector"] = selector
        if name:
            query["fieldSelector"] = f"metadata.name={name}"
        found: list[dict[str, Any]] = []
        for _ in range(MAX_PAGES):
            page = await self._request("GET", path, query)
            for item in page.get("items") or ():
                if not managers:
                    item["metadata"].pop("managedFields", None)
                found.append(item)
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return found
            query["continue"] = token
        raise ApiUnavailableError(f"{path} holds more than {PAGE * MAX_PAGES} objects")

    async def get(self, path: str) -> dict[str, Any] | None:
        """Return the object at *path*, None if there is none."""
        try:
            return await self._request("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def apply(self, path: str, manifest: Mapping[str, Any], manager: str) -> dict[str, Any]:
        """Make the object at *path* contain *manifest* (server-side apply); return what it is then."""
        self.writes.count(str(manifest["kind"]), "apply")
        query = {"fieldManager": manager, "force": "true"}
        return await self._request("PATCH", path, query, manifest, content_type="application/apply-patch+yaml")

    async def create(self, path: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object in the collection at *path*."""
        self.writes.count(str(manifest["kind"]), "create")
        return await self._request("POST", path, None, manifest)

    async def delete(self, path: str, kind: str, uid: str) -> None:
        """Delete the very object of this *uid*, and what belongs to it; one that is gone already is fine."""
        self.writes.count(kind, "delete")
        options = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            await self._request("DELETE", path, None, options)
        except ApiError as error:
            if error.status not in {404, 409}:
                raise

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        *,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        async with self._turns:
            try:
                parameters = await self._client.param_serialize(
                    method,
                    path,
                    query_params=list((query or {}).items()),
                    header_params=headers,
                    body=body,
                    auth_settings=["BearerToken"],
                )
                response = await self._client.call_api(*parameters, _request_timeout=REQUEST_S)
                content = await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise ApiUnavailableError(f"the API server does not answer: {_told(error)}") from error
        document = _decode(content)
        if response.status >= 400:
            known = document or {}
            message = known.get("message") or content[:200].decode(errors="replace") or response.reason
            raise ApiError(response.status, str(known.get("reason") or response.reason), str(message))
        if document is None:
            raise ApiUnavailableError(f"what answers at {self._client.configuration.host} is no API server")
        return document


async def all_of(requests: Iterable[Awaitable[Answer]]) -> list[Answer]:
    """Return every answer, or raise the first error once the other requests have ended."""
    answers = await asyncio.gather(*requests, return_exceptions=True)
    found: list[Answer] = []
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        found.append(answer)
    return found


def _told(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _decode(content: bytes) -> dict[str, Any] | None:
    """Return the object in an answer; None if it is something else, such as a proxy's own page."""
    try:
        document = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return None
    return document if isinstance(document, dict) else None


@asynccontextmanager
async def connect() -> AsyncIterator[Api]:
    """Connect with the pod's service account, or with the user's kubeconfig outside of a cluster.

    Raises ApiUnavailableError if there is neither.
    """
    configuration = Configuration()
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            client_config.load_incluster_config(client_configuration=configuration)
        else:
            await client_config.load_kube_config(client_configuration=configuration)
    except client_config.ConfigException as error:
        raise ApiUnavailableError(
            f"no cluster to talk to: {_told(error)}; run it in a pod with a service account, or set KUBECONFIG"
        ) from error
    configuration.retries = None  # passes are tried again, whole
    # As kopf's watches do: no proxy but the kubeconfig's, no .netrc. Both would be looked up in a thread for each request.
    configuration.client_session_kwargs = {"trust_env": False}
    client = ApiClient(configuration=configuration)
    try:
        yield Api(client)
    finally:
        with contextlib.suppress(aiohttp.ClientError):
            await client.close()
