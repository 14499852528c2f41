"""How to reach a cluster: a URL and client settings, with the secrets kept out of sight."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from workbench.errors import ProfileError
from workbench.log.kafka.properties import ours, read_properties
from workbench.log.kafka.security import OAUTH, SECRET, TLS, Secret, hide, tls_context
from workbench.log.kafka.security import token_provider as provider_of

SCHEME = "kafka://"
DEFAULT_PORT = 9092

#: How long a cluster may take to answer at all, in seconds.
CONNECT_SECONDS = 10.0
#: How long what is under way goes on without an answer, through restarts and elections, in seconds.
PATIENCE_SECONDS = 60.0

#: Before a setting's name, as an environment variable.
ENVIRONMENT = "WORKBENCH_KAFKA_"
#: Names the only clusters that settings of the environment are for.
ENVIRONMENT_SERVERS = ENVIRONMENT + "SERVERS"

#: What a person may set: the client's own names, dots for underscores as in a client.properties.
KNOWN = frozenset(
    {
        "api_version",
        "client_id",
        "client_rack",
        "connections_max_idle_ms",
        "properties",
        "proxy_url",
        "reconnect_backoff_max_ms",
        "reconnect_backoff_ms",
        "request_timeout_ms",
        "sasl_kerberos_domain_name",
        "sasl_kerberos_name",
        "sasl_kerberos_service_name",
        "sasl_mechanism",
        "sasl_oauth_token_provider",
        "sasl_plain_password",
        "sasl_plain_username",
        "security_protocol",
        "ssl_check_hostname",
        "ssl_context",
        *TLS,
        *OAUTH,
    }
)
_HOST = re.compile(r"[^\s\[\]:]+|\[[0-9A-Fa-f:.%\w]+\]")
#: What a setting looks like that the client would take apart, and how that is said.
_SHAPES = {
    "api_version": (re.compile(r"\d+(\.\d+)*"), 'a version such as "3.9"'),
    "proxy_url": (re.compile(r"\w+://.+"), "a URL such as socks5://host:1080"),
}
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI", "AWS_MSK_IAM")
_PROTOCOLS = ("PLAINTEXT", "SASL_PLAINTEXT", "SASL_SSL", "SSL")
_SECURITY = ("sasl_", "ssl_", "security_")
#: What may hold a secret, or get one.
_GIVEN_AWAY = SECRET | {"properties", "sasl_oauth_token_url"}
#: What is ours to understand, not the client's.
_NOT_THE_CLIENTS = {"client_rack", "properties", "ssl_check_hostname", *TLS, *OAUTH}


@dataclass(frozen=True, slots=True)
class Settings:
    """Servers and client settings.  Its repr, and `hint`, hold no secret."""

    servers: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: What the options became: a TLS context, a provider of tokens.
    made: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, url: str, options: Mapping[str, Any] | None = None) -> Settings:
        """From `kafka://[user:password@]host[:port][,host…]` and client settings.

        A user in the URL holds; then the options; then the file that the option `properties`
        names.  Raises ProfileError for an URL without a host, for a setting that nobody knows,
        and for a file that cannot be used.
        """
        servers, user, password = _parsed(url)
        if not all(isinstance(name, str) for name in options or {}):
            raise ProfileError("the options of a Kafka cluster are named by text")
        given = ours(options or {}, where="the options")
        for name in given:
            if name not in KNOWN:
                raise ProfileError(
                    f"no setting {name!r} for a Kafka cluster",
                    hint=f"there are {', '.join(sorted(KNOWN))}",
                )
        settings = {**_from_file(given.get("properties")), **given}
        if user:
            settings.setdefault("security_protocol", "SASL_SSL")
            settings.setdefault("sasl_mechanism", "PLAIN")
            settings["sasl_plain_username"] = user
            settings["sasl_plain_password"] = password
        settings.setdefault("client_id", f"workbench-{_user()}")
        for name, value in settings.items():
            if name in SECRET:
                settings[name] = Secret(value)
            elif name.endswith("_ms"):
                settings[name] = _milliseconds(name, value)
            elif name in _SHAPES and isinstance(value, str) and not _shaped(name, value):
                raise ProfileError(f"{name} is {_SHAPES[name][1]}, not {value!r}")
        hide([settings[name] for name in SECRET if settings.get(name)])
        return cls(servers, settings, _made(settings))

    @property
    def hint(self) -> str:
        """The URL without user and password."""
        return SCHEME + ",".join(self.servers)

    @property
    def who(self) -> str:
        """Whom the cluster sees, for messages."""
        if not self._protocol.startswith("SASL"):
            return "this client's certificate" if self.options.get("ssl_certfile") else "this user"
        name = self.options.get("sasl_plain_username")
        mechanism = self.options.get("sasl_mechanism", "SASL")
        return f"user {name!r} ({mechanism})" if name else f"this user ({mechanism})"

    @property
    def client_id(self) -> str:
        """As whom this user is known beside positions and in lists of members."""
        return str(self.options["client_id"])

    @property
    def rack(self) -> str:
        """Where this client is, so that a replica nearby may answer; "" where nobody said."""
        return str(self.options.get("client_rack", ""))

    @property
    def secured(self) -> bool:
        """Whether connections are made over TLS."""
        return self._protocol in ("SSL", "SASL_SSL")

    @property
    def _protocol(self) -> str:
        return str(self.options.get("security_protocol", "PLAINTEXT"))

    def client(self, **more: Any) -> dict[str, Any]:
        """What any of kafka-python's clients is made with."""
        theirs = {n: v for n, v in self.options.items() if n not in _NOT_THE_CLIENTS}
        return {
            "bootstrap_servers": list(self.servers),
            "bootstrap_timeout_ms": int(CONNECT_SECONDS * 1000),
            "reconnect_backoff_max_ms": 1000,
            **theirs,
            **self.made,
            **more,
        }


def environment(url: str) -> dict[str, Any]:
    """The settings that environment variables hold for this cluster.

    `WORKBENCH_KAFKA_SASL_PLAIN_PASSWORD` is `sasl_plain_password`, and so on for every setting.
    Where `WORKBENCH_KAFKA_SERVERS` is set they are for these servers alone, so that a password
    does not go to another cluster.
    """
    named = os.environ.get(ENVIRONMENT_SERVERS)
    if named is not None and not set(_parsed(url)[0]) <= set(_parsed(SCHEME + named)[0]):
        return {}
    found = {
        name.removeprefix(ENVIRONMENT).lower(): value
        for name, value in os.environ.items()
        if name.startswith(ENVIRONMENT)
    }
    return {name: v for name, v in ours(found, where="the environment").items() if name in KNOWN}


def gives_away(url: str) -> bool:
    """Whether connecting would send secrets of the environment to a cluster that it does not name.

    That is for a person to ask for, not for an address that came with a file.
    """
    held = environment(url)
    return ENVIRONMENT_SERVERS not in os.environ and not held.keys().isdisjoint(_GIVEN_AWAY)


def same_cluster(one: str, other: str) -> bool:
    """Whether two URLs name the same servers."""
    return set(_parsed(one)[0]) == set(_parsed(other)[0])


def _from_file(path: Any) -> dict[str, Any]:
    if path is None:
        return {}
    found = read_properties(Path(path).expanduser())
    for name in found:
        if name not in KNOWN and name.startswith(_SECURITY):
            raise ProfileError(
                f"{path}: the setting {name.replace('_', '.')} is not understood",
                hint="connecting without it could mean another security than is meant",
            )
    return {name: value for name, value in found.items() if name in KNOWN}


def _made(settings: Mapping[str, Any]) -> dict[str, Any]:
    protocol = settings.get("security_protocol", "PLAINTEXT")
    if protocol not in _PROTOCOLS:
        raise ProfileError(
            f"no security_protocol {protocol!r}", hint=f"there are {', '.join(_PROTOCOLS)}"
        )
    made: dict[str, Any] = {}
    if protocol.endswith("SSL") and settings.get("ssl_context") is None:
        made["ssl_context"] = tls_context(settings)
    mechanism = settings.get("sasl_mechanism")
    if protocol.startswith("SASL"):
        if mechanism is None:
            raise ProfileError(
                f"security_protocol {protocol} needs a sasl_mechanism",
                hint=f"there are {', '.join(_MECHANISMS)}",
            )
        if mechanism not in _MECHANISMS:
            raise ProfileError(
                f"no sasl_mechanism {mechanism!r}", hint=f"there are {', '.join(_MECHANISMS)}"
            )
        if mechanism == "OAUTHBEARER":
            made["sasl_oauth_token_provider"] = provider_of(settings)
        if mechanism == "PLAIN" or mechanism.startswith("SCRAM"):
            for name in ("sasl_plain_username", "sasl_plain_password"):
                if not settings.get(name):
                    raise ProfileError(f"sasl_mechanism {mechanism} needs a {name}")
    return made


def _shaped(name: str, value: str) -> bool:
    return _SHAPES[name][0].fullmatch(value) is not None


def _milliseconds(name: str, value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = -1
    if number < 0:
        raise ProfileError(f"{name} is a number of milliseconds, not {value!r}")
    return number


def _parsed(url: str) -> tuple[tuple[str, ...], str, str]:
    """Servers, user and password.  What is wrong with the URL is said without repeating it."""
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket that is not closed
        parts = urlsplit("")
    if parts.scheme != "kafka" or parts.path.strip("/") or parts.query or parts.fragment:
        # A password with a / or # in it, unquoted, would stand in any of the parts.
        shown = "the URL with a password" if "@" in url else url
        raise ProfileError(
            f"{shown} is not the address of a cluster",
            hint="write kafka://host:9092, with more hosts after commas; in a password, "
            "/ ? # and @ are written as %2F %3F %23 and %40",
        )
    login, _, place = parts.netloc.rpartition("@")
    servers = tuple(_with_port(host) for host in place.split(",") if host)
    if not servers:
        raise ProfileError(f"{SCHEME}{place} names no host", hint="write kafka://host:9092")
    for server in servers:
        host, _, port = server.rpartition(":")
        if not _HOST.fullmatch(host) or not (port.isdecimal() and 0 < int(port) < 1 << 16):
            # Where a host was forgotten, what stands for the port is a password.
            raise ProfileError(
                f"{host!r} is no host with a port up to 65535 behind it",
                hint="write kafka://host:9092",
            )
    user, _, password = login.partition(":")
    return servers, unquote(user), unquote(password)


def _with_port(host: str) -> str:
    has_port = host.rpartition("]")[2].count(":") == 1 if "]" in host else host.count(":") == 1
    return host if has_port else f"{host}:{DEFAULT_PORT}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
