"""A broker with locks: one listener for each way in, self-made certificates, and an authorizer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.kafka.broker import Broker, free_ports

#: Nowhere else in the product or the tests: what is searched for in everything that is shown.
PASSWORD = "Hush-7f3a91c0-never-shown"
KEY_PASSWORD = "Key-55c1d2e8-never-shown"
#: May do everything.
OWNER = "owner"
#: May do what access control lists say, which is nothing at first.
GUEST = "guest"

LISTENERS = {
    "PLAINTEXT": "PLAINTEXT",
    "TLS": "SSL",
    "MUTUAL": "SSL",
    "EXPIRED": "SSL",
    "LOGIN": "SASL_SSL",
    "OPENLOGIN": "SASL_PLAINTEXT",
    "CONTROLLER": "PLAINTEXT",
}


class Authority:
    """A certificate authority of our own; everything it makes is a PEM file in a folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = (
            self._builder(self._name, self._key, timedelta(days=-1), timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def issue(
        self, name: str, *, expired: bool = False, password: str | None = None
    ) -> tuple[Path, Path]:
        """Certificate and key of a name, valid for localhost."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        first, last = (-9, -2) if expired else (-1, 30)
        made = (
            self._builder(subject, key, timedelta(days=first), timedelta(days=last))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        certificate, secret = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(password.encode())
                if password
                else serialization.NoEncryption(),
            )
        )
        return certificate, secret

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        first: timedelta,
        last: timedelta,
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        authority = self._key.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + first)
            .not_valid_after(now + last)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), critical=False
            )
        )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


@dataclass
class SecuredBroker(Broker):
    """A broker with a listener for each way in; `PLAINTEXT` is the administrator's."""

    ports: dict[str, int] | None = None
    authority: Authority | None = None

    def url(self, listener: str, host: str = "localhost") -> str:
        """Where one of the listeners is."""
        assert self.ports is not None
        return f"kafka://{host}:{self.ports[listener]}"

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
        self.port = self.ports["PLAINTEXT"]
        self.authority = Authority(self.folder)
        store = {
            name: self._keystore(name, expired=name == "expired") for name in ("server", "expired")
        }
        users = " ".join(f'user_{name}="{PASSWORD}"' for name in (OWNER, GUEST))
        modules = "org.apache.kafka.common.security"
        logins = {
            "plain": f"{modules}.plain.PlainLoginModule required {users};",
            "scram-sha-256": f"{modules}.scram.ScramLoginModule required;",
            "scram-sha-512": f"{modules}.scram.ScramLoginModule required;",
            "oauthbearer": f"{modules}.oauthbearer.OAuthBearerLoginModule required "
            'unsecuredLoginStringClaim_sub="broker";',
        }
        settings = {
            "controller.quorum.voters": f"1@localhost:{self.ports['CONTROLLER']}",
            "listeners": ",".join(f"{n}://localhost:{port}" for n, port in self.ports.items()),
            "listener.security.protocol.map": ",".join(f"{n}:{p}" for n, p in LISTENERS.items()),
            "inter.broker.listener.name": "PLAINTEXT",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(store["server"]),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.file),
            "listener.name.expired.ssl.keystore.location": str(store["expired"]),
            "listener.name.mutual.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": ",".join(name.upper() for name in logins),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:ANONYMOUS;User:{OWNER};User:CN=client",
            "auto.create.topics.enable": "false",
            **{
                f"listener.name.{listener}.{mechanism}.sasl.jaas.config": login
                for listener in ("login", "openlogin")
                for mechanism, login in logins.items()
            },
        }
        scram = [
            argument
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for user in (OWNER, GUEST)
            for argument in ("--add-scram", f"{mechanism}=[name={user},password={PASSWORD}]")
        ]
        self.format(settings, *scram)

    def _keystore(self, name: str, *, expired: bool) -> Path:
        """A key and its certificate in one file, as a broker wants them."""
        assert self.authority is not None
        certificate, key = self.authority.issue(name, expired=expired)
        both = self.folder / f"{name}-store.pem"
        both.write_bytes(key.read_bytes() + certificate.read_bytes())
        return both
