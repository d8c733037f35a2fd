"""A W&B server for tests, in memory, for the real client, agent and sync.

It answers the GraphQL operations by name, stores files and history streams, assigns grid or random trials, and stops
the runs in ``stop``. Numbers are encoded as on the real server, which turns 1.0 into 1 (wandb/wandb#3555).
"""

import base64
import itertools
import json
import random
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import yaml

from lit_cv.ablation.sweep.hyperband import make_hyperband

KEY = "0123456789abcdef0123456789abcdef01234567"
ENTITY = "tester"


@dataclass
class ServerRun:
    """A run on the server; ``state`` is pending, running, finished, failed or killed."""

    name: str
    project: str
    number: int
    sweep: str | None = None
    state: str = "pending"
    exit_code: int | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def history(self) -> list[dict[str, Any]]:
        """One row per ``_step``; the last one counts if ``wandb sync`` repeats rows after an outage."""
        rows = [json.loads(line) for line in self.lines.get("wandb-history.jsonl", [])]
        return list({row["_step"]: row for row in rows}.values())


@dataclass
class ServerSweep:
    """A sweep and its unassigned trials."""

    name: str
    project: str
    text: str
    waiting: list[dict[str, Any]]

    @property
    def config(self) -> dict[str, Any]:
        return yaml.safe_load(self.text)


class WandbServer:
    """The server, a context manager; a client finds it through the variables in ``environment``.

    Attributes:
        stop: Ids of runs that agents must stop.
        operations: Names of the requested operations, in order.
    """

    def __init__(self) -> None:
        self.runs: dict[str, ServerRun] = {}
        self.sweeps: dict[str, ServerSweep] = {}
        self.agents: dict[str, str] = {}
        self.stop: set[str] = set()
        self.operations: list[str] = []
        self.lock = threading.Lock()
        self.port = 0
        self._http: ThreadingHTTPServer | None = None

    def __enter__(self) -> "WandbServer":
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()

    def listen(self) -> None:
        """Start answering, on the former port if there was one."""
        handler = type("Handler", (Handler,), {"wandb": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self.port = self._http.server_port
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def hang_up(self) -> None:
        """Refuse all connections until ``listen`` is called; stored data are kept."""
        if self._http:
            self._http.shutdown()
            self._http.server_close()
            self._http = None

    @property
    def environment(self) -> dict[str, str]:
        address = f"http://127.0.0.1:{self.port}"
        return {"WANDB_BASE_URL": address, "WANDB_API_KEY": KEY, "WANDB_MODE": "online", "WANDB_SILENT": "false"}

    def run(self, name: str, project: str) -> ServerRun:
        return self.runs.setdefault(name, ServerRun(name, project, len(self.runs)))

    # --- operations ---

    def answer(self, operation: str, query: str, given: dict[str, Any]) -> dict[str, Any]:
        self.operations.append(operation)
        reply = getattr(self, f"op_{operation}", None)
        if reply is None:
            raise KeyError(operation)
        with self.lock:
            return reply(given)

    def op_Viewer(self, _: dict[str, Any]) -> dict[str, Any]:
        teams = {"edges": [{"node": {"name": ENTITY}}]}
        user = {"id": "u", "name": ENTITY, "username": ENTITY, "email": "t@example.org", "admin": False, "flags": "{}"}
        return {"viewer": {**user, "entity": ENTITY, "teams": teams, "deletedAt": None, "apiKeys": {"edges": []}}}

    op_GetViewer = op_GetDefaultEntity = op_Viewer

    def op_ServerFeaturesQuery(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"serverInfo": {"features": []}}

    def op_OrganizationCoreWeaveOrganizationID(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"entity": {"organization": {"coreWeaveOrganizationId": None}}}

    def op_UpsertSweep(self, given: dict[str, Any]) -> dict[str, Any]:
        project, name = given["projectName"] or "uncategorized", f"sweep{len(self.sweeps)}"
        config = yaml.safe_load(given["config"])
        trials = grid(config["parameters"]) if config["method"] == "grid" else random_trials(config["parameters"], 100)
        self.sweeps[name] = ServerSweep(name, project, given["config"], trials)
        owner = {"id": project, "name": project, "entity": {"id": ENTITY, "name": ENTITY}}
        return {"upsertSweep": {"sweep": {"name": name, "project": owner}, "configValidationWarnings": []}}

    def op_SweepWithRuns(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"sweep": self._sweep(given["sweep"])}}

    def op_GetSweep(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"sweep": self._sweep(given["name"])}}

    def _sweep(self, name: str) -> dict[str, Any] | None:
        if name not in self.sweeps:
            return None
        sweep = self.sweeps[name]
        state = "RUNNING" if sweep.waiting else "FINISHED"
        fields = {"id": name, "name": name, "config": sweep.text, "state": state, "runs": {"edges": []}}
        fields |= {"method": sweep.config["method"], "description": None, "bestLoss": None}
        times = {"createdAt": "2026-01-01T00:00:00", "updatedAt": None, "heartbeatAt": None}
        return {"__typename": "Sweep", **fields, **times}

    def op_CreateAgent(self, given: dict[str, Any]) -> dict[str, Any]:
        agent = f"agent{len(self.agents)}"
        self.agents[agent] = given["sweep"]
        return {"createAgent": {"agent": {"id": agent}}}

    def op_Heartbeat(self, given: dict[str, Any]) -> dict[str, Any]:
        commands = self._commands(self.sweeps[self.agents[given["id"]]], json.loads(given["runState"] or "{}"))
        return {"agentHeartbeat": {"agent": {"id": given["id"]}, "commands": json.dumps(commands)}}

    def _commands(self, sweep: ServerSweep, running: dict[str, bool]) -> list[dict[str, Any]]:
        if running:
            self._reject(sweep, running)
            return [{"type": "stop", "run_id": name} for name in running if name in self.stop]
        for run in self.runs.values():
            if run.name in self.stop and run.state == "running":  # and no agent runs it any more
                run.state = "killed"
        if not sweep.waiting:
            return [{"type": "exit"}]
        values = sweep.waiting.pop(0)
        run = self.run(f"trial{len(self.runs)}", sweep.project)
        run.sweep, run.config = sweep.name, {key: {"value": value} for key, value in values.items()}
        return [{"type": "run", "run_id": run.name, "program": sweep.config.get("program"), "args": run.config}]

    def _reject(self, sweep: ServerSweep, running: dict[str, bool]) -> None:
        """Stop the runs rejected by Hyperband, if the sweep uses it."""
        if "early_terminate" in sweep.config:
            metric, hyperband = sweep.config["metric"], make_hyperband(sweep.config["early_terminate"])
            runs = [run for run in self.runs.values() if run.sweep == sweep.name]
            histories = {run.name: [row[metric["name"]] for row in run.history] for run in runs}
            self.stop |= set(hyperband.stops(histories, running, maximize=metric["goal"] == "maximize"))

    def op_RunResumeStatus(self, given: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(given["name"])
        owner = {"id": given["project"], "name": given["project"], "entity": {"id": ENTITY, "name": ENTITY}}
        return {"model": {**owner, "bucket": self._bucket(run) if run else None}}

    def op_UpsertBucket(self, given: dict[str, Any]) -> dict[str, Any]:
        new = given["name"] not in self.runs
        run = self.run(given["name"], given["project"])
        run.state = given.get("state") or "running"
        run.sweep = given.get("sweep") or run.sweep
        run.fields |= {key: value for key, value in given.items() if value is not None}
        run.config |= json.loads(given.get("config") or "{}")
        run.summary |= json.loads(given.get("summaryMetrics") or "{}")
        return {"upsertBucket": {"bucket": self._bucket(run), "inserted": new}}

    def _bucket(self, run: ServerRun) -> dict[str, Any]:
        owner = {"id": run.project, "name": run.project, "entity": {"id": ENTITY, "name": ENTITY}}
        history, events = (run.lines.get(f"wandb-{kind}.jsonl", []) for kind in ("history", "events"))
        return {
            "id": run.name,
            "name": run.name,
            "projectId": 1,
            "displayName": run.fields.get("displayName"),
            "description": None,
            "state": run.state,
            "group": run.fields.get("groupName"),
            "jobType": None,
            "commit": None,
            "readOnly": False,
            "createdAt": f"2026-01-01T00:00:{run.number:02}",
            "heartbeatAt": None,
            "notes": None,
            "tags": [],
            "user": {"name": ENTITY, "username": ENTITY},
            "sweepName": run.sweep,
            "config": json.dumps(run.config),
            "summaryMetrics": json.dumps(run.summary),
            "systemMetrics": "{}",
            "historyKeys": None,
            "wandbConfig": json.dumps({"t": 1}),
            "project": owner,
            "historyLineCount": len(history),
            "eventsLineCount": len(events),
            "logLineCount": len(run.lines.get("output.log", [])),
            "historyTail": json.dumps(history[-1:]),
            "eventsTail": json.dumps(events[-1:]),
        }

    def op_Runs(self, given: dict[str, Any]) -> dict[str, Any]:
        asked = json.dumps(json.loads(given.get("filters") or "{}"))
        sweep = re.search(r'"sweep(?:Name)?": "(\w+)"', asked)
        found = [run for run in self.runs.values() if sweep is None or run.sweep == sweep[1]]
        edges = [{"node": self._bucket(run), "cursor": run.name} for run in found if run.project == given["project"]]
        page = {"endCursor": edges[-1]["cursor"] if edges else None, "hasNextPage": False}
        runs = {"edges": edges, "pageInfo": page}
        return {"project": {"internalId": "1", "runCount": len(edges), "readOnly": False, "runs": runs}}

    def op_Run(self, given: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(given["name"])
        return {"project": {"run": self._bucket(run) if run else None}}

    def op_RunFullHistory(self, given: dict[str, Any]) -> dict[str, Any]:
        rows = [json.dumps(row) for row in self.runs[given["name"]].history]
        return {"project": {"run": {"history": rows}}}

    def op_CreateRunFiles(self, given: dict[str, Any]) -> dict[str, Any]:
        place = f"http://127.0.0.1:{self.port}/storage/{given['run']}"
        files = [{"name": name, "uploadUrl": f"{place}/{name}"} for name in given["files"]]
        return {"createRunFiles": {"runID": given["run"], "uploadHeaders": [], "files": files}}

    def stream(self, name: str, project: str, body: dict[str, Any]) -> None:
        """Store a part of a run's history, summary and console output."""
        with self.lock:
            run = self.run(name, project)
            for file, chunk in (body.get("files") or {}).items():
                kept = run.lines.setdefault(file, [])
                kept[chunk["offset"] : chunk["offset"] + len(chunk["content"])] = chunk["content"]
            if "wandb-summary.json" in run.lines:
                run.summary |= json.loads(run.lines["wandb-summary.json"][0])
            if body.get("complete"):
                run.exit_code = body.get("exitcode")
                run.state = "killed" if name in self.stop else "failed" if run.exit_code else "finished"


def grid(parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the trials of a grid as the server sends them: alphabetical keys, whole numbers without a point."""
    lists = {key: spec.get("values", [spec.get("value")]) for key, spec in sorted(parameters.items())}
    trials = [dict(zip(lists, chosen, strict=True)) for chosen in itertools.product(*lists.values())]
    return [json.loads(re.sub(r"(?<=\d)\.0(?=[,\]}])", "", json.dumps(trial))) for trial in trials]


def random_trials(parameters: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Return random trials of a search; supports only ``values``, ``value`` and ``min`` with ``max``."""
    source = random.Random(0)

    def sample(spec: dict[str, Any]) -> Any:
        return (
            source.uniform(spec["min"], spec["max"])
            if "min" in spec
            else source.choice(spec.get("values", [spec.get("value")]))
        )

    return [{key: sample(spec) for key, spec in sorted(parameters.items())} for _ in range(count)]


class Handler(BaseHTTPRequestHandler):
    """Checks the key and forwards requests to the server."""

    wandb: WandbServer

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def do_POST(self) -> None:
        body = self._body()
        if self.path.startswith("/sdk/otel"):
            self._reply(200, {})
        elif self.headers.get("Authorization") != "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode():
            self._reply(401, {"errors": [{"message": "user is not logged in"}]})
        elif match := re.match(r"/files/[^/]+/([^/]+)/([^/]+)/file_stream", self.path):
            self.wandb.stream(match[2], unquote(match[1]), json.loads(body))
            self._reply(200, {"exitcode": None, "limits": {}})
        else:
            self._operation(json.loads(body))

    def _operation(self, asked: dict[str, Any]) -> None:
        query = asked["query"]
        name = asked.get("operationName") or re.search(r"(?:query|mutation)\s+(\w+)", query)[1]  # type: ignore[index]
        try:
            self._reply(200, {"data": self.wandb.answer(name, query, asked.get("variables") or {})})
        except KeyError as error:
            self._reply(400, {"errors": [{"message": f"no such operation or field: {error}"}]})

    def do_PUT(self) -> None:
        _, _, run, name = self.path.split("/", 3)
        self.wandb.runs[run].files[unquote(name)] = self._body()
        self._reply(200, {})

    def do_GET(self) -> None:
        self._reply(200, {})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(chunks)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return body

    def _reply(self, status: int, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
