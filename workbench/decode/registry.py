"""Where the schemas of binary formats are: a schema registry, or a folder of schemas.

The HTTP side is the API of Confluent's Schema Registry, which Karapace and Apicurio offer too.
Only reading requests are sent, but for `register`.
"""

from __future__ import annotations

import json
import ssl
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

from workbench.errors import AccessDenied, ProfileError, SchemaError, Unreachable, Untrusted

if TYPE_CHECKING:
    import httpx

Kind = Literal["AVRO", "PROTOBUF", "JSON"]

#: A schema that refers to others further than this, or to more of them, is refused.
MAX_REFERENCES = 1_000
#: A longer answer than this is no schema.
MAX_BYTES = 64 << 20

_SETTINGS = frozenset(
    {"url", "username", "password", "token", "ca_file", "cert_file", "key_file", "timeout"}
)
_SUFFIXES: dict[str, Kind] = {".avsc": "AVRO", ".proto": "PROTOBUF", ".schema.json": "JSON"}


@dataclass(frozen=True, slots=True)
class Registered:
    """A schema as a registry keeps it.

    `references` are the texts of the schemas that it refers to, directly or not, by the name under
    which it does, those first that others need.
    """

    text: str
    kind: Kind = "AVRO"
    id: int | None = None
    references: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """All of it as JSON text, which a folder of schemas can hold."""
        data = {
            "id": self.id,
            "schemaType": self.kind,
            "schema": self.text,
            "references": dict(self.references),
        }
        return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


class Registry(Protocol):
    """Looks schemas up.  Thread-safe; nothing is asked for twice, whether it was found or not."""

    @property
    def hint(self) -> str:
        """Where it is, without secrets."""

    def by_id(self, schema_id: int) -> Registered | None:
        """The schema of an id; None where there is none."""

    def latest(self, subject: str) -> Registered | None:
        """The newest schema of a subject; None where there is none."""

    def register(self, subject: str, schema: Registered) -> int:
        """Make a schema the newest of a subject, and return its id."""


def open_registry(settings: str | Path | Mapping[str, Any]) -> Registry:
    """The registry at a URL or in a folder.

    Parameters
    ----------
    settings
        A URL, a folder, or a mapping with `url` and, if wanted, `username`, `password`, `token`
        (a bearer's), `ca_file`, `cert_file`, `key_file` (PEM), `timeout` (seconds; 10).

    Raises
    ------
    ProfileError
        For a setting that is not known, or a folder or file that is not there.
    """
    given = dict(settings) if isinstance(settings, Mapping) else {"url": str(settings)}
    for name in given:
        if name not in _SETTINGS:
            raise ProfileError(
                f"registry: no setting {name!r}", hint=f"there are {', '.join(sorted(_SETTINGS))}"
            )
    url = str(given.get("url", ""))
    if urlsplit(url).scheme in ("http", "https"):
        return HttpRegistry(**given)
    folder = Path(url.removeprefix("file://")).expanduser()
    if not url or not folder.is_dir():
        raise ProfileError(
            f"registry: {url or 'nothing'} is neither a URL nor a folder",
            hint="write https://host:8081, or a folder of schemas",
        )
    return FolderRegistry(folder)


class _Kept(ABC):
    """What was looked up, found or not.  Thread-safe."""

    def __init__(self) -> None:
        self._ids: dict[int, Registered | None] = {}
        self._subjects: dict[str, Registered | None] = {}
        self._lock = Lock()

    def by_id(self, schema_id: int) -> Registered | None:
        """The schema of an id; None where there is none."""
        with self._lock:
            if schema_id not in self._ids:
                self._ids[schema_id] = self._look_up_id(schema_id)
            return self._ids[schema_id]

    def latest(self, subject: str) -> Registered | None:
        """The newest schema of a subject; None where there is none."""
        with self._lock:
            if subject not in self._subjects:
                self._subjects[subject] = self._look_up_subject(subject)
            return self._subjects[subject]

    def _forget_missing(self, subject: str) -> None:
        with self._lock:
            self._subjects.pop(subject, None)
            self._ids = {n: one for n, one in self._ids.items() if one is not None}

    @abstractmethod
    def _look_up_id(self, schema_id: int) -> Registered | None:
        """A schema by its id, asked anew."""

    @abstractmethod
    def _look_up_subject(self, subject: str) -> Registered | None:
        """The newest schema of a subject, asked anew."""


class FolderRegistry(_Kept):
    """A folder with a file per schema, named by id or by subject.

    `7.avsc` is the Avro schema of the id 7, `orders-value.avsc` the one of the topic `orders`;
    `.proto` and `.schema.json` likewise.  A `7.json` holds the id, type, text and references
    together, as recordings keep them.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    @property
    def hint(self) -> str:
        """The folder."""
        return str(self._folder)

    def register(self, subject: str, schema: Registered) -> int:
        """Keep a schema in a file of its own, unless it is there.  Raises SchemaError."""
        ids = [int(p.stem) for p in self._folder.glob("*.json") if p.stem.isdecimal()]
        ids += [int(p.stem) for p in self._folder.glob("*.avsc") if p.stem.isdecimal()]
        for known in sorted(ids):
            found = self.by_id(known)
            if found is not None and (found.text, found.kind) == (schema.text, schema.kind):
                new = known
                break
        else:
            new = max(ids, default=0) + 1
        kept = Registered(schema.text, schema.kind, new, schema.references)
        for name in (str(new), _file_name(subject)):
            (self._folder / f"{name}.json").write_text(kept.to_json(), encoding="utf-8")
        self._forget_missing(subject)
        return new

    def _look_up_id(self, schema_id: int) -> Registered | None:
        return self._read(str(schema_id), schema_id)

    def _look_up_subject(self, subject: str) -> Registered | None:
        return self._read(_file_name(subject), None)

    def _read(self, stem: str, schema_id: int | None) -> Registered | None:
        try:
            for suffix, kind in _SUFFIXES.items():
                path = self._folder / f"{stem}{suffix}"
                if path.is_file():
                    text = path.read_text(encoding="utf-8")
                    return Registered(text, kind, schema_id, self._named(stem))
            path = self._folder / f"{stem}.json"
            if not path.is_file():
                return None
            data = json.loads(path.read_text(encoding="utf-8"))
            return Registered(
                data["schema"],
                data.get("schemaType") or "AVRO",
                schema_id if schema_id is not None else data.get("id"),
                dict(data.get("references") or {}),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SchemaError(f"{path} holds no schema: {error!r}") from error

    def _named(self, stem: str) -> dict[str, str]:
        """The types that `.avsc` files named by a full name declare, for schemas that name them."""
        return {
            path.stem: path.read_text(encoding="utf-8")
            for path in sorted(self._folder.glob("*.avsc"))
            if path.stem != stem and not path.stem.isdecimal() and "." in path.stem
        }


def _file_name(subject: str) -> str:
    return quote(subject, safe=" +@=,()")


class HttpRegistry(_Kept):
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
    ) -> None:
        super().__init__()
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
        self._url = urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", ""))
        self._login = (username or parts.username, password or parts.password)
        self._token = token
        self._tls = (ca_file, cert_file, key_file)
        self._timeout = timeout
        self._made: httpx.Client | None = None

    @property
    def hint(self) -> str:
        """The URL, without user and password."""
        return self._url

    def register(self, subject: str, schema: Registered) -> int:
        """Register a schema under a subject.  Raises SchemaError where the registry refuses."""
        if schema.references:
            raise SchemaError("a schema with references is not registered from here")
        body = {"schema": schema.text, "schemaType": schema.kind}
        path = f"/subjects/{quote(subject, safe='')}/versions"
        answer = self._ask("POST", path, json.dumps(body))
        if answer is None:
            raise SchemaError(f"the registry {self.hint} takes no schema for {subject!r}")
        self._forget_missing(subject)
        return int(answer["id"])

    def _look_up_id(self, schema_id: int) -> Registered | None:
        return self._registered(self._ask("GET", f"/schemas/ids/{schema_id}"), schema_id)

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
        except (KeyError, TypeError, AttributeError) as error:
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
            response = client.request(method, self._url + path, content=body)
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
            raise SchemaError(f"the registry {self.hint} refuses: {response.text[:300]}")
        if response.is_error or len(response.content) > MAX_BYTES:
            raise self._no_answer(f"status {response.status_code}")
        try:
            return response.json()
        except ValueError as error:
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
