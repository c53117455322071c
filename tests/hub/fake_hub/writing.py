"""What changes repositories: making them, uploads and commits."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from tests.hub.fake_hub.cards import check_card
from tests.hub.fake_hub.repos import File, Files, Repo, is_large
from tests.hub.fake_hub.state import Held, RefusedError

NEW_REPO = {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"}


def making(app: FastAPI, hub: Held) -> None:
    """Routes on cards and new repositories."""

    @app.post("/api/validate-yaml")
    async def validate(request: Request) -> Response:
        errors, warnings = check_card((await request.json())["content"])
        said = {"errors": errors, "warnings": warnings}
        content = {name: [{"message": each} for each in found] for name, found in said.items()}
        return JSONResponse(content, 400 if errors else 200)

    @app.post("/api/repos/create")
    async def create(request: Request) -> Response:
        asked, user = await request.json(), hub.who(request)
        owner = asked.get("organization") or user
        if user is None:
            raise RefusedError(401, "Invalid username or password.")
        if owner != user:
            raise RefusedError(
                403, f'You don\'t have the rights to create a model under the namespace "{owner}"'
            )
        kind, repo_id = f"{asked.get('type') or 'model'}s", f"{owner}/{asked['name']}"
        url = f"{request.base_url}{'' if kind == 'models' else f'{kind}/'}{repo_id}"
        if (kind, repo_id) in hub.repos:
            return JSONResponse({"error": "You already created this repo", "url": url}, 409)
        hub.put(kind, repo_id, NEW_REPO, private=bool(asked.get("private")))
        return JSONResponse({"url": url, "name": repo_id})


def committing(app: FastAPI, hub: Held) -> None:
    """Routes on files and branches."""

    @app.post("/api/{kind}/{owner}/{name}/preupload/{revision:path}")
    async def preupload(request: Request, kind: str, owner: str, name: str, revision: str) -> Any:
        repo = hub.repo(request, kind, f"{owner}/{name}", write=True)
        there: Files = found.files if (found := repo.at(revision)) else {}
        files = (await request.json())["files"]
        return {
            "files": [
                {
                    "path": each["path"], "shouldIgnore": False,
                    "uploadMode": "lfs" if is_large(each["path"], each["size"]) else "regular",
                    **({"oid": there[each["path"]].etag} if each["path"] in there else {}),
                }
                for each in files
            ]
        }  # fmt: skip

    @app.post("/api/{kind}/{owner}/{name}/commit/{revision:path}")
    async def commit(request: Request, kind: str, owner: str, name: str, revision: str) -> Any:
        lines = [json.loads(line) for line in (await request.body()).splitlines()]
        repo = hub.repo(request, kind, f"{owner}/{name}", write=True)
        head = repo.at(repo.branches.get(revision, ""))
        if head is None:
            raise RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        header = lines[0]["value"]
        if header.get("parentCommit", head.oid) != head.oid:
            raise RefusedError(412, "A commit has happened since. Please refresh and try again.")
        files = dict(head.files)
        for line in lines[1:]:
            _change(files, line["key"], line["value"], hub.stored)
        made = repo.commit(files, header["summary"], revision)
        return {
            "success": True,
            "commitOid": made.oid,
            "commitUrl": f"{request.base_url}{_page(repo)}/commit/{made.oid}",
        }

    @app.post("/api/{kind}/{owner}/{name}/branch/{branch:path}")
    async def make_branch(request: Request, kind: str, owner: str, name: str, branch: str) -> Any:
        repo = hub.repo(request, kind, f"{owner}/{name}", write=True)
        start = json.loads(await request.body() or b"{}").get("startingPoint", "main")
        if branch in repo.branches:
            raise RefusedError(409, f"Reference already exists: refs/heads/{branch}")
        repo.branches[branch] = hub.commit(request, kind, repo.id, start)[1].oid
        return {"success": True}


def _page(repo: Repo) -> str:
    return repo.id if repo.kind == "models" else f"{repo.kind}/{repo.id}"


def _change(files: dict[str, File], key: str, value: Mapping[str, Any], stored: Mapping[str, bytes]) -> None:
    """One line of a commit."""
    path = value["path"]
    if key == "file":
        content = base64.b64decode(value["content"])
        files[path] = File(content, False, len(content))
    elif key == "lfsFile":
        if value["oid"] not in stored:
            raise RefusedError(400, f"the large file of {path} was not uploaded")
        files[path] = File(stored[value["oid"]], True, len(stored[value["oid"]]))
    elif path not in files:
        raise RefusedError(404, "A file with this name doesn't exist", "EntryNotFound")
    else:
        del files[path]


def large_files(app: FastAPI, hub: Held) -> None:
    """Routes on large file storage (the basic transfer of Git LFS)."""

    async def batch(request: Request, kind: str, repo_id: str) -> Any:
        hub.repo(request, kind, repo_id, write=True)
        objects = [
            {**each, **({} if each["oid"] in hub.stored else {"actions": _actions(request, each["oid"])})}
            for each in (await request.json())["objects"]
        ]
        return {"transfer": "basic", "objects": objects}

    @app.post("/{owner}/{name}.git/info/lfs/objects/batch")
    async def models(request: Request, owner: str, name: str) -> Any:
        return await batch(request, "models", f"{owner}/{name}")

    @app.post("/datasets/{owner}/{name}.git/info/lfs/objects/batch")
    async def datasets(request: Request, owner: str, name: str) -> Any:
        return await batch(request, "datasets", f"{owner}/{name}")

    @app.put("/large/{oid}")
    async def upload(request: Request, oid: str) -> Any:
        content = await request.body()
        if hashlib.sha256(content).hexdigest() != oid:
            raise RefusedError(400, "the content is not what its checksum says")
        hub.stored[oid] = content
        return {}

    @app.post("/large/{oid}/verify")
    async def verify(oid: str) -> Any:
        if oid not in hub.stored:
            raise RefusedError(404, "no such object")
        return {}


def _actions(request: Request, oid: str) -> dict[str, Any]:
    place = f"{request.base_url}large/{oid}"
    return {"upload": {"href": place, "header": {}}, "verify": {"href": f"{place}/verify", "header": {}}}
