"""A server that stands in for RunPod's REST API v2, and holds both sides to the published contract.

Every request is checked against ``contract.json`` (path, verb, query, bearer key) and so is every
answer, so a stand-in that drifts from the contract fails its own tests.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema

CONTRACT = json.loads((Path(__file__).parent / "contract.json").read_text(encoding="utf-8"))
KEY = "rpa_" + "T3ST" * 10


def conform(value: Any, schema: dict[str, Any]) -> None:
    """Raise if the value is not what the contract says."""
    jsonschema.Draft202012Validator({**CONTRACT, **schema}).validate(value)


def pod(id: str, **changes: Any) -> dict[str, Any]:
    """A pod with everything that the contract requires."""
    made = {
        "id": id,
        "name": f"pod {id}",
        "image": "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404",
        "args": "",
        "disk": 50,
        "ports": ["8888/http", "22/tcp"],
        "env": {"JUPYTER_PASSWORD": "the token of " + id},
        "registry": None,
        "status": "RUNNING",
        "actions": ["stop", "restart", "terminate"],
        "mounts": {"persistent": {"size": 20, "path": "/workspace"}},
        "gpu": {"id": "NVIDIA GeForce RTX 4090", "count": 1},
        "cloud": "SECURE",
        "dataCenterId": "US-KS-2",
        "cudaVersion": "12.8",
        "ssh": {"proxy": None, "direct": None},
        "template": None,
        "cost": 0.44,
        "locked": False,
        "globalNetworking": {"enabled": False},
        "runtime": {"uptime": 3600, "ports": []},
        "createdAt": "2026-06-01T12:00:00Z",
        "startedAt": "2026-06-01T12:02:00Z",
    }
    return {**made, **changes}


Answer = tuple[int, dict[str, str], Any]


@dataclass
class StandIn:
    """The account behind the server, what it was asked, and what it answers instead, if anything."""

    pods: list[dict[str, Any]] = field(default_factory=list)
    instead: Callable[[str], Answer | None] = lambda path: None
    asked: list[tuple[str, str]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, verb: str, target: str, headers: Any) -> Answer:
        parts = urlsplit(target)
        self.asked.append((verb, target))
        if (said := self.instead(parts.path)) is not None:
            return said
        template = "/v2/pods" if parts.path == "/v2/pods" else "/v2/pods/{id}"
        known = CONTRACT["paths"].get(template, {}).get(verb.lower())
        if known is None or not parts.path.startswith("/v2/pods"):
            self.broken.append(f"{verb} {target} is not in the contract")
            return self.problem(404, "Not Found", "no such route")
        for name, value in parse_qsl(parts.query):
            if name not in known["query"]:
                self.broken.append(f"{name}={value}: no such parameter")
        if headers.get("Authorization") != f"Bearer {KEY}":
            return self.problem(401, "Unauthorized", "bearer token is invalid")
        if template == "/v2/pods":
            return self.right({"pods": self.pods}, known["200"])
        one = [pod for pod in self.pods if pod["id"] == parts.path.rpartition("/")[2]]
        if not one:
            return self.problem(404, "Not Found", "pod not found")
        return self.right(one[0], known["200"])

    def right(self, body: Any, schema: dict[str, Any]) -> Answer:
        conform(body, schema)
        return 200, {"Content-Type": "application/json"}, body

    def problem(self, status: int, title: str, detail: str, **headers: str) -> Answer:
        body = {"title": title, "status": status, "detail": detail}
        conform(body, CONTRACT["problem"])
        return status, {"Content-Type": "application/problem+json", **headers}, body


def serve(account: StandIn) -> ThreadingHTTPServer:
    """Start a server for it on 127.0.0.1; whoever asked shuts it down."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                status, headers, body = account.answer("GET", self.path, self.headers)
            except jsonschema.ValidationError as error:
                account.broken.append(error.message)
                status, headers, body = 500, {}, b""
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    account.url = f"http://127.0.0.1:{server.server_port}/v2"
    return server
