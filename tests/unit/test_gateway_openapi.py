from pathlib import Path

from starlette.routing import Route

from scanplane.cli.generate import GENERATORS, stale_files
from scanplane.gateway.endpoints import ENDPOINTS
from scanplane.gateway.openapi import openapi_document
from scanplane.gateway.role import Gateway
from support.gateway import new_gateway

ROOT = Path(__file__).parents[2]


def routes_of(gateway: Gateway) -> dict[str, Route]:
    routes = [route for route in gateway.application.routes if isinstance(route, Route)]
    return {route.path.replace(":path", ""): route for route in routes}


async def test_every_route_is_in_the_document_and_nothing_else() -> None:
    routes = routes_of(new_gateway())
    unlisted = {endpoint.path for endpoint in ENDPOINTS if not endpoint.listed}
    assert set(routes) - unlisted == set(openapi_document()["paths"])


async def test_path_parameters_of_the_document_are_those_of_the_routes() -> None:
    routes = routes_of(new_gateway())
    for path, item in openapi_document()["paths"].items():
        named = {each["name"] for each in item["get"].get("parameters", []) if each["in"] == "path"}
        assert named == set(routes[path].param_convertors), path


def test_every_reference_of_the_document_leads_somewhere() -> None:
    document = openapi_document()
    schemas = document["components"]["schemas"]

    def references(node: object) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [found for value in node.values() for found in references(value)]
        return [found for value in node for found in references(value)] if isinstance(node, list) else []

    found = references(document)
    assert found
    assert {reference.removeprefix("#/components/schemas/") for reference in found} <= set(schemas)


def test_the_published_document_is_not_stale() -> None:
    mine = [generator for generator in GENERATORS if generator.owns == "openapi.json"]
    assert mine
    assert stale_files(ROOT, mine) == []
