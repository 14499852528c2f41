"""A schema registry in this process, and values as producers with one write them."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote
from uuid import UUID

import fastavro

from workbench.decode.framing import frame_of


class Served:
    """What the registry holds; every request that it gets is kept in `asked`."""

    def __init__(self) -> None:
        self.schemas: dict[int, dict[str, Any]] = {}
        self.subjects: dict[str, list[int]] = {}
        #: The context of ids that are not of the one without a name.
        self.contexts: dict[int, str] = {}
        self.asked: list[str] = []
        self.login: str | None = None
        self.url = ""

    def add(
        self,
        subject: str,
        schema: Any,
        *,
        kind: str = "AVRO",
        references: list[dict[str, Any]] | None = None,
    ) -> int:
        """Register a schema: its id."""
        text = schema if isinstance(schema, str) else json.dumps(schema)
        new = len(self.schemas) + 1
        self.schemas[new] = {"schema": text, "schemaType": kind, "references": references or []}
        if kind == "AVRO":
            del self.schemas[new]["schemaType"]  # as the real ones do
        self.subjects.setdefault(subject, []).append(new)
        return new

    def guid(self, schema_id: int) -> str:
        """The GUID of a schema, by what it is."""
        text = json.dumps(self.schemas[schema_id], sort_keys=True)
        return str(UUID(bytes=md5(text.encode()).digest()))

    def answer(self, method: str, path: str, body: Any) -> Any:
        """What a request gets; None is "not found"."""
        parts = [unquote(part) for part in path.partition("?")[0].strip("/").split("/")]
        match method, *parts:
            case "GET", "schemas", "guids", guid, "ids":
                found = [n for n in self.schemas if self.guid(n) == guid]
                return [{"context": self.contexts.get(n, "."), "id": n} for n in found] or None
            case "GET", "schemas", "ids", number:
                context = self.contexts.get(int(number))
                there = context is None or path.endswith(
                    f"?subject={quote(f':{context}:', safe='')}"
                )
                return self.schemas.get(int(number)) if there else None
            case "GET", "subjects", subject, "versions", version:
                ids = self.subjects.get(subject, [])
                at = len(ids) if version == "latest" else int(version)
                if not 0 < at <= len(ids):
                    return None
                found = {"subject": subject, "version": at, "id": ids[at - 1]}
                return {**found, **self.schemas[ids[at - 1]]}
            case "POST", "subjects", subject, "versions":
                kind = body.get("schemaType", "AVRO")
                new = self.add(
                    subject, body["schema"], kind=kind, references=body.get("references")
                )
                return {"id": new, "guid": self.guid(new)}
        return None


@contextmanager
def serving() -> Iterator[Served]:
    """A registry on a port of this machine."""
    served = Served()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            served.asked.append(self.path)
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            if served.login is not None and self.headers.get("Authorization") != served.login:
                self._send(401, {"error_code": 401})
            else:
                found = served.answer(self.command, self.path, body)
                self._send(404 if found is None else 200, found or {"error_code": 40403})

        do_POST = do_GET

        def _send(self, status: int, data: Any) -> None:
            body = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def avro_body(schema: Any, value: Any, known: dict[str, Any] | None = None) -> bytes:
    """A value as fastavro writes it, without a frame."""
    buffer = io.BytesIO()
    parsed = fastavro.parse_schema(schema, named_schemas={} if known is None else known)
    fastavro.schemaless_writer(buffer, parsed, value)
    return buffer.getvalue()


def framed(schema_id: int, schema: Any, value: Any) -> bytes:
    """A value as fastavro writes it, in a registry's frame."""
    return frame_of(schema_id) + avro_body(schema, value)
