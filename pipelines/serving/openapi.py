"""The description of the HTTP interface: OpenAPI 3.1, made of the very types that requests are read by, and
a page that shows it."""

from __future__ import annotations

import functools
import html
from dataclasses import dataclass
from typing import Any

import msgspec

import pipelines
from pipelines.contracts.answers import EventsAnswer, RankAnswer
from pipelines.serving.requests import RankRequest

Described = dict[str, Any]
TYPES = (RankRequest, RankAnswer, EventsAnswer)
ERRORS = {
    "400": "the request is wrong; `error` names the field",
    "401": "no token, or an unknown one",
    "403": "the token has not the scope",
    "413": "the body is too large",
    "429": "too many requests of this client; see Retry-After",
    "503": "too much waits, no model is in charge, or Kafka does not answer; see Retry-After",
}


@dataclass(frozen=True)
class Shown:
    """A route as the page shows it: `scope` empty for anybody, `body` and `answer` names of types."""

    method: str
    path: str
    summary: str
    scope: str = ""
    body: str = ""
    status: str = "200"
    answer: str = "object"


ROUTES = (
    Shown(
        *("post", "/rank", "An order for 1 to 1000 items, or for candidates of our own choice"),
        scope="rank",
        body="RankRequest",
        answer="RankAnswer",
    ),
    Shown(
        *("post", "/events", "One event, or a list of up to 1000, as the domain's records; Kafka has them"),
        scope="events",
        body="object",
        status="202",
        answer="EventsAnswer",
    ),
    Shown("get", "/users/{id}", "A user's state, and the features that are the user's alone", "rank"),
    Shown("get", "/decisions/{id}/explain", "What each feature adds to each item's score", "rank"),
    Shown("get", "/health", "How the process is: version in charge and its age, catalog, Kafka"),
    Shown("get", "/ready", "200 when rankings are answered at full speed, otherwise 503"),
    Shown("get", "/metrics", "Counters, gauges and histograms for Prometheus", answer=""),
    Shown("post", "/admin/rollback", "Give the alias champion back to the version before", "admin"),
)


@functools.cache
def document() -> Described:
    """The OpenAPI document."""
    _, components = msgspec.json.schema_components(TYPES, ref_template="#/components/schemas/{name}")
    components["Error"] = {
        "type": "object",
        "properties": {"error": {"type": "string"}, "status": {"type": "integer"}},
        "required": ["error", "status"],
    }
    paths: Described = {}
    for route in ROUTES:
        answered = {route.status: _content(route.answer, "the answer")}
        operation: Described = {
            "summary": route.summary,
            "responses": {**answered, **_errors(bool(route.scope))},
        }
        if "{id}" in route.path:
            where = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
            operation["parameters"] = [where]
        if route.body:
            operation["requestBody"] = {"required": True, **_content(route.body)}
        if route.scope:
            operation["security"] = [{"bearer": [route.scope]}]
        paths.setdefault(route.path, {})[route.method] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "LakePulse scoring service", "version": pipelines.__version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _content(name: str, description: str = "") -> Described:
    told = {"description": description} if description else {}
    if not name:
        return told
    schema = {"type": "object"} if name == "object" else {"$ref": f"#/components/schemas/{name}"}
    return {**told, "content": {"application/json": {"schema": schema}}}


def _errors(needs_token: bool) -> Described:
    known = ERRORS if needs_token else {"503": ERRORS["503"]}
    return {status: _content("Error", told) for status, told in known.items()}


@functools.cache
def page() -> str:
    """The same for people: one page without scripts or anything from elsewhere."""
    rows = []
    for route in ROUTES:
        scope = f" (scope <b>{route.scope}</b>)" if route.scope else ""
        title = f"{route.method.upper()} {html.escape(route.path)}"
        rows.append(f"<h2><code>{title}</code></h2><p>{html.escape(route.summary)}{scope}.</p>")
    schemas = document()["components"]["schemas"]
    fields = "".join(
        f"<h3>{name}</h3><pre>{html.escape(msgspec.json.format(msgspec.json.encode(schema)).decode())}</pre>"
        for name, schema in schemas.items()
    )
    style = "body{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em}pre{overflow:auto}"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>LakePulse</title><style>{style}</style>"
        f"<h1>LakePulse scoring service</h1><p>Described for machines in <a href=/openapi.json>"
        f"/openapi.json</a>.</p>{''.join(rows)}<h2>Types</h2>{fields}</html>"
    )
