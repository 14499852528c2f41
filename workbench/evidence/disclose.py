"""Handing over some records of a salted bag, and of the others only that they are there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from workbench.address import Address
from workbench.errors import DefinitionError, EvidenceError, InvalidRange, did_you_mean
from workbench.evidence import signing
from workbench.evidence.facts import gaps_of
from workbench.evidence.lines import Line, blocks, decode_line, withhold
from workbench.evidence.log import SealedLog
from workbench.evidence.packing import Packing, custody_line, said
from workbench.evidence.results import write as write_results
from workbench.evidence.seal import QUERY, RESULTS, SCHEMAS, Sealed, add_query
from workbench.evidence.verify import CUSTODY, RECORDS, SLICES
from workbench.source.export import file_path
from workbench.source.progress import telling
from workbench.source.slice import SliceSource

Place = tuple[str, int, int]

#: The number of a record, beside its columns.
_ROW = "__row"


def disclose(
    bag: str | Path, *, where: pl.Expr | str, into: str | Path, purpose: str = ""
) -> Sealed:
    """Make a copy of a salted bag in which only the chosen records can be read.

    The copy has the same statement, and verifies: it proves how many records there are, in which
    order, and that the readable ones are among them.  That the others are about something else
    stays the word of whoever discloses.

    Parameters
    ----------
    bag
        A bag that was sealed with `salted=True`; it is not changed.
    where
        Which records: a Polars expression over the decoded columns, or an SQL condition such as
        `"account = 'A-1042'"`, on each record by itself.  What it cannot judge, such as a record
        that does not decode, is withheld.
    into
        The folder of the copy; nothing may be there.
    purpose
        Why, for the chain of custody, which the copy continues.

    Returns
    -------
    Sealed
        Of the copy: `records` counts those that can be read.

    Raises
    ------
    EvidenceError
        When the bag is not as it was sealed or has no salts: hashes of values that can be guessed
        would give them away.
    DefinitionError
        For a condition that cannot be computed.
    """
    source_bag, copy = file_path(bag, "a bag"), file_path(into, "a copy")
    chosen = _condition(where)
    said(purpose)
    with telling("bytes") as tell:
        log = SealedLog.unpack(source_bag, tell)
    try:
        with Packing(copy) as packing:
            return _pack(source_bag, log, packing, chosen, str(where), purpose)
    finally:
        log.close()


def _condition(where: object) -> pl.Expr:
    try:
        chosen = pl.sql_expr(where) if isinstance(where, str) else where
    except PolarsError as error:
        raise DefinitionError(
            f"{where!r} is no condition: {error}", hint="such as \"account = 'A-1042'\""
        ) from error
    if not isinstance(chosen, pl.Expr):
        raise DefinitionError(
            f"where= is an expression of Polars or a condition in SQL, not {where!r}",
            hint="such as \"account = 'A-1042'\"",
        )
    return chosen


def _pack(
    bag: Path, log: SealedLog, packing: Packing, where: pl.Expr, text: str, purpose: str
) -> Sealed:
    address = _address(bag)
    source = SliceSource(log, address)
    readable = withheld = 0
    with packing.stream(RECORDS) as out:
        for lines, shown in _lines(bag / RECORDS, _places(source, where)):
            out.write(lines)
            readable += shown
            withheld += lines.count(b"\n") - shown
    copied = [SLICES, signing.TEXT, signing.SIGNATURE, signing.SIGNER]
    copied += [path.relative_to(bag).as_posix() for path in sorted((bag / SCHEMAS).rglob("*.json"))]
    for name in copied:
        if (bag / name).is_file():
            packing.write(name, (bag / name).read_bytes())
    statement = json.loads((bag / SLICES).read_bytes())["statement"]
    write_results(
        (batch.filter(where) for batch in source.batches()),
        source.schema,
        packing.place(RESULTS),
        title=f"Disclosed records of {', '.join(address.topics)}",
        facts=[f"Log {address.log_id}", f"Statement {statement}", f"Where {text}"],
    )
    add_query(
        packing,
        {"address": address.to_dict(), "salted": True, "disclosed": text, "matches": readable},
    )
    before = (bag / CUSTODY).read_bytes()
    line = custody_line(
        statement, before, action="disclosed", command=f"disclose where {text}", purpose=purpose
    )
    signature, _ = signing.check(packing.folder, statement)
    packing.finish(statement, before + line)
    gaps = gaps_of(bag)
    missing = sum(gaps.values())
    return Sealed(packing.path, statement, readable, missing, signature, withheld, gaps)


def _address(bag: Path) -> Address:
    """How the bag's records are decoded, and which they are."""
    try:
        query = json.loads((bag / QUERY).read_bytes())
        return Address.from_dict(query["address"]).unfiltered()
    except (OSError, ValueError, LookupError, TypeError, InvalidRange) as error:
        raise EvidenceError(
            f"{bag} does not say in {QUERY} how its records are decoded: {error}",
            hint="a bag that seal() has made does",
        ) from error


def _places(source: SliceSource, where: pl.Expr) -> Iterator[Place]:
    """Where the chosen records are, in order."""
    for batch in source.batches():
        for name in where.meta.root_names():
            if name not in batch.columns:
                raise DefinitionError(
                    f"the condition is about {name!r}, which is no column",
                    hint=did_you_mean(name, batch.columns),
                )
        numbered = batch.with_row_index(_ROW)
        try:
            found = numbered.filter(where)
            alone = numbered.filter(where.over(_ROW))
        except PolarsError as error:
            raise DefinitionError(
                f"the condition cannot be computed: {str(error).splitlines()[0]}",
                hint=f"there are the columns {', '.join(batch.columns)}",
            ) from error
        if not found[_ROW].equals(alone[_ROW]):
            raise DefinitionError(
                "the condition depends on other records than the one it judges, so that it would "
                "show what is about others",
                hint="such as \"account = 'A-1042'\"",
            )
        yield from found.select(pl.col("topic").cast(pl.String), "partition", "offset").iter_rows()


def _lines(path: Path, chosen: Iterator[Place]) -> Iterator[tuple[bytes, int]]:
    """Blocks of the copy's lines, each with how many records in it can be read."""
    next_one = next(chosen, None)
    for block in blocks(path):
        lines = []
        shown = 0
        for content in block.removesuffix(b"\n").split(b"\n"):
            line = content + b"\n"
            record = decode_line(line)
            if isinstance(record, Line) and record.salt is None:
                raise EvidenceError(
                    f"{path.parent.parent} was sealed without salts, so hashes would give away "
                    "what is withheld",
                    hint="seal with salted=True",
                )
            if (record.topic, record.partition, int(record.offset)) == next_one:
                lines.append(line)
                shown += 1
                next_one = next(chosen, None)
            else:
                lines.append(withhold(line))
        yield b"".join(lines), shown
