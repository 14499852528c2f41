"""A `client.properties` file: settings under the names of Kafka's own clients."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workbench.errors import ProfileError

#: The names of Kafka's Java client and of librdkafka, where they are not ours with dots.
_RENAMED = {
    "sasl_mechanisms": "sasl_mechanism",
    "sasl_username": "sasl_plain_username",
    "sasl_password": "sasl_plain_password",
    "ssl_ca_location": "ssl_cafile",
    "ssl_truststore_location": "ssl_cafile",
    "ssl_truststore_certificates": "ssl_cadata",
    "ssl_certificate_location": "ssl_certfile",
    "ssl_keystore_location": "ssl_certfile",
    "ssl_key_location": "ssl_keyfile",
    "ssl_key_password": "ssl_password",
    "ssl_crl_location": "ssl_crlfile",
    "sasl_kerberos_service_principal": "sasl_kerberos_service_name",
    "sasl_oauthbearer_token_endpoint_url": "sasl_oauth_token_url",
    "sasl_oauthbearer_client_id": "sasl_oauth_client_id",
    "sasl_oauthbearer_client_secret": "sasl_oauth_client_secret",
    "sasl_oauthbearer_scope": "sasl_oauth_scope",
}
#: What a login module is told, by our names.
_JAAS = {
    "username": "sasl_plain_username",
    "password": "sasl_plain_password",
    "clientId": "sasl_oauth_client_id",
    "clientSecret": "sasl_oauth_client_secret",
    "scope": "sasl_oauth_scope",
    "unsecuredLoginStringClaim_sub": "sasl_oauth_unsecured_subject",
}
_STORES = ("ssl_truststore_type", "ssl_keystore_type")
#: Settings of a Java client that say how, not whom; a client here has its own way.
_BESIDE_US = frozenset(
    {
        "sasl_login_callback_handler_class",
        "sasl_client_callback_handler_class",
        "ssl_protocol",
        "ssl_enabled_protocols",
        "ssl_truststore_password",
        "ssl_keystore_password",
    }
)


def read_properties(path: Path) -> dict[str, Any]:
    """The settings of a file that concern a connection, under our names.

    What other clients keep in such a file (`group.id`, `acks`, deserialisers) is not for a
    reader and is left out.  Raises ProfileError for a file that cannot be read, and for a
    setting of security that is not understood.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path} cannot be read: {type(error).__name__}") from None
    found = ours(dict(_pairs(text)), where=str(path))
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile"):
        if name in found:
            found[name] = str(path.parent / Path(found[name]).expanduser())
    return found


def ours(settings: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Settings of any spelling under our names: dots are underscores, `sasl.jaas.config` is read.

    Raises ProfileError for a store of keys that is not PEM.
    """
    found: dict[str, Any] = {}
    for spelled, value in settings.items():
        name = spelled.replace(".", "_")
        if name in _STORES:
            if str(value).upper() != "PEM":
                raise ProfileError(
                    f"{where}: {spelled} is {value}, and only PEM files can be read",
                    hint="export it with keytool -exportcert -rfc, or openssl pkcs12 -nokeys",
                )
        elif name == "sasl_jaas_config":
            found |= _jaas(str(value), where)
        elif name == "ssl_endpoint_identification_algorithm":
            found["ssl_check_hostname"] = bool(str(value).strip())
        elif name not in _BESIDE_US:
            found[_RENAMED.get(name, name)] = value
    return found


def _jaas(text: str, where: str) -> dict[str, str]:
    """User and password of `…LoginModule required username="…" password="…";`."""
    told = {
        name: re.sub(r"\\(.)", r"\1", value)
        for name, value in re.findall(r'(\w+)\s*=\s*"((?:[^"\\]|\\.)*)"', text)
    }
    found = {_JAAS[name]: value for name, value in told.items() if name in _JAAS}
    if not found:
        # The text may hold a password: it is not repeated.
        raise ProfileError(
            f"{where}: sasl.jaas.config is not understood",
            hint='write …LoginModule required username="…" password="…";',
        )
    return found


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Names and values as `java.util.Properties` reads them."""
    lines = iter(text.splitlines())
    for first in lines:
        line = first.lstrip()
        if not line or line[0] in "#!":
            continue
        while len(line) - len(line.rstrip("\\")) & 1:
            line = line[:-1] + next(lines, "").lstrip()
        match = re.match(r"((?:[^\\=:\s]|\\.)+)\s*[=:]?\s*(.*)", line)
        if match:
            yield _unescaped(match[1]), _unescaped(match[2]).rstrip()


def _unescaped(text: str) -> str:
    known = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}

    def one(found: re.Match[str]) -> str:
        if found[1]:
            return chr(int(found[1], 16))
        return known.get(found[2], found[2])

    return re.sub(r"\\(?:u([0-9a-fA-F]{4})|(.))", one, text)
