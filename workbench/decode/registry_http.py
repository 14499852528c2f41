"""A schema registry over HTTP: the API of Confluent's, which Karapace and Apicurio offer too.

Only reading requests are sent, but for `register`.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import UUID

from workbench.decode.registry import Kept, Registered, Strategy
from workbench.errors import AccessDenied, SchemaError, Unreachable, Untrusted

if TYPE_CHECKING:
    import httpx

#: A schema that refers to others further than this, or to more of them, is refused.
MAX_REFERENCES = 1_000
#: Registries number schemas from 1 to below this.
_BEYOND = 1 << 31
#: A longer answer than this is no schema.
MAX_BYTES = 64 << 20


class HttpRegistry(Kept):
    """A schema registry over HTTP."""

    def __init__(
        self,
        url: str,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        ca_file: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
        timeout: float = 10,
        strategy: str = "topic",
        ids: str = "values",
    ) -> None:
        super().__init__(Strategy(strategy, ids))
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
        self._url = urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", ""))
        self._login = (username or parts.username, password or parts.password)
        self._token = token
        self._tls = (ca_file, cert_file, key_file)
        self._timeout = timeout
        self._contexts: dict[int, tuple[str, int]] = {}
        self._made: httpx.Client | None = None

    @property
    def hint(self) -> str:
        """The URL, without user and password."""
        return self._url

    def referred(self, links: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """The texts of what a schema refers to, by name, and of what those do."""
        found: dict[str, str] = {}
        try:
            self._resolve(list(links), found, set())
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            if isinstance(error, SchemaError):
                raise
            raise SchemaError(
                f"references that cannot be followed: {error!r}",
                hint='each is {"name": …, "subject": …, "version": …}',
            ) from error
        return found

    def register(self, subject: str, schema: Registered) -> int:
        """Register a schema under a subject.  Raises SchemaError where the registry refuses."""
        body: dict[str, Any] = {"schema": schema.text, "schemaType": schema.kind}
        if schema.links:
            body["references"] = [dict(one) for one in schema.links]
        path = f"/subjects/{quote(subject, safe='')}/versions"
        answer = self._ask("POST", path, json.dumps(body))
        if answer is None:
            raise SchemaError(f"the registry {self.hint} takes no schema for {subject!r}")
        self._forget_missing(subject)
        return int(answer["id"])

    def _look_up_id(self, schema_id: int) -> Registered | None:
        if schema_id not in self._contexts:
            return self._registered(self._ask("GET", f"/schemas/ids/{schema_id}"), schema_id)
        context, number = self._contexts[schema_id]
        path = f"/schemas/ids/{number}?subject={quote(f':{context}:', safe='')}"
        found = self._registered(self._ask("GET", path), schema_id)
        return None if found is None else replace(found, id=schema_id)

    def _look_up_guid(self, guid: str) -> int | None:
        answer = self._ask("GET", f"/schemas/guids/{guid}/ids")
        try:
            # One for each context; that without a name is the one where others look.
            ids = {str(one["context"]): int(one["id"]) for one in answer or ()}
        except (KeyError, TypeError, ValueError) as error:
            raise self._no_answer(repr(error)) from error
        if "." in ids or not ids:
            return ids.get(".")
        # Each context counts for itself.  What is of another one has a number of its own here,
        # which no registry gives, and which is the same whoever asks.
        own = _BEYOND | UUID(guid).int >> 97
        if self._contexts.setdefault(own, place := min(ids.items())) != place:
            raise SchemaError(f"{guid} cannot be told from another schema")
        self._ids.pop(own, None)
        return own

    def _look_up_subject(self, subject: str) -> Registered | None:
        answer = self._ask("GET", f"/subjects/{quote(subject, safe='')}/versions/latest")
        return self._registered(answer, None)

    def _registered(self, answer: Any, schema_id: int | None) -> Registered | None:
        if answer is None:
            return None
        references: dict[str, str] = {}
        try:
            self._resolve(answer.get("references") or [], references, set())
            text = answer["schema"]
            found = answer.get("id", schema_id)
            return Registered(text, answer.get("schemaType") or "AVRO", found, references)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            if isinstance(error, SchemaError):
                raise
            raise self._no_answer(repr(error)) from error

    def _resolve(self, listed: list[Any], into: dict[str, str], seen: set[tuple[str, int]]) -> None:
        """Collect what a schema refers to; what refers to itself is met once."""
        for one in listed:
            place = (one["subject"], int(one["version"]))
            if place in seen:
                continue
            seen.add(place)
            if len(seen) > MAX_REFERENCES:
                raise SchemaError(f"a schema with more than {MAX_REFERENCES:,} references")
            path = f"/subjects/{quote(place[0], safe='')}/versions/{place[1]}"
            answer = self._ask("GET", path)
            if answer is None:
                raise SchemaError(
                    f"the registry {self.hint} has no version {place[1]} of {place[0]!r}, which "
                    "another schema refers to"
                )
            self._resolve(answer.get("references") or [], into, seen)
            into[one["name"]] = answer["schema"]

    def _ask(self, method: str, path: str, body: str | None = None) -> Any:
        """The JSON answer, or None where it is "not found"."""
        import httpx

        try:
            client = self._client()
            with client.stream(method, self._url + path, content=body) as response:
                content = bytearray()
                for part in response.iter_bytes():
                    content += part
                    if len(content) > MAX_BYTES:
                        raise self._no_answer(f"more than {MAX_BYTES >> 20} MiB")
        except (httpx.HTTPError, OSError) as error:
            if isinstance(_ssl_error(error), ssl.SSLCertVerificationError):
                raise Untrusted(
                    f"the certificate of the registry {self.hint} does not hold: {error}",
                    hint="name the authority that signed it as ca_file",
                ) from error
            raise Unreachable(f"the registry {self.hint} does not answer: {error}") from error
        if response.status_code == 404:
            return None
        if response.status_code in (401, 403):
            raise AccessDenied(
                f"the registry {self.hint} refuses {method} {path} ({response.status_code})",
                hint="a registry takes username and password, or a token",
            )
        if response.status_code in (409, 422):
            raise SchemaError(
                f"the registry {self.hint} refuses: {content[:300].decode(errors='replace')}"
            )
        if response.is_error:
            raise self._no_answer(f"status {response.status_code}")
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self._no_answer(repr(error)) from error

    def _no_answer(self, what: str) -> Unreachable:
        return Unreachable(f"the registry {self.hint} gives no answer that can be used: {what}")

    def _client(self) -> httpx.Client:
        if self._made is None:
            import httpx

            ca_file, cert_file, key_file = self._tls
            context = ssl.create_default_context(cafile=ca_file)
            if cert_file is not None:
                context.load_cert_chain(cert_file, key_file)
            headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
            headers["Content-Type"] = "application/vnd.schemaregistry.v1+json"
            if self._token is not None:
                headers["Authorization"] = f"Bearer {self._token}"
            user, password = self._login
            self._made = httpx.Client(
                auth=None if user is None else (user, password or ""),
                headers=headers,
                timeout=self._timeout,
                verify=context,
            )
        return self._made


def _ssl_error(error: BaseException) -> BaseException | None:
    """What TLS said behind an error of the client."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    return cause
