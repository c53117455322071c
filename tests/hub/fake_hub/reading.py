"""What tells of repositories and gives their files out."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI, Request, Response

from tests.hub.fake_hub.listing import chosen, entry, info, tree
from tests.hub.fake_hub.state import Held, RefusedError


def finding(app: FastAPI, hub: Held) -> None:
    """Routes on who asks, and on finding repositories."""

    @app.get("/api/whoami-v2")
    async def whoami(request: Request) -> Any:
        name = hub.who(request)
        if name is None:
            raise RefusedError(401, "Invalid username or password.")
        return {"type": "user", "name": name, "fullname": name, "orgs": [], "auth": {"type": "access_token"}}

    @app.get("/api/{kind}")
    async def search(request: Request, kind: str) -> Any:
        asked, user = request.query_params, hub.who(request)
        found = []
        for repo in hub.repos.values():
            head = repo.at("main")
            if repo.kind != kind or head is None or (repo.private and repo.owner != user):
                continue
            said = info(repo, head)
            names = all(word.lower() in repo.id.lower() for word in asked.getlist("search"))
            author = asked.get("author") in (None, repo.owner)
            if names and author and set(asked.getlist("filter")) <= set(said["tags"]):
                found.append(
                    chosen(said, asked.getlist("expand"), full="full" in asked, card="cardData" in asked)
                )
        return found[: int(asked.get("limit", len(found)))]


def telling(app: FastAPI, hub: Held) -> None:
    """Routes on one repository."""

    @app.get("/api/{kind}/{owner}/{name}")
    async def head(request: Request, kind: str, owner: str, name: str) -> Any:
        return await at_revision(request, kind, owner, name, "main")

    @app.get("/api/{kind}/{owner}/{name}/revision/{revision:path}")
    async def at_revision(request: Request, kind: str, owner: str, name: str, revision: str) -> Any:
        repo, commit = hub.commit(request, kind, f"{owner}/{name}", revision)
        said = info(repo, commit, sizes=request.query_params.get("blobs", "false").lower() == "true")
        return chosen(said, request.query_params.getlist("expand"), full=True, card=True)

    @app.get("/api/{kind}/{owner}/{name}/refs")
    async def refs(request: Request, kind: str, owner: str, name: str) -> Any:
        branches = hub.repo(request, kind, f"{owner}/{name}").branches
        said = [
            {"name": each.removeprefix("refs/convert/"), "targetCommit": oid,
             "ref": each if each.startswith("refs/") else f"refs/heads/{each}"}
            for each, oid in branches.items()
        ]  # fmt: skip
        converts = [each for each in said if each["ref"].startswith("refs/convert/")]
        return {"branches": [each for each in said if each not in converts], "converts": converts, "tags": []}

    @app.get("/api/{kind}/{owner}/{name}/tree/{rest:path}")
    async def listing(request: Request, kind: str, owner: str, name: str, rest: str) -> Any:
        revision, folder = hub.repo(request, kind, f"{owner}/{name}").split(rest)
        _, commit = hub.commit(request, kind, f"{owner}/{name}", revision)
        if folder and (entry(folder, commit) or {}).get("type") != "directory":
            raise RefusedError(404, f'{folder} does not exist on "{revision}"', "EntryNotFound", commit.oid)
        recursive = request.query_params.get("recursive", "false").lower() in ("true", "1")
        return tree(commit, folder, recursive=recursive)

    @app.post("/api/{kind}/{owner}/{name}/paths-info/{revision:path}")
    async def paths(request: Request, kind: str, owner: str, name: str, revision: str) -> Any:
        _, commit = hub.commit(request, kind, f"{owner}/{name}", revision)
        asked = parse_qs((await request.body()).decode()).get("paths", [])
        return [found for path in asked if (found := entry(path.strip("/"), commit))]


def downloads(app: FastAPI, hub: Held) -> None:
    """Routes of the files themselves."""

    async def resolve(request: Request, kind: str, repo_id: str, rest: str) -> Response:
        revision, path = hub.repo(request, kind, repo_id).split(rest)
        _, commit = hub.commit(request, kind, repo_id, revision)
        file = commit.files.get(path)
        if file is None:
            raise RefusedError(404, "Entry not found", "EntryNotFound", commit.oid)
        headers = {"ETag": f'"{file.etag}"', "X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
        if file.large:
            headers |= {"X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": str(len(file.content))}
        return _part(file.content, request.headers.get("range"), headers)

    @app.api_route("/datasets/{owner}/{name}/resolve/{rest:path}", methods=["GET", "HEAD"])
    async def datasets(request: Request, owner: str, name: str, rest: str) -> Response:
        return await resolve(request, "datasets", f"{owner}/{name}", rest)

    @app.api_route("/{owner}/{name}/resolve/{rest:path}", methods=["GET", "HEAD"])
    async def models(request: Request, owner: str, name: str, rest: str) -> Response:
        return await resolve(request, "models", f"{owner}/{name}", rest)


def _part(content: bytes, wanted: str | None, headers: dict[str, str]) -> Response:
    """The content, or the range of it that was asked for (`bytes=first-last` or `bytes=first-`)."""
    kind = "application/octet-stream"
    if wanted is None:
        return Response(content, 200, headers, kind)
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    start, end = int(first), min(int(last or len(content)), len(content) - 1)
    if start >= len(content):
        return Response(b"", 416, {**headers, "Content-Range": f"bytes */{len(content)}"}, kind)
    place = {"Content-Range": f"bytes {start}-{end}/{len(content)}"}
    return Response(content[start : end + 1], 206, headers | place, kind)
