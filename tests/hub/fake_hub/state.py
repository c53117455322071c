"""What the server knows: repositories, users and uploads; and who may see and change what."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Request

from tests.hub.fake_hub.repos import Commit, File, Repo, is_large

USERS = {"hf_token_of_me": "me", "hf_token_of_you": "you"}


class RefusedError(Exception):
    """An answer other than 2xx."""

    def __init__(self, status: int, message: str, code: str | None = None, commit: str | None = None):
        self.status, self.message = status, message
        self.headers = {"X-Error-Message": message}
        self.headers |= {"X-Error-Code": code} if code else {}
        self.headers |= {"X-Repo-Commit": commit} if commit else {}


class Held:
    """All that the server holds.

    Attributes:
        repos: by kind (`models` or `datasets`) and id.
        users: names by token.
        stored: large files that were uploaded, by SHA-256.
    """

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.users = dict(USERS)
        self.stored: dict[str, bytes] = {}

    def put(
        self,
        kind: str,
        repo_id: str,
        files: Mapping[str, bytes],
        revision: str = "main",
        *,
        listed_sizes: Mapping[str, int] | None = None,
        private: bool = False,
    ) -> str:
        """Makes these the files of a branch, without any check; paths and listed sizes may lie.

        Returns:
            The commit.
        """
        repo = self.repos.setdefault((kind, repo_id), Repo(kind, repo_id, private))
        sizes = {path: len(content) for path, content in files.items()} | dict(listed_sizes or {})
        made = {path: File(each, is_large(path, len(each)), sizes[path]) for path, each in files.items()}
        return repo.commit(made, "put", revision).oid

    def files(self, kind: str, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """The files of a revision."""
        found = self.repos[kind, repo_id].at(revision)
        assert found, f"{repo_id} has no revision {revision}"
        return {path: file.content for path, file in found.files.items()}

    def who(self, request: Request) -> str | None:
        """The user of a request's token; None where there is no token."""
        given = request.headers.get("authorization")
        if given is None:
            return None
        name = self.users.get(given.removeprefix("Bearer "))
        if name is None:
            raise RefusedError(401, "Invalid credentials in Authorization header")
        return name

    def repo(self, request: Request, kind: str, repo_id: str, *, write: bool = False) -> Repo:
        """The repository, if who asks may see it (or write to it)."""
        user = self.who(request)
        found = self.repos.get((kind, repo_id))
        if found is None or (found.private and found.owner != user):
            raise RefusedError(404 if user else 401, "Repository not found", "RepoNotFound")
        if write and user is None:
            raise RefusedError(401, "Invalid username or password.")
        if write and found.owner != user:
            raise RefusedError(403, f"{user} has no right to write to {repo_id}")
        return found

    def commit(self, request: Request, kind: str, repo_id: str, revision: str) -> tuple[Repo, Commit]:
        """The repository and a commit of it."""
        repo = self.repo(request, kind, repo_id)
        found = repo.at(revision)
        if found is None:
            raise RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return repo, found
