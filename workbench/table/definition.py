"""Check a table's aggregates node by node, and take them apart into nodes and a finaliser.

An aggregate is `finalise(aggregate(row-wise [.filter(row-wise)]))`.  Polars writes an expression
as a tree of JSON; each aggregate in it becomes a `Node`, and what is left around them, with a
column in the place of each, is the finaliser.  Everything that has no known way to merge is
refused here, when the table is defined, with the expression and the reason.
"""

from __future__ import annotations

import io
import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from workbench.errors import DefinitionError, did_you_mean
from workbench.table.nodes import Count, Distinct, Extreme, Mean, Node, Pick, Picked, Spread, Sum

#: Columns of a frame that no aggregate sees: they are about records that do not count.
HIDDEN = frozenset({"decode_error", "_rest"})

#: Columns that tables add to records and rows; a field of such a name cannot be told from them.
OWN_MARKS = frozenset({"_at", "_lane", "_counts"})
OWN_NAMES = OWN_MARKS | {"_row", "_fresh", "_life", "_grave", "_key", "_new", "_old", "_change"}
OWN_PATTERN = re.compile(r"__(\d+|pick\d+|oldest|newest)\b|_rank\d+|_grave\.")

#: Where an expression keeps the expressions it is made of.  Any other kind is refused.
CHILDREN: dict[str, tuple[str | int, ...]] = {
    "Column": (),
    "Literal": (),
    "Function": ("input",),
    "BinaryExpr": ("left", "right"),
    "Cast": ("expr",),
    "Ternary": ("predicate", "truthy", "falsy"),
    "Filter": ("input", "by"),
    "Explode": ("input",),
    "Alias": (0,),
    "RenameAlias": ("expr",),
}
OFFERED = "offered are sum, len, count, min, max, mean, var, std, first, last and n_unique"
WHY = {
    "Over": "a window looks at other rows",
    "Rolling": "a window looks at other rows",
    "Sort": "an order over all rows cannot be joined from parts; first and last go by time",
    "SortBy": "an order over all rows cannot be joined from parts; first and last go by time",
    "Gather": "it picks rows by their place among all rows",
    "Slice": "it picks rows by their place among all rows",
    "Eval": "it evaluates an expression inside of lists; use the list functions that have a name",
    "StructEval": "it evaluates an expression inside of structs; use struct.field",
    "Selector": "it stands for several columns; name one",
    "Median": "a median cannot be joined from the medians of parts",
    "Quantile": "a quantile cannot be joined from the quantiles of parts",
    "Implode": "it would keep every value",
    "Product": "it overflows or rounds without a trace",
}
_FUNCTION = '{"AnonymousFunction":'  # in the JSON of an expression
_CALLS = "it calls a Python function; fold(…) can"


@dataclass(frozen=True)
class Definition:
    """What a table computes: nodes and picks that merge, and a finaliser per aggregate.

    The finalisers are expressions over columns named as the nodes are.
    """

    by: tuple[str, ...]
    nodes: tuple[Node, ...]
    picks: tuple[Pick, ...]
    finalisers: Mapping[str, pl.Expr]
    columns: tuple[str, ...]

    @property
    def deletes(self) -> bool:
        """Whether a tombstone deletes a row: where the record key alone is the key."""
        return self.by == ("key",)


def check_by(by: str | Sequence[str], schema: Mapping[str, pl.DataType]) -> tuple[str, ...]:
    """The key columns as a tuple.  Raises DefinitionError for a column that cannot be one."""
    names = (by,) if isinstance(by, str) else tuple(by)
    if not names or len(set(names)) != len(names):
        raise DefinitionError(f"by= needs one or more different columns, not {list(names)}")
    for name in names:
        check_column(name, schema, "by=")
        if name in OWN_NAMES or OWN_PATTERN.match(name):
            raise own_name(name)
        if schema[name].is_nested():
            raise DefinitionError(f"by={name!r} is a {schema[name]}, which cannot be a key")
    return names


def check_column(name: str, schema: Mapping[str, pl.DataType], where: str) -> None:
    """Raise DefinitionError, with near matches, for a column that is not there."""
    known = [column for column in schema if column not in HIDDEN]
    if name not in known:
        raise DefinitionError(f"{where}: no column {name!r}", hint=did_you_mean(name, known))


def check_fields(schema: Mapping[str, pl.DataType]) -> None:
    """Raise DefinitionError for a field that is named as what tables add to records."""
    for name in sorted(OWN_MARKS.intersection(schema)):
        raise own_name(name)


def own_name(name: str) -> DefinitionError:
    """Of a column that a table cannot tell from one of its own."""
    return DefinitionError(
        f"{name!r} is a name that tables use themselves",
        hint="read the topic with a schema= without it, or with decode= a function that renames it",
    )


def define(
    by: tuple[str, ...],
    aggregates: Mapping[str, pl.Expr],
    schema: Mapping[str, pl.DataType],
) -> Definition:
    """Take aggregates apart.  Raises DefinitionError for what cannot be merged or computed."""
    parser = _Parser(schema)
    finalisers: dict[str, pl.Expr] = {}
    for name, expr in aggregates.items():
        if name in by:
            raise DefinitionError(f"{name!r} is a key and an aggregate", hint="name one anew")
        finalisers[name] = parser.take_apart(name, expr)
    picks = list(parser.picks.values())
    if by == ("key",):
        # How old and how new the records of a row are tells what a tombstone does to it.
        picks += [Pick("__oldest", newest=False), Pick("__newest", newest=True)]
    if picks:
        parser.columns["offset"] = None
    return Definition(
        by=by,
        nodes=tuple(parser.nodes.values()),
        picks=tuple(picks),
        finalisers=finalisers,
        columns=tuple(dict.fromkeys([*by, *parser.columns])),
    )


class _Parser:
    """Nodes and picks of one definition; equal ones are kept once."""

    def __init__(self, schema: Mapping[str, pl.DataType]) -> None:
        self.schema = {n: t for n, t in schema.items() if n not in HIDDEN}
        self.nodes: dict[str, Node] = {}
        self.picks: dict[str, Pick] = {}
        self.columns: dict[str, None] = {}
        self._aggregate = ""

    def take_apart(self, name: str, expr: pl.Expr) -> pl.Expr:
        """The finaliser of one aggregate."""
        self._aggregate = name
        if not isinstance(expr, pl.Expr):
            raise DefinitionError(f"{name}: {expr!r} is not a Polars expression")
        tree = self._finaliser(self._tree(expr))
        final = _expr(tree)
        if not final.meta.root_names():
            raise self._refusal(expr, "it aggregates nothing")
        return final.alias(name)

    def _tree(self, expr: pl.Expr) -> Any:
        """The expression as JSON; not what JSON does not hold."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Polars warns that map_elements is slow
                text = expr.meta.serialize(format="json")
            if _FUNCTION in text:
                raise self._refusal(expr, _CALLS)
            same = _expr(json.loads(text)).meta.eq(expr)
        except (PolarsError, ModuleNotFoundError) as error:  # as without cloudpickle
            if "python" in str(error).lower() or "pickle" in str(error).lower():
                raise self._refusal(expr, _CALLS) from error
            raise self._refusal(expr, "it holds a literal such as NaN or inf") from error
        if not same:
            raise self._refusal(expr, "Polars cannot write it down")
        return json.loads(text)

    def _finaliser(self, tree: Any) -> Any:
        """The tree with a column in the place of each aggregate; all the rest is row-wise."""
        if tree == "Len":
            # Every record that is aggregated has this mark.
            return self._register(tree, Count, pl.col("_counts"))
        kind, body = _kind(tree)
        if kind == "Agg":
            return self._aggregated(tree, body)
        if kind == "Column":
            raise self._refusal(tree, "it is a column outside of an aggregate")
        if kind in ("Filter", "Explode"):
            raise self._refusal(tree, "filter inside of the aggregate: pl.col(…).filter(…).len()")
        return self._row_wise(tree, self._finaliser)

    def _row_wise(self, tree: Any, descend: Callable[[Any], Any]) -> Any:
        """The tree with its parts replaced by `descend`, after checking that it is row-wise."""
        kind, body = _kind(tree)
        if kind not in CHILDREN:
            raise self._refusal(tree, WHY.get(kind, f"{kind.lower()} is not offered; {OFFERED}"))
        if kind == "Function" and not _is_row_wise(body):
            raise self._refusal(tree, WHY.get(_name(body), f"it depends on other rows; {OFFERED}"))
        if not CHILDREN[kind]:
            return tree
        new: Any = list(body) if isinstance(body, list) else dict(body)
        for child in CHILDREN[kind]:
            part = new[child]
            new[child] = [descend(p) for p in part] if isinstance(part, list) else descend(part)
        return {kind: new}

    def _input(self, tree: Any) -> Any:
        """Check what goes into an aggregate: row-wise, of known columns, not aggregated."""
        if tree == "Len" or _kind(tree)[0] == "Agg":
            raise self._refusal(tree, "it is an aggregate inside of an aggregate")
        kind, body = _kind(tree)
        if kind == "Column":
            check_column(body, self.schema, self._aggregate)
            if body in OWN_NAMES:
                raise own_name(body)
            self.columns[body] = None
        return self._row_wise(tree, self._input)

    def _aggregated(self, tree: Any, agg: Mapping[str, Any]) -> Any:
        ((kind, body),) = agg.items()
        ddof = 1
        if kind in ("Var", "Std"):
            body, ddof = body
        inner = body["input"] if isinstance(body, dict) and "input" in body else body
        match kind:
            case "First" | "Last" | "FirstNonNull" | "LastNonNull":
                return self._picked(tree, kind, inner)
            case "Sum" | "Mean" | "Var" | "Std":
                dtype = self._dtype(tree, inner)
                durable = dtype == pl.Duration and kind in ("Sum", "Mean")
                if not (dtype.is_numeric() or dtype == pl.Boolean or durable):
                    raise self._refusal(tree, f"there is no {kind.lower()} of {dtype}")
                if dtype == pl.UInt128:
                    raise self._refusal(tree, "it may overflow; cast it to Int128 or Decimal")
                if kind == "Sum":
                    return self._node(tree, inner, Sum, dtype)
                if kind == "Mean":
                    return self._node(tree, inner, Mean, dtype)
                return self._node(tree, inner, Spread, ddof, kind == "Std")
            case "Count":
                return self._node(tree, inner, Count, body["include_nulls"])
            case "Min" | "Max":
                dtype = self._dtype(tree, inner)
                if dtype.is_nested():
                    raise self._refusal(tree, f"there is no {kind.lower()} of {dtype}")
                method = f"nan_{kind.lower()}" if body["propagate_nans"] else kind.lower()
                return self._node(tree, inner, Extreme, method)
            case "NUnique":
                return self._node(tree, inner, Distinct)
        raise self._refusal(tree, WHY.get(kind, f"{kind.lower()} is not offered; {OFFERED}"))

    def _node(self, tree: Any, inner: Any, make: type[Node], *options: Any) -> Any:
        """Register a node over a checked input, and give the column that stands for it."""
        self._dtype(tree, inner)
        return self._register(tree, make, _expr(inner), *options)

    def _register(self, tree: Any, make: type[Node], *options: Any) -> Any:
        text = json.dumps(tree, sort_keys=True)
        if text not in self.nodes:
            self.nodes[text] = make(f"__{len(self.nodes)}", *options)
        return {"Column": self.nodes[text].name}

    def _picked(self, tree: Any, kind: str, inner: Any) -> Any:
        """A node of `first` or `last`: the filters around its value say which record is meant."""
        self._dtype(tree, inner)
        wheres: list[pl.Expr] = []
        while True:
            if kind.endswith("NonNull"):
                wheres.append(_expr(inner).is_not_null())
                kind = kind.removesuffix("NonNull")
            elif "Filter" in inner:
                wheres.append(_expr(inner["Filter"]["by"]))
                inner = inner["Filter"]["input"]
            elif "Function" in inner and inner["Function"]["function"] == "DropNulls":
                inner = inner["Function"]["input"][0]
                wheres.append(_expr(inner).is_not_null())
            else:
                break
        if not _expr(inner).meta.is_length_preserving():
            raise self._refusal(tree, "filter last: value.filter(…).last()")
        where = reduce(and_, wheres) if wheres else None
        token = kind if where is None else kind + where.meta.serialize(format="json")
        pick = self.picks.setdefault(
            token, Pick(f"__pick{len(self.picks)}", newest=kind == "Last", where=where)
        )
        return self._node(tree, inner, Picked, pick.name)

    def _dtype(self, tree: Any, inner: Any) -> pl.DataType:
        """The type of an aggregate's input, which is checked on the way."""
        expr = _expr(self._input(inner))
        if not expr.meta.root_names():
            raise self._refusal(tree, "it reads no column; count records with pl.len()")
        try:
            (dtype,) = pl.LazyFrame(schema=self.schema).select(expr).collect_schema().dtypes()
        except PolarsError as error:
            raise self._refusal(tree, str(error).splitlines()[0]) from error
        return dtype

    def _refusal(self, expr: Any, why: str) -> DefinitionError:
        if not isinstance(expr, pl.Expr):
            expr = _expr(expr)
        return DefinitionError(f"{self._aggregate}: {expr} cannot be computed: {why}")


def _kind(tree: Any) -> tuple[str, Any]:
    if isinstance(tree, str):
        return tree, None
    ((kind, body),) = tree.items()
    return kind, body


def _name(function: Mapping[str, Any]) -> str:
    kind = function["function"]
    return kind if isinstance(kind, str) else next(iter(kind))


def _expr(tree: Any) -> pl.Expr:
    return pl.Expr.deserialize(io.StringIO(json.dumps(tree)), format="json")


def _is_row_wise(function: Mapping[str, Any]) -> bool:
    """Whether a function by itself is: columns stand in for what it is applied to."""
    inputs = [part if "Literal" in part else {"Column": "x"} for part in function["input"]]
    try:
        return _expr({"Function": {**function, "input": inputs}}).meta.is_row_separable()
    except PolarsError:
        return False
