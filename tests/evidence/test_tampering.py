"""Every change of a bag is found, named, and found alike by both verifiers."""

from __future__ import annotations

import json
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.conftest import SOAK
from tests.evidence.support import edit_slices, lines, rehash, write_lines
from workbench.evidence import helpers
from workbench.evidence import verify as reference
from workbench.evidence.check import BagReport

Change = Callable[[Path], None]

RECORDS, SLICES = "data/records.jsonl", "data/slices.json"


def problems(bag: Path) -> list[str]:
    """What both verifiers say, which has to be the same."""
    found = wb.verify(bag)
    assert isinstance(found, BagReport)
    script = [
        str(reference_problem(*one))
        for one, _ in zip(reference.check(bag, {}), range(reference.MOST), strict=False)
    ]
    assert [str(problem) for problem in found.problems] == script
    assert found.ok == (not script)
    return script


def reference_problem(file: str, line: int | None, place: Any, message: str) -> str:
    where = [file, line and f"line {line}", place and "{} {}:{}".format(*place).rstrip(":")]
    return reference.shown(f"{', '.join(filter(None, where))}: {message}")


def run_script(bag: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """The script of the bag, as a stranger runs it: with no package but Python's own."""
    return subprocess.run(
        [sys.executable, "-I", "-S", bag / "verify.py", bag],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def records(change: Callable[[list[dict[str, Any]]], None]) -> Change:
    def apply(bag: Path) -> None:
        held = lines(bag)
        change(held)
        write_lines(bag, held)

    return apply


def slices(change: Callable[[dict[str, Any]], None]) -> Change:
    return lambda bag: edit_slices(bag, change)


def with_record(number: int, **fields: Any) -> Change:
    return records(lambda held: held[number].update(fields))


def swap(held: list[Any], one: int, two: int) -> None:
    held[one], held[two] = held[two], held[one]


def partition(said: dict[str, Any], number: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = said["partitions"][number]
    return found


def reseal_root(said: dict[str, Any]) -> None:
    partition(said)["root"] = "00" * 32


def move_gap(said: dict[str, Any]) -> None:
    partition(said)["gaps"][0].update(start="8", end="9")


def grow_gap(said: dict[str, Any]) -> None:
    partition(said)["gaps"][1].update(end="14")


def drop_gap(said: dict[str, Any]) -> None:
    del partition(said)["gaps"][0]


def split_gap(said: dict[str, Any]) -> None:
    gaps = partition(said)["gaps"]
    gaps[1:2] = [{**gaps[1], "end": "12"}, {**gaps[1], "start": "12"}]


#: A change, and what has to be named: a file, and where it is a record its place or line.
RECORD_CHANGES: dict[str, tuple[Change, str]] = {
    "a value": (with_record(0, value="AAAA"), f"{RECORDS}, line 1, orders 0:5:"),
    "a key": (with_record(1, key="QS0z"), f"{RECORDS}, line 2, orders 0:6:"),
    "a time": (with_record(3, timestamp_ms="0"), f"{RECORDS}, line 4, orders 0:9:"),
    "a kind of time": (with_record(0, timestamp_type="append"), f"{RECORDS}, line 1, orders 0:5:"),
    "empty for null, key": (with_record(3, key=""), f"{RECORDS}, line 4, orders 0:9:"),
    "null for empty, key": (with_record(2, key=None), f"{RECORDS}, line 3, orders 0:8:"),
    "empty for null, value": (with_record(4, value=""), f"{RECORDS}, line 5, orders 0:10:"),
    "null for empty, value": (with_record(2, value=None), f"{RECORDS}, line 3, orders 0:8:"),
    "order of headers": (
        records(lambda held: held[5]["headers"].reverse()),
        f"{RECORDS}, line 6, orders 0:13:",
    ),
    "a header's null": (
        records(lambda held: held[5]["headers"][1].__setitem__(1, "")),
        f"{RECORDS}, line 6, orders 0:13:",
    ),
    "a header more": (with_record(0, headers=[["x", None]]), f"{RECORDS}, line 1, orders 0:5:"),
    "a header less": (
        records(lambda held: held[5]["headers"].pop()),
        f"{RECORDS}, line 6, orders 0:13:",
    ),
    "a leaf": (with_record(0, leaf="00" * 32), f"{RECORDS}, line 1, orders 0:5:"),
    "a leaf in capitals": (
        records(lambda held: held[0].update(leaf=held[0]["leaf"].upper())),
        f"{RECORDS}, line 1, orders 0:5:",
    ),
    "a salt": (with_record(0, salt="A" * 43 + "="), f"{RECORDS}, line 1, orders 0:5:"),
    "a short salt": (with_record(0, salt="AAAA"), f"{RECORDS}, line 1:"),
    "another offset": (with_record(0, offset="4"), f"{RECORDS}, line 1, orders 0:4:"),
    "an offset with a zero": (with_record(0, offset="05"), f"{RECORDS}, line 1:"),
    "an offset with a space": (with_record(0, offset=" 5"), f"{RECORDS}, line 1:"),
    "an offset as a number": (with_record(0, offset=5), f"{RECORDS}, line 1:"),
    "an offset beyond 64 bits": (with_record(0, offset=str(2**63)), f"{RECORDS}, line 1:"),
    "another partition": (with_record(0, partition=1), f"{RECORDS}, line 1, orders 1:5:"),
    "an offset that is no number": (with_record(0, offset=math.inf), f"{RECORDS}, line 1:"),
    "a time that is no number": (with_record(0, timestamp_ms=-math.inf), f"{RECORDS}, line 1:"),
    "a partition that is true": (with_record(0, partition=False), f"{RECORDS}, line 1:"),
    "another topic": (with_record(0, topic="notes"), f"{RECORDS}, line 1:"),
    "another topic, amid others": (with_record(30, topic="notes"), f"{RECORDS}, line 31:"),
    "another partition, amid others": (
        with_record(30, partition=1),
        f"{RECORDS}, line 31, orders 1:21:",
    ),
    "a field more": (with_record(0, extra=1), f"{RECORDS}, line 1:"),
    "a field less": (records(lambda held: held[0].pop("salt")), f"{RECORDS}, line 1:"),
    "headers as text": (with_record(0, headers=""), f"{RECORDS}, line 1:"),
    "base64 with a space": (with_record(0, key="QS0x "), f"{RECORDS}, line 1:"),
    "a dropped record": (records(lambda held: held.pop(3)), f"{RECORDS}, line 4, orders 0:10:"),
    "the first record dropped": (
        records(lambda held: held.pop(0)),
        f"{RECORDS}, line 1, orders 0:6:",
    ),
    "the last record dropped": (records(lambda held: held.pop()), f"{RECORDS}, orders 2:39:"),
    "all records dropped": (records(lambda held: held.clear()), f"{RECORDS}, orders 0:5:"),
    "swapped records": (records(lambda held: swap(held, 1, 2)), f"{RECORDS}, line 2, orders 0:8:"),
    "swapped partitions": (
        records(lambda held: swap(held, 0, -1)),
        f"{RECORDS}, line 1, orders 2:39:",
    ),
    "an inserted record": (
        records(lambda held: held.insert(1, {**held[0], "offset": "7"})),
        f"{RECORDS}, line 2, orders 0:7:",
    ),
    "a record twice": (
        records(lambda held: held.insert(1, held[0])),
        f"{RECORDS}, line 2, orders 0:5:",
    ),
    "a record at the end": (
        records(lambda held: held.append({**held[-1], "offset": "40"})),
        f"{RECORDS}, line 50, orders 2:40:",
    ),
    "swapped contents": (
        records(lambda held: [held[0].update(value=held[1]["value"])]),
        f"{RECORDS}, line 1, orders 0:5:",
    ),
}

SLICE_CHANGES: dict[str, tuple[Change, str]] = {
    "a gap moved": (slices(move_gap), f"{RECORDS}, line 3, orders 0:8:"),
    "a gap grown over a record": (slices(grow_gap), f"{RECORDS}, line 6, orders 0:13:"),
    "a gap dropped": (slices(drop_gap), f"{RECORDS}, line 3, orders 0:8:"),
    "a gap in two": (slices(split_gap), f"{SLICES}:"),
    "another reason": (
        slices(lambda said: partition(said)["gaps"][0].update(reason="aborted")),
        f"{SLICES}:",
    ),
    "a reason that is none": (
        slices(lambda said: partition(said)["gaps"][0].update(reason="lost")),
        f"{SLICES}:",
    ),
    "gaps out of order": (slices(lambda said: partition(said)["gaps"].reverse()), f"{SLICES}:"),
    "a root": (slices(reseal_root), f"{SLICES}, orders 0:"),
    "an earlier start": (
        slices(lambda said: partition(said).update(start="4")),
        f"{RECORDS}, line 1, orders 0:5:",
    ),
    "a later end": (
        slices(lambda said: partition(said, -1).update(end="41")),
        f"{RECORDS}, orders 2:40:",
    ),
    "a huge range": (
        slices(lambda said: partition(said, -1).update(end=str(2**62))),
        f"{RECORDS}, orders 2:40:",
    ),
    "a start that is no number": (
        slices(lambda said: partition(said).update(start=math.inf)),
        f"{SLICES}:",
    ),
    "a count that is no number": (
        slices(lambda said: partition(said).update(records=math.nan)),
        f"{SLICES}, orders 0:",
    ),
    "a reversed range": (slices(lambda said: partition(said).update(end="3")), f"{SLICES}:"),
    "a count": (slices(lambda said: partition(said).update(records=8)), f"{SLICES}, orders 0:"),
    "a partition dropped": (slices(lambda said: said["partitions"].pop(0)), f"{RECORDS}, line 1:"),
    "a partition twice": (
        slices(lambda said: said["partitions"].insert(0, partition(said))),
        f"{SLICES}:",
    ),
    "partitions out of order": (slices(lambda said: said["partitions"].reverse()), f"{SLICES}:"),
    "another log": (slices(lambda said: said.update(log_id="x")), f"{RECORDS}, line 1, orders 0:5"),
    "another topic id": (
        slices(lambda said: partition(said).update(topic_id="x")),
        f"{RECORDS}, line 1, orders 0:5:",
    ),
    "another statement": (slices(lambda said: said.update(statement="00" * 32)), f"{SLICES}:"),
    "another version": (slices(lambda said: said.update(version=2)), f"{SLICES}:"),
    "no JSON": (lambda bag: (bag / SLICES).write_text("{"), f"{SLICES}:"),
    "nothing": (lambda bag: (bag / SLICES).write_text(""), f"{SLICES}:"),
    "an array within an array": (
        lambda bag: (bag / SLICES).write_text("[" * 100_000),
        f"{SLICES}:",
    ),
}


def change_text(name: str, before: str, after: str) -> Change:
    def apply(bag: Path) -> None:
        path = bag / name
        text = path.read_text(encoding="utf-8")
        assert before in text
        path.write_text(text.replace(before, after, 1), encoding="utf-8")

    return apply


def cut(name: str, size: int) -> Change:
    return lambda bag: (bag / name).write_bytes((bag / name).read_bytes()[:-size])


def add(name: str) -> Change:
    def apply(bag: Path) -> None:
        (bag / name).parent.mkdir(parents=True, exist_ok=True)
        (bag / name).write_text("more")

    return apply


def to_pipe(name: str) -> Change:
    def apply(bag: Path) -> None:
        (bag / name).unlink()
        os.mkfifo(bag / name)

    return apply


def to_symlink(name: str) -> Change:
    def apply(bag: Path) -> None:
        outside = bag.parent / "outside"
        shutil.move(bag / name, outside)
        (bag / name).symlink_to(outside)

    return apply


def outside_path(bag: Path) -> None:
    (bag.parent / "outside").write_text("")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    manifest = bag / "manifest-sha256.txt"
    manifest.write_text(manifest.read_text() + f"{empty}  data/../../outside\n")


def absolute_path(bag: Path) -> None:
    manifest = bag / "tagmanifest-sha256.txt"
    manifest.write_text(manifest.read_text() + f"{'00' * 32}  /etc/passwd\n")


def listed_twice(bag: Path) -> None:
    manifest = bag / "manifest-sha256.txt"
    manifest.write_text(manifest.read_text() + manifest.read_text().splitlines()[0] + "\n")


FILE_CHANGES: dict[str, tuple[Change, str]] = {
    "a file added": (add("data/results/more.csv"), "data/results/more.csv:"),
    "a tag file added": (add("README.txt"), "README.txt:"),
    "a result removed": (lambda bag: (bag / "data/query.json").unlink(), "'data/query.json'"),
    "a result changed": (cut("data/results/records.csv", 1), "data/results/records.csv:"),
    "a file that would hide what is said": (add("data/a\x1b[8m"), r"data/a\x1b[8m: is in no"),
    "a file that would say ok": (
        add("data/a\nok: 49 records"),
        r"data/a\nok: 49 records: is in no",
    ),
    "a file whose name is no text": (add("data/a\udcff"), r"data/a\udcff: is in no manifest"),
    "a pipe for the records": (to_pipe(RECORDS), RECORDS),
    "a pipe for the slices": (to_pipe(SLICES), SLICES),
    "a pipe for the statement": (to_pipe("bag-info.txt"), "bag-info.txt"),
    "the verifier changed": (change_text("verify.py", "raise ValueError", "pass"), "verify.py:"),
    "the records removed": (lambda bag: (bag / RECORDS).unlink(), f"{RECORDS}:"),
    "the slices removed": (lambda bag: (bag / SLICES).unlink(), f"{SLICES}:"),
    "the manifest removed": (
        lambda bag: (bag / "manifest-sha256.txt").unlink(),
        f"{RECORDS}: is in no manifest",
    ),
    "both manifests removed": (
        lambda bag: [(bag / name).unlink() for name in ("manifest-sha256.txt", reference.TAGS)],
        "tagmanifest-sha256.txt:",
    ),
    "the tags truncated": (cut("tagmanifest-sha256.txt", 1), "verify.py:"),
    "a line of the manifest cut": (cut("manifest-sha256.txt", 20), "manifest-sha256.txt"),
    "records truncated in a line": (cut(RECORDS, 50), f"{RECORDS}, line 49:"),
    "records truncated by the last byte": (cut(RECORDS, 1), f"{RECORDS}, line 49:"),
    "slices truncated": (cut(SLICES, 10), f"{SLICES}:"),
    "custody removed": (lambda bag: (bag / "custody.jsonl").unlink(), "custody.jsonl:"),
    "custody emptied": (lambda bag: (bag / "custody.jsonl").write_text(""), "custody.jsonl:"),
    "custody truncated": (cut("custody.jsonl", 1), "custody.jsonl, line 1:"),
    "another purpose": (change_text("custody.jsonl", "tests", "rests"), "custody.jsonl, line 1:"),
    "another link": (
        change_text("custody.jsonl", '"previous":""', '"previous":"00"'),
        "custody.jsonl, line 1:",
    ),
    "a statement in custody": (
        change_text("custody.jsonl", '"statement":"', '"statement":"0'),
        "custody.jsonl, line 1:",
    ),
    "a symbolic link": (to_symlink("LIMITS.md"), "LIMITS.md"),
    "records by a link": (to_symlink(RECORDS), RECORDS),
    "a folder by a link": (to_symlink("data/results"), "data/results:"),
    "a path outside": (outside_path, "data/../../outside"),
    "an absolute path": (absolute_path, "/etc/passwd"),
    "a file listed twice": (listed_twice, "manifest-sha256.txt, line 8:"),
    "the statement of the bag": (
        change_text("bag-info.txt", "Evidence-Statement: ", "Evidence-Statement: 0"),
        "bag-info.txt",
    ),
}


def named(cases: dict[str, tuple[Change, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("change", "name"), list(cases.values()), ids=list(cases))


def test_an_untouched_bag_is_as_it_was_sealed(bag: Path) -> None:
    assert problems(bag) == []
    done = run_script(bag)
    assert (done.returncode, done.stderr) == (0, "")
    assert "49 records (0 withheld) and 7 offsets in gaps" in done.stdout
    assert wb.verify(bag).statement in done.stdout


@pytest.mark.parametrize("hidden", [False, True], ids=["", "and manifests recomputed"])
@named(RECORD_CHANGES | SLICE_CHANGES)
def test_a_change_of_records_or_slices(bag: Path, change: Change, name: str, hidden: bool) -> None:
    change(bag)
    if hidden:
        rehash(bag)
    found = problems(bag)
    assert any(line.startswith(name) for line in found), found
    if hidden:
        assert not any("manifest" in line for line in found)
    else:
        assert any("manifest-sha256.txt has another hash" in line for line in found)


@named(FILE_CHANGES)
def test_a_change_of_files(bag: Path, change: Change, name: str) -> None:
    change(bag)
    found = problems(bag)
    assert any(name in line for line in found), found


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda bag: (bag / "bagit.txt").unlink(), "bagit.txt: is no plain file here"),
        # BagIt has names of any case, so that a reader may take this for the statement.
        (
            change_text("bag-info.txt", "Evidence-S", "evidence-statement: 00\nEvidence-S"),
            "or bag-info.txt does not",
        ),
    ],
    ids=["no bagit.txt", "two statements"],
)
def test_what_is_no_bag_though_its_manifests_are_right(
    bag: Path, change: Change, name: str
) -> None:
    change(bag)
    rehash(bag)
    [found] = problems(bag)
    assert name in found


def test_what_lies_beside_the_records_is_held_by_the_manifests_alone(bag: Path) -> None:
    """LIMITS.md says so; whoever has noted the hash of tagmanifest-sha256.txt finds it."""
    before = (bag / reference.TAGS).read_bytes()
    change_text("data/results/records.csv", "A-1", "A-2")(bag)
    assert problems(bag)
    rehash(bag)
    assert problems(bag) == []
    assert (bag / reference.TAGS).read_bytes() != before
    assert "`tagmanifest-sha256.txt`" in (bag / "LIMITS.md").read_text(encoding="utf-8")


def test_a_file_that_cannot_be_read(bag: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may read everything, so the system is made to refuse."""
    opened = Path.open

    def refused(self: Path, *args: Any, **options: Any) -> Any:
        if self.name == "query.json":
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **options)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(wb.WorkbenchError, match=r"query.json cannot be read.*Permission denied"):
        wb.verify(bag)


def test_the_script_says_in_a_line_what_cannot_be_read(bag: Path) -> None:
    refusing = """
import runpy, sys
from pathlib import Path
def refused(self, *args, **options):
    raise PermissionError(13, "Permission denied", str(self))
Path.open = refused
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""
    command = [sys.executable, "-I", "-c", refusing, bag / "verify.py", bag]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (line,) = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (1, "")
    assert line.startswith("nothing can be said: PermissionError [Errno 13] Permission denied")


def test_an_empty_folder_is_no_bag_and_a_half_one_does_not_verify(bag: Path) -> None:
    for path in bag.iterdir():
        if path.name != "custody.jsonl":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert problems(bag)
    (bag / "custody.jsonl").unlink()
    with pytest.raises(wb.WorkbenchError, match="no log is in it"):
        wb.verify(bag)


def test_a_line_with_a_field_twice_is_no_record(bag: Path) -> None:
    """One reader would take the first value, another the last."""
    change_text(RECORDS, '"offset":"5"', '"offset":"4","offset":"5"')(bag)
    rehash(bag)
    assert any(line.startswith(f"{RECORDS}, line 1:") for line in problems(bag))


def test_another_layout_of_the_same_records_is_the_same(bag: Path) -> None:
    """Fields in another order, with spaces: the same records, if the manifests say so."""
    held = lines(bag)
    text = "".join(f"{json.dumps(dict(reversed(r.items())))}\n" for r in held)
    (bag / RECORDS).write_text(text, encoding="utf-8")
    rehash(bag)
    assert problems(bag) == []


def test_whoever_makes_everything_anew_cannot_keep_the_statement(
    source: wb.Log, sealed: Path, tmp_path: Path
) -> None:
    part = source.stream("orders").between({0: 5, 2: 0}, {0: 21, 2: 39})
    other = part.seal(tmp_path / "other", purpose="tests")
    assert problems(tmp_path / "other") == []
    assert other.statement != wb.verify(sealed).statement


@pytest.mark.parametrize("fields", [{"topic": "notes"}, {"partition": 1}])
def test_a_record_that_is_said_to_be_of_another_partition(
    source: wb.Log, tmp_path: Path, fields: dict[str, Any]
) -> None:
    """Its leaf is that of its true place, and all about it are of one partition."""
    source.stream("orders").between({2: 0}, {2: 40}).seal(tmp_path / "bag", purpose="tests")
    with_record(20, **fields)(tmp_path / "bag")
    rehash(tmp_path / "bag")
    assert any(line.startswith(f"{RECORDS}, line 21") for line in problems(tmp_path / "bag"))


#: What helpers have to leave to who asks them: in the first part, amid others, in the last, order.
_HELPED = ["a value", "another topic, amid others", "the last record dropped", "swapped records"]


@pytest.mark.parametrize("name", ["nothing", *_HELPED])
def test_helpers_see_the_same(bag: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Large files are judged by other processes too, in parts."""
    monkeypatch.setattr(helpers, "LEAST_BYTES", 0)
    monkeypatch.setattr(helpers, "PART_BYTES", 1 << 11)
    told: list[Any] = []
    done = helpers._done
    monkeypatch.setattr(
        helpers, "_done", lambda part, asked: told.append(one := done(part, asked)) or one
    )
    if name in RECORD_CHANGES:
        RECORD_CHANGES[name][0](bag)
        rehash(bag)
    assert bool(problems(bag)) == (name in RECORD_CHANGES)
    assert any(runs for _, runs in told)
    assert len(told) > 2


def end(*told: Any) -> None:
    """What a process does that the system ends, for want of memory or otherwise."""
    os._exit(1)


def test_a_helper_that_is_killed_is_not_missed(bag: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helpers, "LEAST_BYTES", 0)
    monkeypatch.setattr(helpers, "PART_BYTES", 1 << 11)
    monkeypatch.setattr(helpers, "judge_part", end)
    assert problems(bag) == []


def is_deaf(*told: Any) -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_an_interrupt_is_for_who_asks(bag: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each helper that an interrupt finds at its beginning says where it was."""
    monkeypatch.setattr(helpers, "LEAST_BYTES", 0)
    monkeypatch.setattr(helpers, "judge_part", is_deaf)
    assert [told for _, told in helpers.judged(bag / RECORDS, {})] == [True]
    assert not is_deaf()


def test_a_script_in_another_process_agrees(bag: Path) -> None:
    change, name = RECORD_CHANGES["a value"]
    change(bag)
    done = run_script(bag)
    assert done.returncode == 1
    assert any(line.startswith(name) for line in done.stdout.splitlines())
    assert done.stdout.splitlines()[:-1] == problems(bag)


def test_the_script_stands_alone_and_is_short(bag: Path) -> None:
    text = (bag / "verify.py").read_text(encoding="utf-8")
    assert text == Path(reference.__file__).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert "workbench" not in text


@pytest.mark.parametrize("content", [b"[", b'"'])
def test_a_bomb_of_a_line_is_told_in_bounded_memory(bag: Path, content: bytes) -> None:
    size = reference.LIMIT + (8 << 20)
    with (bag / RECORDS).open("ab") as file:
        for _ in range(size >> 20):
            file.write(content * (1 << 20))
    limit = 4 * reference.LIMIT
    done = run_script(
        bag, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    )
    assert done.returncode == 1, done.stderr
    assert f"{RECORDS}, line 50: is cut off, too long" in done.stdout
    assert f"{RECORDS}, line 50: is cut off, too long" in str(wb.verify(bag))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (RECORDS, b"[]," * 10_000_000),
        (SLICES, b"[]," * 10_000_000),
        ("bag-info.txt", b"Evidence-More: 1\n" * 3_000_000),
    ],
    ids=["a line of lists", "facts of lists", "statements"],
)
def test_a_bomb_of_json_or_of_statements(bag: Path, name: str, content: bytes) -> None:
    """What grows when it is read is refused, or is no record where memory does not suffice."""
    with (bag / name).open("ab") as file:
        file.write(b"[" + content + b"0]\n" if name.startswith("data/") else content)
    limit = 3 * reference.LIMIT
    done = run_script(
        bag, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert name in done.stdout
    assert done.stdout.endswith("NOT as it was sealed\n")


def test_random_changes_of_single_bytes(bag: Path) -> None:
    """Any byte of any file: half by file, so that the small ones have their turn, half by size."""
    files = sorted(path for path in bag.rglob("*") if path.is_file())
    sizes = [path.stat().st_size for path in files]
    dice = random.Random(7)
    missed = []
    for _ in range(1_000 if SOAK else 200):
        path = dice.choice(files) if dice.random() < 0.5 else dice.choices(files, sizes)[0]
        before = path.read_bytes()
        at = dice.randrange(len(before))
        changed = bytearray(before)
        changed[at] ^= dice.randrange(1, 256)
        path.write_bytes(changed)
        name = path.relative_to(bag).as_posix()
        if not any(name in line for line in problems(bag)):
            missed.append((name, at, before[at], changed[at]))
        path.write_bytes(before)
    assert missed == []
    assert problems(bag) == []
