"""How to reach a cluster: a URL and client settings, with the secrets kept out of sight."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from workbench.errors import ProfileError

SCHEME = "kafka://"
DEFAULT_PORT = 9092

#: How long a cluster may take to answer at all, in seconds.
CONNECT_SECONDS = 10.0

#: What a person may set: the client's own names, dots for underscores as in a client.properties.
KNOWN = frozenset(
    {
        "api_version",
        "client_id",
        "connections_max_idle_ms",
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
        "ssl_cafile",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_context",
        "ssl_crlfile",
        "ssl_keyfile",
        "ssl_password",
    }
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Servers and client settings.  Its repr, and `hint`, hold no secret."""

    servers: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, url: str, options: Mapping[str, Any] | None = None) -> Settings:
        """From `kafka://[user:password@]host[:port][,host…]` and client settings.

        Raises ProfileError for an URL without a host and for a setting that nobody knows.
        """
        parts = urlsplit(url)
        if parts.scheme != "kafka" or parts.path.strip("/") or parts.query or parts.fragment:
            raise ProfileError(
                f"{SCHEME}{_place(parts.netloc)} is not the address of a cluster",
                hint="write kafka://host:9092, with more hosts after commas",
            )
        place = _place(parts.netloc)
        servers = tuple(_with_port(host) for host in place.split(",") if host)
        if not servers:
            raise ProfileError(
                f"{url.split('@')[-1]} names no host", hint="write kafka://host:9092"
            )
        settings = {name.replace(".", "_"): value for name, value in (options or {}).items()}
        for name in settings:
            if name not in KNOWN:
                raise ProfileError(
                    f"no setting {name!r} for a Kafka cluster",
                    hint=f"there are {', '.join(sorted(KNOWN))}",
                )
        user, _, password = parts.netloc.rpartition("@")[0].partition(":")
        if user:
            settings.setdefault("security_protocol", "SASL_SSL")
            settings.setdefault("sasl_mechanism", "PLAIN")
            settings["sasl_plain_username"] = unquote(user)
            settings["sasl_plain_password"] = unquote(password)
        settings.setdefault("client_id", f"workbench-{_user()}")
        return cls(servers, settings)

    @property
    def hint(self) -> str:
        """The URL without user and password."""
        return SCHEME + ",".join(self.servers)

    def client(self, **more: Any) -> dict[str, Any]:
        """What any of kafka-python's clients is made with."""
        return {
            "bootstrap_servers": list(self.servers),
            "bootstrap_timeout_ms": int(CONNECT_SECONDS * 1000),
            "reconnect_backoff_max_ms": 1000,
            **self.options,
            **more,
        }


def _place(netloc: str) -> str:
    return netloc.rpartition("@")[2]


def _with_port(host: str) -> str:
    has_port = host.rpartition("]")[2].count(":") == 1 if "]" in host else host.count(":") == 1
    return host if has_port else f"{host}:{DEFAULT_PORT}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
