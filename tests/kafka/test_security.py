"""Ways into a cluster with locks, what is said at a closed door, and what is never said."""

from __future__ import annotations

import io
import json
import logging
import re
import ssl
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_notebook, writes

import workbench as wb
from tests.kafka.conftest import RUNGS, put_on_rung
from tests.kafka.secured import KEY_PASSWORD, OWNER, PASSWORD, Authority, SecuredBroker
from tests.kafka.support import frame, numbered, read, values
from workbench.errors import AccessDenied, LogError, ProfileError, Unreachable, Untrusted
from workbench.log.kafka import KafkaLog
from workbench.log.protocol import TopicSpec
from workbench.positions import Position

pytestmark = pytest.mark.kafka

#: Names, and where a login goes in.
WAYS = {
    "tls": "TLS",
    "mutual": "MUTUAL",
    "PLAIN": "LOGIN",
    "SCRAM-SHA-256": "LOGIN",
    "SCRAM-SHA-512": "LOGIN",
    "OAUTHBEARER": "LOGIN",
    "open": "OPENLOGIN",
}


def options(secured: SecuredBroker, way: str) -> dict[str, Any]:
    """The settings of one way in."""
    assert secured.authority is not None
    trust = {"ssl_cafile": str(secured.authority.file)}
    login = {"sasl_plain_username": OWNER, "sasl_plain_password": PASSWORD}
    match way:
        case "tls":
            return {"security_protocol": "SSL", **trust}
        case "mutual":
            certificate, key = secured.authority.issue("client", password=KEY_PASSWORD)
            own = {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
            return {"security_protocol": "SSL", **trust, **own, "ssl_password": KEY_PASSWORD}
        case "open":
            return {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", **login}
        case "OAUTHBEARER":
            login = {"sasl_oauth_unsecured_subject": OWNER}
    return {"security_protocol": "SASL_SSL", "sasl_mechanism": way, **trust, **login}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_in_writes_reads_and_follows(
    secured: SecuredBroker, way: str, topic_name: str
) -> None:
    written = frame(numbered(300, size=2_000))
    how = options(secured, way)
    with KafkaLog.connect(secured.url(WAYS[way]), write=True, options=how) as log:
        log.create_topic(TopicSpec(topic_name))
        log.append(topic_name, written)
        member = log.join(topic_name, Position({(topic_name, 0): 0}))
        assert dict(member.assignment()) == {(topic_name, 0): 0}
        member.commit(Position({(topic_name, 0): 7}))
        member.leave()
        assert log.group(topic_name).offsets == {(topic_name, 0): 7}
    for rung in RUNGS:
        with KafkaLog.connect(secured.url(WAYS[way]), options=how) as log:
            put_on_rung(log, rung)
            found, gaps = read(log, topic_name)
            assert (values(found), gaps) == (values(written), [])


def test_several_frames_over_the_fast_transport_with_tls(
    secured: SecuredBroker, topic_name: str
) -> None:
    """Larger than what TLS hands out at a time, by far."""
    written = frame(numbered(400, size=100_000))
    with KafkaLog.connect(secured.url("TLS"), write=True, options=options(secured, "tls")) as log:
        put_on_rung(log, "fast")
        log.create_topic(TopicSpec(topic_name))
        log.append(topic_name, written)
        found, _ = read(log, topic_name)
        assert found["value"].equals(written["value"])


# --- closed doors -------------------------------------------------------------------------------


def refused(secured: SecuredBroker, listener: str, how: dict[str, Any], host: str = "") -> LogError:
    """What connecting says, whole."""
    with pytest.raises(LogError) as caught:
        KafkaLog.connect(secured.url(listener, host or "localhost"), options=how)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("way", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "open"])
def test_a_wrong_password(secured: SecuredBroker, way: str) -> None:
    error = refused(
        secured, WAYS[way], {**options(secured, way), "sasl_plain_password": "wrong-" + PASSWORD}
    )
    assert isinstance(error, AccessDenied)
    assert f"{secured.url(WAYS[way])} refuses user 'owner'" in str(error)
    assert PASSWORD not in str(error)


def test_a_wrong_token(secured: SecuredBroker) -> None:
    how = {**options(secured, "OAUTHBEARER"), "sasl_oauth_token": PASSWORD}
    error = refused(secured, "LOGIN", how)
    assert isinstance(error, AccessDenied)
    assert "refuses this user (OAUTHBEARER)" in str(error)
    assert PASSWORD not in str(error)


def test_certificates_that_do_not_hold(secured: SecuredBroker, tmp_path: Path) -> None:
    trusting = options(secured, "tls")
    stranger = {**trusting, "ssl_cafile": str(Authority(tmp_path, "stranger").file)}
    for listener, how, host, reason in (
        ("TLS", stranger, "", "certificate of localhost:.* is not trusted: unable to get local"),
        ("EXPIRED", trusting, "", "certificate of localhost:.* is not trusted: .*expired"),
        ("TLS", trusting, "127.0.0.1", "certificate of 127.0.0.1:.* is not trusted: .*mismatch"),
        ("MUTUAL", trusting, "", "do not agree on TLS: .*ssl_certfile"),
    ):
        error = refused(secured, listener, how, host)
        assert isinstance(error, Untrusted)
        assert re.search(reason, str(error))
    unchecked = {**trusting, "ssl.endpoint.identification.algorithm": ""}
    KafkaLog.connect(secured.url("TLS", "127.0.0.1"), options=unchecked).close()


def test_a_door_of_another_kind(secured: SecuredBroker) -> None:
    """Within the ten seconds that a connection may take."""
    for listener, how in (("TLS", {}), ("PLAINTEXT", options(secured, "tls"))):
        error = refused(secured, listener, how)
        assert isinstance(error, Unreachable)
        assert "check host and port, and security_protocol" in str(error)


def test_a_mechanism_that_the_cluster_does_not_have(secured: SecuredBroker) -> None:
    how = {**options(secured, "PLAIN"), "sasl_mechanism": "GSSAPI"}
    assert isinstance(refused(secured, "LOGIN", how), AccessDenied)


# --- where settings come from -------------------------------------------------------------------


def test_a_file_of_kafkas_own_clients(secured: SecuredBroker, tmp_path: Path) -> None:
    assert secured.authority is not None
    file = tmp_path / "client.properties"
    file.write_text(
        "# as Kafka's console tools take it\n"
        "security.protocol = SASL_SSL\n"
        "sasl.mechanism: SCRAM-SHA-512\n"
        "sasl.jaas.config = org.apache.kafka.common.security.scram.ScramLoginModule required \\\n"
        f'    username="{OWNER}" \\\n    password="{PASSWORD}";\n'
        "ssl.truststore.type=PEM\n"
        f"ssl.truststore.location={secured.authority.file}\n"
        "group.id=not-for-a-reader\n",
        encoding="utf-8",
    )
    secured.run(  # fails where it cannot connect
        "org.apache.kafka.tools.TopicCommand",
        *("--bootstrap-server", secured.url("LOGIN").removeprefix("kafka://"), "--list"),
        *("--command-config", str(file)),
    )
    with wb.connect(secured.url("LOGIN"), options={"properties": file}) as log:
        assert log.backend.kind == "kafka"


def test_what_is_nearer_holds(
    secured: SecuredBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments, environment, profile, file: each completes and corrects what comes after it."""
    assert secured.authority is not None
    (tmp_path / "client.properties").write_text(
        "security.protocol=PLAINTEXT\nsasl.mechanism=PLAIN\nclient.id=from-the-file\n"
    )
    (tmp_path / "workbench.toml").write_text(
        f'[profiles.prod]\nurl = "{secured.url("LOGIN")}"\ncache = "off"\n'
        "[profiles.prod.options]\n"
        'properties = "client.properties"\nsecurity_protocol = "SASL_SSL"\n'
        f'ssl_cafile = "{secured.authority.file}"\n'
        'sasl_plain_username = "nobody"\nsasl_plain_password = "${THE_PASSWORD}"\n'
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProfileError, match=r"environment variable THE_PASSWORD, .* is not set"):
        wb.connect("prod")
    monkeypatch.setenv("THE_PASSWORD", PASSWORD)
    with pytest.raises(AccessDenied, match="user 'nobody'"):
        wb.connect("prod")
    monkeypatch.setenv("WORKBENCH_KAFKA_SASL_PLAIN_USERNAME", OWNER)
    monkeypatch.setenv("WORKBENCH_KAFKA_SASL_MECHANISM", "SCRAM-SHA-256")
    with wb.connect("prod") as log:
        assert isinstance(log.backend, KafkaLog)
        settings = log.backend._settings.options
        assert settings["client_id"] == "from-the-file"
        assert settings["sasl_mechanism"] == "SCRAM-SHA-256"
    with pytest.raises(AccessDenied, match="user 'somebody'"):
        wb.connect("prod", options={"sasl.username": "somebody"})
    # Settings of the environment go to no other cluster than they are for.
    monkeypatch.setenv("WORKBENCH_KAFKA_SERVERS", "elsewhere:9092")
    with pytest.raises(AccessDenied, match="user 'nobody'"):
        wb.connect("prod")


def test_an_address_is_given_no_password_for_the_asking(
    secured: SecuredBroker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, topic_name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with wb.connect(secured.url("LOGIN"), write=True, options=options(secured, "PLAIN")) as log:
        log.create(topic_name)
        log.append(topic_name, {"n": 1})
        address = log.stream(topic_name).all().address.to_json()
    for name, value in options(secured, "PLAIN").items():
        monkeypatch.setenv(f"WORKBENCH_KAFKA_{name.upper()}", value)
    with pytest.raises(LogError, match="is not at kafka://"):
        wb.open_slice(address)
    monkeypatch.setenv("WORKBENCH_KAFKA_SERVERS", secured.url("LOGIN").removeprefix("kafka://"))
    slice_ = wb.open_slice(address)
    assert slice_.frame()["n"].to_list() == [1]
    slice_.log.close()


# --- what is never said -------------------------------------------------------------------------


@pytest.fixture
def told() -> Iterator[io.StringIO]:
    """All that is logged, at the lowest level."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.setLevel(level)
    root.removeHandler(handler)


@pytest.mark.parametrize("way", ["PLAIN", "SCRAM-SHA-512", "OAUTHBEARER", "open"])
def test_secrets_are_in_nothing_that_is_shown(
    secured: SecuredBroker, told: io.StringIO, way: str, topic_name: str
) -> None:
    how = options(secured, way)
    token = ""
    with wb.connect(secured.url(WAYS[way]), write=True, options=how) as log:
        log.create(topic_name)
        log.append(topic_name, {"n": 1})
        slice_ = log.stream(topic_name).all()
        slice_.frame()
        shown = [repr(log), log._repr_html_(), repr(slice_), slice_._repr_html_()]
        shown += [slice_.address.to_json(), repr(slice_.address), repr(log.backend)]
        shown += [repr(log.backend._settings), repr(log.backend._settings.options)]  # type: ignore[attr-defined]
        shown += [repr(vars(log.backend))]
        provider = log.backend._settings.made.get("sasl_oauth_token_provider")  # type: ignore[attr-defined]
        token = provider.token() if provider else ""
    wrong = {**how, "sasl_plain_password": PASSWORD + "x", "sasl_oauth_token": PASSWORD}
    try:
        KafkaLog.connect(secured.url(WAYS[way]), options=wrong)
    except AccessDenied as error:
        shown += [*traceback.format_exception(error), repr(error.__context__), repr(error.args)]
    shown.append(told.getvalue())
    assert "kafka" in shown[-1]  # the client did talk
    for text in shown:
        assert PASSWORD not in text
        assert not token or token not in text


def test_a_traceback_with_all_its_variables_holds_no_secret(
    secured: SecuredBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a person types is theirs to show; what a profile or the environment holds is not."""
    login = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN"}
    for name, value in {**login, "sasl_plain_username": OWNER}.items():
        monkeypatch.setenv(f"WORKBENCH_KAFKA_{name.upper()}", value)
    monkeypatch.setenv("WORKBENCH_KAFKA_SASL_PLAIN_PASSWORD", PASSWORD)
    (tmp_path / "workbench.toml").write_text(
        f'[profiles.prod]\nurl = "kafka://{OWNER}:{PASSWORD}@{secured.bootstrap}"\n'
    )
    monkeypatch.setenv("WORKBENCH_CONFIG", str(tmp_path / "workbench.toml"))
    for place in (f"kafka://{secured.bootstrap}", "prod"):
        with pytest.raises((AccessDenied, Unreachable)) as caught:
            wb.connect(place)
        told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        ours = "".join(told.format()).split("workbench/api/connect.py", 1)[1]
        assert "brief" in ours
        assert PASSWORD not in ours


def test_an_url_that_is_not_understood_is_not_repeated() -> None:
    for url in (
        f"kafka://{OWNER}:{PASSWORD}/x@host:9092",
        f"kafka://{OWNER}:{PASSWORD}#@host",
        f"kafka:/{OWNER}:{PASSWORD}@host",
        f"kafka://{OWNER}:{PASSWORD}@",
        f"kafka://{OWNER}:{PASSWORD}",
    ):
        with pytest.raises(ProfileError) as caught:
            wb.connect(url)
        assert PASSWORD not in "".join(traceback.format_exception(caught.value, limit=0))
        assert PASSWORD not in str(caught.value)


def test_a_report_holds_no_secret(
    secured: SecuredBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, topic_name: str
) -> None:
    assert secured.authority is not None
    (tmp_path / "workbench.toml").write_text(
        f'[profiles.prod]\nurl = "{secured.url("LOGIN")}"\nwrite = true\n'
        '[profiles.prod.options]\nsecurity_protocol = "SASL_SSL"\nsasl_mechanism = "PLAIN"\n'
        f'ssl_cafile = "{secured.authority.file}"\n'
        f'sasl_plain_username = "{OWNER}"\nsasl_plain_password = "${{THE_PASSWORD}}"\n'
    )
    monkeypatch.setenv("WORKBENCH_CONFIG", str(tmp_path / "workbench.toml"))
    monkeypatch.setenv("THE_PASSWORD", PASSWORD)
    notebook = new_notebook(
        cells=[
            new_code_cell("address = None", metadata={"tags": ["parameters"]}),
            new_code_cell("import workbench as wb\nday = wb.report_slice(address, default=None)"),
            new_code_cell("display(day.log)\nprint(repr(day.log.backend._settings))\nday.frame()"),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
    )
    (tmp_path / "look.ipynb").write_text(writes(notebook))
    with wb.connect("prod") as log:
        log.create(topic_name)
        log.append(topic_name, {"n": 4711})
        log.stream(topic_name).all().report(tmp_path / "look.ipynb", out=tmp_path / "out")
    made = [path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert any("4711" in text for text in made)
    assert not any(PASSWORD in text for text in made)


def test_contexts_and_settings_are_made_once(secured: SecuredBroker, tmp_path: Path) -> None:
    """A file that cannot be used is named at once, not when the first connection fails."""
    how = options(secured, "tls")
    for wrong, said in (
        ({"ssl_cafile": str(tmp_path / "missing.pem")}, "missing.pem: there is no such file"),
        ({"ssl_certfile": how["ssl_cafile"]}, "authority.pem cannot be used"),
        ({"security_protocol": "TLS"}, "no security_protocol 'TLS'"),
        ({"security_protocol": "SASL_SSL"}, "needs a sasl_mechanism"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN"}, "needs a sasl_plain_user"),
        ({"ssl.truststore.type": "JKS"}, "only PEM"),
        ({"sasl.jaas.config": f"no {PASSWORD}"}, "sasl.jaas.config is not understood"),
        ({"request_timeout_ms": "soon"}, "is a number of milliseconds"),
    ):
        with pytest.raises(ProfileError, match=said) as caught:
            KafkaLog.connect(secured.url("TLS"), options={**how, **wrong})
        assert PASSWORD not in str(caught.value)
    own = ssl.create_default_context(cafile=how["ssl_cafile"])
    KafkaLog.connect(
        secured.url("TLS"), options={"security_protocol": "SSL", "ssl_context": own}
    ).close()
    assert json.dumps(how)  # plain data: it can stand in a profile
