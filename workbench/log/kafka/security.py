"""Secrets, certificates and tokens of a connection to a cluster."""

from __future__ import annotations

import base64
import json
import logging
import ssl
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from kafka.net.sasl.oauth import AbstractTokenProvider

from workbench.errors import ProfileError, Untrusted

#: Settings whose values are never shown.
SECRET = frozenset(
    {"sasl_plain_password", "ssl_password", "sasl_oauth_token", "sasl_oauth_client_secret"}
)
#: Settings that become one `ssl_context`, once.
TLS = ("ssl_cafile", "ssl_cadata", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_crlfile")
#: Settings that become one token provider.
OAUTH = (
    "sasl_oauth_token",
    "sasl_oauth_token_url",
    "sasl_oauth_client_id",
    "sasl_oauth_client_secret",
    "sasl_oauth_scope",
    "sasl_oauth_unsecured_subject",
)

_HIDDEN = "***"


class Secret(str):
    """Text that a repr, and so a traceback or a printed dict of settings, does not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(_HIDDEN)


class _Redaction(logging.Filter):
    """Takes the secrets in use out of what the client logs.

    At DEBUG level kafka-python writes its settings and every request, a login included.
    """

    def __init__(self) -> None:
        super().__init__()
        self._forms: set[str] = set()

    def hide(self, secret: str) -> None:
        """From now on, never show this."""
        # As text, and as the bytes of a request are written.
        self._forms |= {str(secret), ascii(secret.encode())[2:-1]} - {""}

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        for form in sorted(self._forms, key=len, reverse=True):
            text = text.replace(form, _HIDDEN)
        record.msg, record.args = text, ()
        return True


_REDACTION = _Redaction()


def hide(secrets: Sequence[str]) -> None:
    """Keep these out of all logs of the client."""
    for secret in secrets:
        _REDACTION.hide(secret)
    if secrets:
        # A filter holds for one logger, not for those below it.
        for name in [n for n in logging.root.manager.loggerDict if n.split(".")[0] == "kafka"]:
            logging.getLogger(name).addFilter(_REDACTION)


def tls_context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """What certificates are checked against, and what is shown to the cluster.

    Raises ProfileError that names the file which cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = _is_true(options.get("ssl_check_hostname", True))
    using = "the certificates"
    try:
        if options.get("ssl_cafile") or options.get("ssl_cadata"):
            using = str(options.get("ssl_cafile", "ssl_cadata"))
            context.load_verify_locations(options.get("ssl_cafile"), cadata=_pem(options))
        else:
            context.load_default_certs()
        if options.get("ssl_certfile"):
            using = " with ".join(
                str(options[name]) for name in ("ssl_certfile", "ssl_keyfile") if options.get(name)
            )
            # Without a password an encrypted key would be asked for on the terminal.
            password = options.get("ssl_password", "")
            context.load_cert_chain(
                options["ssl_certfile"], options.get("ssl_keyfile"), lambda: str(password)
            )
        if options.get("ssl_crlfile"):
            using = str(options["ssl_crlfile"])
            context.load_verify_locations(using)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    except FileNotFoundError:
        raise ProfileError(f"{using}: there is no such file") from None
    except (OSError, TypeError, ValueError) as error:
        raise ProfileError(
            f"{using} cannot be used: {_why(error)}",
            hint="it has to be PEM, and ssl_password the key's where it has one",
        ) from None
    return context


def _pem(options: Mapping[str, Any]) -> str | None:
    data = options.get("ssl_cadata")
    return None if not data else str(data)


def untrusted(error: BaseException, server: str) -> Untrusted | None:
    """What stands in the way when it is TLS that failed: the last word, not worth another try.

    None for anything else, and for a connection that was only cut off.
    """
    cause = next((one for one in _causes(error) if isinstance(one, ssl.SSLError)), None)
    if cause is None or isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return None
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Untrusted(
            f"the certificate of {server} is not trusted: {cause.verify_message.rstrip('.')}",
            hint="ssl_cafile names the authority's certificate; the host is addressed by a name "
            "that is in the certificate",
        )
    return Untrusted(
        f"{server} and this client do not agree on TLS: {_why(cause)}",
        hint="is it a port for TLS, and does it want a client certificate "
        "(ssl_certfile, ssl_keyfile)?",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was raised from, and what it carries."""
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException):
            yield one
            waiting += [one.__cause__ or one.__context__, *one.args]


def token_provider(options: Mapping[str, Any]) -> AbstractTokenProvider:
    """Where the tokens of SASL OAUTHBEARER come from.  Raises ProfileError when nowhere."""
    return _Hushed(_source_of_tokens(options))


def _source_of_tokens(options: Mapping[str, Any]) -> Any:
    if options.get("sasl_oauth_token_provider"):
        return options["sasl_oauth_token_provider"]
    if options.get("sasl_oauth_token"):
        return _Fixed(options["sasl_oauth_token"])
    if options.get("sasl_oauth_unsecured_subject"):
        return _Unsecured(str(options["sasl_oauth_unsecured_subject"]))
    if options.get("sasl_oauth_token_url"):
        return _ClientCredentials(options)
    raise ProfileError(
        "OAUTHBEARER needs tokens",
        hint="give sasl_oauth_token_url with sasl_oauth_client_id and sasl_oauth_client_secret, "
        "a sasl_oauth_token, or your own sasl_oauth_token_provider",
    )


class _Hushed(AbstractTokenProvider):
    """Tokens of any source, none of which is ever shown."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def token(self) -> str:
        token: str = self._source.token()
        hide([token])
        return token

    def extensions(self) -> dict[str, str]:
        found: dict[str, str] = self._source.extensions()
        return found


class _Fixed(AbstractTokenProvider):
    """One token, until it expires."""

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self) -> str:
        return str(self._token)


class _Unsecured(AbstractTokenProvider):
    """Tokens without a signature (RFC 7515, appendix A.5), for clusters that try things out."""

    def __init__(self, subject: str) -> None:
        self._subject = subject

    def token(self) -> str:
        now = int(time.time())
        claims = {"sub": self._subject, "iat": now, "exp": now + 3600}
        parts = (
            base64.urlsafe_b64encode(json.dumps(p).encode()) for p in ({"alg": "none"}, claims)
        )
        return ".".join(part.decode().rstrip("=") for part in parts) + "."


class _ClientCredentials(AbstractTokenProvider):
    """Tokens for a client's id and secret (RFC 6749, section 4.4), kept until they expire soon."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._token = ""
        self._expires = 0.0

    def token(self) -> str:
        if time.monotonic() > self._expires:
            self._fetch()
        return self._token

    def _fetch(self) -> None:
        told = self._options
        login = f"{told.get('sasl_oauth_client_id', '')}:{told.get('sasl_oauth_client_secret', '')}"
        form = {"grant_type": "client_credentials"}
        if told.get("sasl_oauth_scope"):
            form["scope"] = told["sasl_oauth_scope"]
        url = str(told["sasl_oauth_token_url"])
        if not url.startswith(("https://", "http://localhost", "http://127.0.0.1")):
            raise ProfileError("a client's secret is only sent over https://")
        request = urllib.request.Request(
            url,
            urlencode(form).encode(),
            {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            found = json.load(answer)
        self._token = str(found["access_token"])
        self._expires = time.monotonic() + float(found.get("expires_in", 300)) * 0.8


def _is_true(value: Any) -> bool:
    return str(value).strip().lower() not in ("false", "0", "no", "")


def _why(error: Exception) -> str:
    """What OpenSSL or the system says, without its line numbers."""
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return str(reason).replace("_", " ").lower()
