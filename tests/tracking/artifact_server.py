"""A W&B server that also stores artifacts."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.helpers.wandb_server import WandbServer


@dataclass
class ServerArtifact:
    """An artifact; the entries of its manifest are those that were really uploaded."""

    name: str
    kind: str
    digest: str
    run: str
    metadata: dict[str, Any]
    state: str = "PENDING"
    uploaded: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)


class ArtifactServer(WandbServer):
    """The server of the other tests, with artifacts: created, filled, committed and used."""

    def __init__(self) -> None:
        super().__init__()
        self.artifacts: list[ServerArtifact] = []

    def content(self, artifact: ServerArtifact, path: str) -> bytes:
        """Return an uploaded file of an artifact."""
        return self.runs[artifact.run].files[f"{self.artifacts.index(artifact)}/{path}"]

    def op_CreateArtifact(self, given: dict[str, Any]) -> dict[str, Any]:
        asked = given["input"]
        collections = asked.get("artifactCollectionNames") or [asked["artifactCollectionName"]]
        metadata = json.loads(asked.get("metadata") or "{}")
        new = ServerArtifact(collections[0], asked["artifactTypeName"], asked["digest"], asked["runName"], metadata)
        equal = [old for old in self.artifacts if (old.name, old.digest) == (new.name, new.digest)]
        if not equal:
            self.artifacts.append(new)
        known = (equal or [new])[0]
        sequence = {"latestArtifact": None}
        number = str(self.artifacts.index(known))
        return {"createArtifact": {"artifact": {"id": number, "state": known.state, "artifactSequence": sequence}}}

    def op_CreateArtifactManifest(self, given: dict[str, Any]) -> dict[str, Any]:
        number = given["artifactID"]
        file = {"id": "f", "uploadUrl": self._place(int(number), given["name"]), "uploadHeaders": []}
        return {"createArtifactManifest": {"artifactManifest": {"id": number, "file": file}}}

    def op_UpdateArtifactManifest(self, given: dict[str, Any]) -> dict[str, Any]:
        number = given["artifactManifestID"]
        file = {"id": "f", "uploadUrl": self._place(int(number), "wandb_manifest.json"), "uploadHeaders": []}
        return {"updateArtifactManifest": {"artifactManifest": {"id": number, "file": file}}}

    def op_CreateArtifactFiles(self, given: dict[str, Any]) -> dict[str, Any]:
        edges = []
        for asked in given["input"]["artifactFiles"]:
            number, name = asked["artifactID"], asked["name"]
            self.artifacts[int(number)].uploaded.append(name)
            node = {"storagePath": name, "uploadUrl": self._place(int(number), name), "uploadHeaders": []}
            edges.append({"node": {**node, "uploadMultipartUrls": None, "artifact": {"id": number}}})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def op_CommitArtifact(self, given: dict[str, Any]) -> dict[str, Any]:
        artifact = self.artifacts[int(given["artifactID"])]
        artifact.state = "COMMITTED"
        return {"commitArtifact": {"artifact": {"id": given["artifactID"], "digest": artifact.digest}}}

    def op_UseArtifact(self, given: dict[str, Any]) -> dict[str, Any]:
        asked = given["input"]
        self.artifacts[int(asked["artifactID"])].users.append(asked["runName"])
        return {"useArtifact": {"artifact": {"id": asked["artifactID"]}}}

    def op_XXHashDigestsEnabled(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"entity": {"xxhashDigestsEnabled": False}}

    def _place(self, number: int, name: str) -> str:
        run = self.artifacts[number].run
        return f"http://127.0.0.1:{self.port}/storage/{run}/{quote(f'{number}/{name}', safe='')}"
