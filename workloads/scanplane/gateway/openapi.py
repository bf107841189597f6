"""The OpenAPI 3.1 document of the gateway, generated from the table of endpoints and the answers' types."""

from typing import Any

import msgspec

from scanplane import __version__
from scanplane.gateway.answers import ErrorAnswer
from scanplane.gateway.endpoints import ENDPOINTS, Endpoint, Parameter

__all__ = ["openapi_document", "render_openapi"]

_REFERENCE = "#/components/schemas/{name}"
_STATUS_TEXTS = {
    400: "A parameter is wrong; the error says what to write.",
    401: "The token is missing or not known.",
    404: "There is no such thing; the error names what there is.",
    426: "This is a WebSocket endpoint.",
    503: "The cache is lost, or nothing was read from it yet.",
}


def openapi_document() -> dict[str, Any]:
    """Return the document as plain values."""
    types = [ErrorAnswer, *(endpoint.answer for endpoint in ENDPOINTS if endpoint.answer is not None)]
    references, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    schemas = dict(zip(types, references, strict=True))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Scanplane gateway",
            "version": __version__,
            "description": "Boards, quotes and signals of a namespace. Times named *Ns are integer nanoseconds UTC.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"bearer": []}, {}],
        "paths": {endpoint.path: {"get": _operation(endpoint, schemas)} for endpoint in ENDPOINTS if endpoint.listed},
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A value of the Secret that the DataPlane's spec.gateway.tokensSecretRef names; "
                    "nothing is asked for without it.",
                }
            },
        },
    }


def render_openapi() -> dict[str, str]:
    """Return the document as the generated file below ``docs``."""
    text = msgspec.json.format(msgspec.json.encode(openapi_document()), indent=2).decode()
    return {"openapi.json": text + "\n"}


def _operation(endpoint: Endpoint, schemas: dict[Any, Any]) -> dict[str, Any]:
    errors = endpoint.errors if endpoint.public else tuple(sorted({*endpoint.errors, 401}))
    error_content = {"application/json": {"schema": schemas[ErrorAnswer]}}
    responses: dict[str, Any] = {}
    content = _content(endpoint, schemas)
    if content:
        responses["200"] = {"description": endpoint.summary + ".", "content": content}
    else:
        responses["101"] = {"description": "The connection is a WebSocket now."}
    for status in errors:
        responses[str(status)] = {"description": _STATUS_TEXTS[status], "content": error_content}
    operation: dict[str, Any] = {"operationId": endpoint.handler, "summary": endpoint.summary}
    if endpoint.description:
        operation["description"] = endpoint.description
    if endpoint.parameters:
        operation["parameters"] = [_parameter(parameter) for parameter in endpoint.parameters]
    if endpoint.public:
        operation["security"] = []
    return {**operation, "responses": responses}


def _content(endpoint: Endpoint, schemas: dict[Any, Any]) -> dict[str, Any]:
    if not endpoint.media_type:
        return {}
    if endpoint.answer is not None:
        content: dict[str, Any] = {"application/json": {"schema": schemas[endpoint.answer]}}
        if endpoint.csv:
            content["text/csv"] = {"schema": {"type": "string"}}
        return content
    schema = {"type": "object"} if endpoint.media_type == "application/json" else {"type": "string"}
    return {endpoint.media_type: {"schema": schema}}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": parameter.type}
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    return {
        "name": parameter.name,
        "in": "path" if parameter.in_path else "query",
        "required": parameter.required,
        "description": parameter.description,
        "schema": schema,
    }
