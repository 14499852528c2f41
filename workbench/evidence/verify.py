"""Check a sealed bag of records with Python's standard library alone:  python verify.py [BAG]

Every hash is computed anew.  A copy of this script that you hold yourself is better evidence than
the one in the bag.  Exits with 0 when all is as it was sealed, and with 1 when something is not.
"""
import base64, hashlib, io, itertools, json, pathlib, struct, sys
LIMIT, MOST = 1 << 27, 100  # bytes that a line may have, problems that are told
WITHHELD = {"topic", "partition", "offset", "leaf"}
RECORD = WITHHELD.union("timestamp_ms timestamp_type key value headers leader_epoch salt".split())
KINDS = {"create": 0, "append": 1, "none": -1}
REASONS = {"control", "aborted", "compacted", "expired", "unexplained"}
TAGS, PAYLOAD, CUSTODY = "tagmanifest-sha256.txt", "manifest-sha256.txt", "custody.jsonl"
RECORDS, SLICES, INFO = "data/records.jsonl", "data/slices.json", "bag-info.txt"
sha256, pack, chain = hashlib.sha256, struct.pack, itertools.chain.from_iterable
def must(truth):
    if not truth:
        raise ValueError
def lp(data):  # the length, then the bytes; -1 alone is null
    data = data.encode() if isinstance(data, str) else data
    return pack(">i", -1) if data is None else pack(">i", len(data)) + data
def number(text):
    must(isinstance(text, str) and text == str(int(text)))
    return int(text)
def data_of(text):  # base64
    return lp(None if text is None else base64.b64decode(text, validate=True))
def once(pairs):  # an object of JSON; of two fields with one name, nobody knows which is meant
    must(len(dict(pairs)) == len(pairs))
    return dict(pairs)
def shown(text):  # a name that hides, or looks like, what is said about it is shown for what it is
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
def lines_of(path):  # with their numbers; one that is too long comes in pieces that do not end
    with path.open("rb") if path.is_file() else io.BytesIO() as file:
        yield from enumerate(iter(lambda: file.readline(LIMIT), b""), 1)

def grow(stack, node, size=1):  # the tree of RFC 9162: two subtrees of one size become one
    while stack and stack[-1][0] == size:
        node, size = sha256(b"\x01" + stack.pop()[1] + node).digest(), size * 2
    stack.append((size, node))
def root_of(stack):
    root = stack[-1][1] if stack else sha256().digest()
    for _, left in reversed(stack[:-1]):
        root = sha256(b"\x01" + left + root).digest()
    return root

class Partition:  # what slices.json says of one, and what has been seen of it
    def __init__(self, log_id, said):
        gaps = [(number(gap["start"]), number(gap["end"]), gap["reason"]) for gap in said["gaps"]]
        edges = [number(said["start"]), *(e for gap in gaps for e in gap[:2]), number(said["end"])]
        must([0, *edges] == sorted([0, *edges]) and all(a < b and r in REASONS for a, b, r in gaps))
        self.expected = chain(map(range, edges[::2], edges[1::2]))
        self.claims, self.stack = (said["records"], said["root"]), []
        names = [lp(name + "") for name in (log_id, said["topic_id"], said["topic"])]
        self.name = b"".join([*names, pack(">i", said["partition"])])
        self.gaps = [pack(">qq", *gap[:2]) + lp(gap[2]) for gap in gaps]
        self.range, self.records, self.withheld = pack(">qq", edges[0], edges[-1]), 0, 0
        self.missing = sum(b - a for a, b, _ in gaps)

def leaf_of(line, name):
    if line.keys() == WITHHELD:
        return bytes.fromhex(line["leaf"])
    salt, headers, kind = line["salt"], line["headers"], KINDS[line["timestamp_type"]]
    must(line.keys() == RECORD and type(headers) is list and (salt is None or len(salt) == 44))
    parts = [b"\0", data_of(salt), b"evidence-record/v1\0", name,
             pack(">qbq", number(line["offset"]), kind, number(line["timestamp_ms"])),
             data_of(line["key"]), data_of(line["value"]), pack(">I", len(headers))]
    parts += [lp(header + "") + data_of(value) for header, value in headers]
    return sha256(b"".join(parts)).digest()

def check_files(bag):  # each is a plain file and named once in its manifest, with its hash
    files = {path.relative_to(bag).as_posix(): path for path in bag.rglob("*")
             if path.is_symlink() or not path.is_dir()}
    plain = {name for name in files if files[name].is_file() and not files[name].is_symlink()}
    listed, needed = {TAGS, CUSTODY}, {TAGS, CUSTODY, RECORDS, SLICES, INFO, "bagit.txt"}
    for manifest in sorted({TAGS, PAYLOAD} & plain, reverse=True):
        for count, line in lines_of(bag / manifest):
            name = line[66:-1].decode(errors="replace")
            if name not in plain - listed or name.startswith("data/") != (manifest == PAYLOAD):
                yield manifest, count, None, f"names {name!r}: no plain file of its own, or twice"
                continue
            listed.add(name)
            with files[name].open("rb") as file:
                if line != f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n".encode():
                    yield name, None, None, f"has changed: {manifest} has another hash"
    for name in sorted((files.keys() - listed) | (needed - plain)):
        yield name, None, None, "is in no manifest" if name in plain else "is no plain file here"

def check_records(bag, parts, lines=lines_of):
    places = ((*key, offset) for key, part in parts.items() for offset in part.expected)
    for count, text in lines(bag / RECORDS):
        try:
            line = json.loads(text if text.endswith(b"\n") else "", object_pairs_hook=once)
            place = line["topic"], line["partition"], number(line["offset"])
            part, leaf = parts[place[:2]], leaf_of(line, parts[place[:2]].name)
            must(type(place[1]) is int and len(leaf) == 32)
        except Exception:  # of whatever kind
            yield RECORDS, count, None, "is cut off, too long, or no record of these slices"
            continue
        if leaf.hex() != line["leaf"]:
            yield RECORDS, count, place, "does not match its leaf: it has changed"
        if places and next(places, None) != place:
            yield RECORDS, count, place, "is not the record that should come here"
            places = None  # said once: what follows is out of place too
        part.records, part.withheld = part.records + 1, part.withheld + (line.keys() == WITHHELD)
        grow(part.stack, leaf)

def check(bag, facts, files=check_files, walk=check_records):  # file, line, place, message
    yield from files(bag)
    stack, before = [], ""
    try:
        for name, most in ((SLICES, LIMIT), (INFO, LIMIT >> 8)):
            must((bag / name).is_file() and (bag / name).stat().st_size < most)
        said = json.loads((bag / SLICES).read_bytes(), object_pairs_hook=once)
        parts = {(part["topic"], part["partition"]): Partition(said["log_id"], part)
                 for part in said["partitions"]}
        must([said["version"], len(said["partitions"]), *parts] == [1, len(parts), *sorted(parts)])
        yield from walk(bag, parts)
        told = [t.split() for _, t in lines_of(bag / INFO) if t.lower().startswith(b"evidence-")]
    except Exception:  # of whatever kind
        yield SLICES, None, None, f"is missing, or not what the format says; or {INFO} is"
        return
    for key, part in parts.items():
        root, counts = root_of(part.stack), pack(">QI", part.records, len(part.gaps))
        if (part.records, root.hex()) != part.claims:
            yield SLICES, None, (*key, ""), "gives another count of records, or another root"
        if (missing := next(part.expected, None)) is not None:
            yield RECORDS, None, (*key, missing), "is neither a record nor in a gap"
        content = [b"evidence-slice/v1\0", part.name, part.range, counts, *part.gaps, root]
        grow(stack, sha256(b"\0" + lp(None) + sha256(b"".join(content)).digest()).digest())
    statement = root_of(stack).hex()
    if (said.get("statement"), told) != (statement, [[b"Evidence-Statement:", statement.encode()]]):
        yield SLICES, None, None, f"does not give the statement {statement}, or {INFO} does not"
    for count, line in lines_of(bag / CUSTODY):
        start = f'{{"statement":"{statement}","previous":"{before}",'.encode()
        content, before = line[:-76], sha256(line[:-76]).hexdigest()
        if not line.startswith(start) or line != content + f',"hash":"{before}"}}\n'.encode():
            yield CUSTODY, count, None, "is not the line that was written here"
    if not before:
        yield CUSTODY, None, None, "is empty"
    facts.update({name: sum(getattr(part, name) for part in parts.values())
                  for name in ("records", "withheld", "missing")}, statement=statement)

if __name__ == "__main__":
    sys.excepthook = lambda kind, error, _: print(f"nothing can be said: {kind.__name__} {error}")
    told, facts, bag = 0, {}, pathlib.Path(*sys.argv[1:] or [pathlib.Path(__file__).parent])
    for told, (file, line, place, message) in zip(range(1, MOST + 1), check(bag, facts)):
        where = [file, line and f"line {line}", place and "{} {}:{}".format(*place).rstrip(":")]
        print(shown(f"{', '.join(filter(None, where))}: {message}"))
    print("NOT as it was sealed" if told else "ok: {records:,} records ({withheld:,} withheld) and "
          "{missing:,} offsets in gaps, with reasons\nstatement {statement}".format(**facts))
    sys.exit(bool(told))
