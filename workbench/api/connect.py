"""Finding a log: by folder, by URL, by profile, by name of a sample, or behind an address."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from importlib.resources import files
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from workbench.address import Address
from workbench.api.log import Log
from workbench.api.profiles import DEFAULT_MAX_READ, Profile, profiles
from workbench.api.rules import Rules, parse_size
from workbench.api.rules import rules as in_force
from workbench.api.slice import Slice
from workbench.decode import Codebook, Registry, open_registry
from workbench.errors import LogError, LogNotFound, ProfileError, WorkbenchError
from workbench.evidence.layout import ENCLOSED, is_bag
from workbench.log.embedded import Durability, EmbeddedLog
from workbench.log.protocol import LogBackend
from workbench.sink.record import SCHEMAS
from workbench.source.export import file_path
from workbench.source.slice import SliceSource, callers_level
from workbench.source.times import zone

#: Where recordings are looked for when an address names a log that is not at its hint.
RECORDINGS = "recordings"

#: What has been said in this process of packages that are missing.
_said: set[str] = set()

_Given = ParamSpec("_Given")
_Opened = TypeVar("_Opened")


def _brief(function: Callable[_Given, _Opened]) -> Callable[_Given, _Opened]:
    """Errors without the frames below, where the passwords of profiles and the environment are.

    Some show the variables of each frame of a traceback: IPython's `%xmode Verbose`, for one.
    """

    @wraps(function)
    def brief(*given: _Given.args, **named: _Given.kwargs) -> _Opened:
        try:
            return function(*given, **named)
        except WorkbenchError as error:
            raise error.with_traceback(None) from None

    return brief


@_brief
def connect(
    place: str | Path,
    *,
    create: bool = False,
    write: bool | None = None,
    tz: str | None = None,
    max_read: int | None = None,
    max_read_bytes: int | str | None = None,
    max_rate: int | str | None = None,
    cache: str | Path | None = None,
    durability: Durability | None = None,
    options: Mapping[str, Any] | None = None,
    registry: str | Path | Mapping[str, Any] | None = None,
) -> Log:
    """Open a log.

    Parameters
    ----------
    place
        A folder (the embedded log, a recording, or a sealed bag), `kafka://host:9092` (a cluster;
        more hosts after commas), or the name of a profile in `workbench.toml`.
    create
        Make the folder a log when there is none.
    write
        False opens for reading only; by default an embedded log can be written where its folder
        can be, and a recording and a cluster cannot.
    tz
        The IANA zone of times without one; UTC by default.
    max_read
        The most records that one frame may hold; 20 million by default.
    max_read_bytes
        The most memory that one frame may take: bytes, or `"4GB"`; by default half of what the
        machine has.
    max_rate
        How fast a cluster is read at most: bytes per second, or `"50MB"`; by default as fast as
        it answers.
    cache
        Where repeated reads of a cluster come from: `"session"` (default), a private folder that
        goes when the process ends; `"off"`; or a folder of yours that stays.
    durability
        `"power"` (default): an append survives a power cut.  `"process"`: it survives any death
        of a process; a crash of the machine may remove the newest commits.
    options
        Settings of the client that talks to a cluster: `security_protocol`, `sasl_mechanism`,
        `sasl_plain_username`, `ssl_cafile` and the like, also under the names of Kafka's own
        clients (`sasl.jaas.config`, `ssl.truststore.location`); `properties` names a file of
        them.  What is given here holds before environment variables
        (`WORKBENCH_KAFKA_SASL_PLAIN_PASSWORD` and so on, for the servers of
        `WORKBENCH_KAFKA_SERVERS` where that is set), these before the profile, and the profile
        before the file.
    registry
        Where the schemas are that records name: the URL of a schema registry, a folder of schemas,
        or a mapping of `url`, `username`, `password`, `token`, `ca_file`, `cert_file`, `key_file`,
        `timeout`; by default the profile's, and for a folder its own `schemas`, where it has one.

    On clusters the rules of an administrator (`/etc/workbench.toml`, and the file that
    `WORKBENCH_ADMIN` names) hold above all: limits that cannot be raised, topics that are denied,
    fields that are hidden.

    Raises
    ------
    LogNotFound
        When nothing is there; the message says how to make one.
    NotALog, UnsupportedStorage, ProfileError, Unreachable, AccessDenied, Untrusted
        As they say.
    """
    known = {} if isinstance(place, Path) else profiles()
    profile = (known.get(str(place)) or Profile(str(place))).expanded()
    rules = Rules()
    may_write = profile.write if write is None else write
    kind = "kafka" if profile.url.startswith("kafka:") else "file"
    if kind == "file" and "://" in profile.url:
        kind = profile.url.partition("://")[0]
    backend: LogBackend
    if kind == "kafka":
        rules = in_force()
        if may_write:
            rules.check_write()
        rate = profile.max_rate if max_rate is None else max_rate
        backend = _cluster(
            profile,
            options or {},
            rules,
            write=bool(may_write),
            max_rate=None if rate is None else parse_size(rate, name="max_rate"),
            cache=cache or profile.cache or "session",
        )
    elif kind == "file":
        path = file_path(profile.url.removeprefix("file://"), "a log").expanduser()
        level = durability or profile.durability
        if create and not (path.is_dir() and any(path.iterdir())):
            backend = EmbeddedLog.create(path, durability=level)
        elif is_bag(path):
            from workbench.api.verifying import sealed_log

            backend = sealed_log(path, write=bool(may_write))
        else:
            try:
                backend = EmbeddedLog.open(path, write=may_write, durability=level)
            except LogNotFound as error:
                names = f"; profiles: {', '.join(known)}" if known else ""
                raise LogNotFound(f"{error}{names}") from None
    else:
        raise ProfileError(
            f"no kind of log answers to {kind}://", hint="give a folder, or kafka://host:9092"
        )
    import psutil

    size = profile.max_read_bytes if max_read_bytes is None else max_read_bytes
    try:
        return Log(
            backend,
            tz=zone(tz or profile.tz),
            max_read=rules.limit(
                "max_read", profile.max_read if max_read is None else max_read, DEFAULT_MAX_READ
            ),
            max_read_bytes=rules.limit(
                "max_read_bytes",
                None if size is None else parse_size(size, name="max_read_bytes"),
                psutil.virtual_memory().total // 2,
            ),
            codebook=Codebook(_registry(registry or profile.registry, profile.url)),
        )
    except WorkbenchError:
        backend.close()
        raise


def _registry(settings: str | Path | Mapping[str, Any] | None, place: str) -> Registry | None:
    """The registry that is named, else the folder of schemas that lies in the log's own."""
    if settings:
        return open_registry(settings)
    folder = Path(place.removeprefix("file://")).expanduser()
    own = folder / (ENCLOSED if is_bag(folder) else SCHEMAS)
    return open_registry(own) if own.is_dir() else None


def _cluster(
    profile: Profile,
    options: Mapping[str, Any],
    rules: Rules,
    *,
    write: bool,
    max_rate: int | None,
    cache: str | Path,
) -> LogBackend:
    from workbench.log.kafka import KafkaLog
    from workbench.log.kafka.extras import slower
    from workbench.log.kafka.limits import Limits
    from workbench.log.kafka.settings import environment

    if not isinstance(options, Mapping):
        raise ProfileError(
            f"options= is a mapping of settings, not {type(options).__name__}",
            hint='such as options={"security_protocol": "SSL"}',
        )
    if not isinstance(cache, str | Path):
        raise ProfileError(f"cache= is 'session', 'off' or a folder, not {cache!r}")
    if (missing := slower()) is not None and missing not in _said:
        _said.add(missing)
        warnings.warn(missing, RuntimeWarning, stacklevel=callers_level())
    limits = Limits(
        max_rate=rules.limit("max_rate", max_rate, None),
        denied=rules.denied,
        masked=rules.masked,
        cache=cache if cache in ("session", "off") else Path(cache).expanduser(),
        by=rules.by,
    )
    settings = {**profile.options, **environment(profile.url), **options}
    return KafkaLog.connect(profile.url, write=write, options=settings, limits=limits)


def sample(name: str = "bank") -> Log:
    """Open a recording that comes with the package: bank, clicks, sensors, weblogs.

    Raises LogNotFound for another name; the message lists what there is.
    """
    folder = sample_folder()
    if not folder.is_dir():
        raise LogNotFound(
            f"the sample recordings are not where they belong: there is no folder {folder}",
            hint="`workbench sample NAME --into FOLDER` makes one anew",
        )
    if not (folder / name).is_dir():
        there = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_dir()))
        raise LogNotFound(f"no sample {name!r}", hint=f"there are {there}")
    return connect(folder / name, write=False)


def sample_folder() -> Path:
    """Where the sample recordings are: in the wheel, or in a checkout."""
    return bundled("sample_data")


def bundled(name: str) -> Path:
    """A folder that comes with the package: in an installed wheel, or beside it in a checkout."""
    package = Path(str(files("workbench")))
    inside = package / "_bundled" / name
    return inside if inside.is_dir() else package.parent / name


@_brief
def open_slice(address: Address | str, log: Log | None = None) -> Slice:
    """The slice that an address (or its JSON) names.

    The log is looked for at the address's hint, then among the profiles, the recordings in
    `recordings/` and the samples: it is the one with the address's id.  Topic ids are checked.

    Raises
    ------
    LogNotFound
        When no log of that id is found, or `log` has another one.
    TopicChanged
        When a topic was deleted and made again.
    """
    wanted = Address.from_json(address) if isinstance(address, str) else address
    found = log if log is not None else _find_log(wanted)
    if found.id != wanted.log_id:
        raise LogNotFound(
            f"{found.backend.hint} is the log {found.id}, the address names {wanted.log_id}"
        )
    limits = (found.max_read, found.max_read_bytes)
    source = SliceSource(found.backend, wanted, *limits, found.codebook)
    source.check_topics()
    return Slice(source, tz=found.tz)


def report_slice(address: Address | str | None, default: Callable[[], Slice]) -> Slice:
    """The slice of a report notebook: the one it was given, or a default to explore with.

    A notebook's parameters cell says `address = None`; `Slice.report` and `workbench report` put
    an address there.
    """
    return open_slice(address) if address else default()


def _find_log(address: Address) -> Log:
    first: Log | None = None
    for place in _places(address):
        try:
            log = connect(place)
        except (LogError, ProfileError):
            continue
        if log.id == address.log_id and _holds(log, address):
            return log
        if log.id == address.log_id and first is None:
            first = log  # reading it says what is wrong
        else:
            log.close()
    if first is not None:
        return first
    raise LogNotFound(
        f"the log {address.log_id} is not at {address.hint}",
        hint="give open_slice(address, log=…), or a recording of it under recordings/",
    )


def _holds(log: Log, address: Address) -> bool:
    """Whether the log has these topics, and has the offsets or had them."""
    known = {info.name: info.id for info in log.backend.topics()}
    if any(known.get(name) != topic_id for name, topic_id in address.topic_ids):
        return False
    ends = {(p.topic, p.partition): p.end for name in known for p in log.backend.partitions(name)}
    return all(ends.get(tp, 0) >= end for tp, end in address.end.items())


def _places(address: Address) -> Iterator[str | Path]:
    """Where to look.  An address may come from anybody: it is not given a password for the asking.

    For a cluster, a profile of the same servers goes first, since that has its password.
    """
    known = profiles()
    if address.log_kind == "kafka":
        from workbench.log.kafka.settings import gives_away, same_cluster

        theirs = {n: p.url for n, p in known.items() if p.url.startswith("kafka://")}
        yield from (name for name, url in theirs.items() if same_cluster(url, address.hint))
        if not gives_away(address.hint):
            yield address.hint
    else:
        yield address.hint
    yield from known
    for folder in (Path(RECORDINGS), sample_folder()):
        if folder.is_dir():
            yield from sorted(path for path in folder.iterdir() if path.is_dir())
