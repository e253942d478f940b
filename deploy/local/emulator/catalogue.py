"""Models, versions and deployments, as the API describes them."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from deploy.local.emulator import problems
from deploy.local.emulator.models import MODELS, Model, find_model
from deploy.local.emulator.validation import Input

PUSHED_AT = "2023-11-06T18:00:00.000000Z"


class Catalogue:
    def __init__(self, deployments: Mapping[str, str]) -> None:
        self._deployments = deployments

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/account", _account),
            web.get("/v1/hardware", _hardware),
            web.get("/v1/models", _models),
            web.get("/v1/models/{owner}/{name}", _model),
            web.get("/v1/models/{owner}/{name}/versions", _versions),
            web.get("/v1/models/{owner}/{name}/versions/{id}", _version),
            web.get("/v1/deployments/{owner}/{name}", self._deployment),
        ]

    def model_of(self, deployment: str) -> Model | None:
        ref = self._deployments.get(deployment)
        return None if ref is None else find_model(ref)

    async def _deployment(self, request: web.Request) -> web.Response:
        owner, name = request.match_info["owner"], request.match_info["name"]
        model = self.model_of(f"{owner}/{name}")
        if model is None:
            return problems.not_found()
        release = {
            "number": 1,
            "model": model.ref,
            "version": model.version,
            "created_at": PUSHED_AT,
            "created_by": _me(),
            "configuration": {"hardware": "gpu-a40-large", "min_instances": 0, "max_instances": 1},
        }
        return web.json_response({"owner": owner, "name": name, "current_release": release})


def _me() -> dict[str, Any]:
    return {
        "type": "organization",
        "username": "acme",
        "name": "Acme Corp.",
        "github_url": "https://github.com/acme",
    }


async def _account(_request: web.Request) -> web.Response:
    return web.json_response(_me())


async def _hardware(_request: web.Request) -> web.Response:
    return web.json_response(
        [{"name": "CPU", "sku": "cpu"}, {"name": "Nvidia A40 (Large) GPU", "sku": "gpu-a40-large"}]
    )


async def _models(_request: web.Request) -> web.Response:
    return web.json_response(
        {"next": None, "previous": None, "results": [described(model) for model in MODELS]}
    )


async def _model(request: web.Request) -> web.Response:
    model = _asked_for(request)
    return problems.not_found() if model is None else web.json_response(described(model))


async def _versions(request: web.Request) -> web.Response:
    model = _asked_for(request)
    if model is None:
        return problems.not_found()
    versions = [_described_version(model, version) for version in model.versions]
    return web.json_response({"next": None, "previous": None, "results": versions})


async def _version(request: web.Request) -> web.Response:
    model, wanted = _asked_for(request), request.match_info["id"]
    if model is None or wanted not in model.versions:
        return problems.not_found()
    return web.json_response(_described_version(model, wanted))


def _asked_for(request: web.Request) -> Model | None:
    return find_model(f"{request.match_info['owner']}/{request.match_info['name']}")


def described(model: Model) -> dict[str, Any]:
    return {
        "url": f"https://replicate.com/{model.ref}",
        "owner": model.owner,
        "name": model.name,
        "description": model.description,
        "visibility": "public",
        "is_official": model.official,
        "github_url": None,
        "paper_url": None,
        "license_url": None,
        "run_count": 1_000_000,
        "cover_image_url": None,
        "default_example": None,
        "latest_version": _described_version(model, model.version),
    }


def _described_version(model: Model, version: str) -> dict[str, Any]:
    return {
        "id": version,
        "created_at": PUSHED_AT,
        "cog_version": "0.8.6",
        "openapi_schema": openapi(model),
    }


def openapi(model: Model) -> dict[str, Any]:
    """The part of a model's OpenAPI document that clients read: its Input and its Output."""
    uri = {"type": "string", "format": "uri"}
    output = uri if model.output == "string" else {"type": "array", "items": uri}
    schema: dict[str, Any] = {
        "type": "object",
        "title": "Input",
        "properties": {
            one.name: {**_property(one), "x-order": order} for order, one in enumerate(model.inputs)
        },
    }
    if required := [one.name for one in model.inputs if one.required]:
        schema["required"] = required
    return {
        "openapi": "3.0.2",
        "info": {"title": "Cog", "version": "0.1.0"},
        "paths": {},
        "components": {"schemas": {"Input": schema, "Output": {"title": "Output", **output}}},
    }


def _property(one: Input) -> dict[str, Any]:
    described = {
        "type": one.kind,
        "title": one.name.replace("_", " ").capitalize(),
        "description": one.description,
        "default": one.default,
        "minimum": one.minimum,
        "maximum": one.maximum,
        "enum": list(one.choices) or None,
        "format": "uri" if one.uri else None,
    }
    return {name: value for name, value in described.items() if value is not None}
