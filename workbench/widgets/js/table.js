// A table of any length: only the rows in sight are here, and the kernel knows the rest.

import { cell, chooses, grid, nothing, scroll as scrolls } from "./grid.js";
import { Link, button, node, pauseButton, perFrame, toolbar } from "./link.js";

const ROW = 24;
const SPARE = 20;
const count = new Intl.NumberFormat("en");

export function render({ model, el }) {
  let body = {};
  let before = new Map();
  let pause = null;

  const search = node("input", { type: "search", placeholder: "search", "aria-label": "Search", "data-lm-suppress-shortcuts": "true" });
  const where = node("input", { type: "text", size: "26", placeholder: "condition, e.g. balance > 100", "aria-label": "Condition in SQL", "data-lm-suppress-shortcuts": "true" });
  let due = null;
  const look = () => {
    clearTimeout(due);
    due = setTimeout(() => {
      scroll.scrollTop = 0;
      link.do("look", { search: search.value, where: where.value });
    }, 150);
  };
  search.addEventListener("input", look);
  where.addEventListener("change", look);
  where.addEventListener("keydown", (event) => event.key === "Enter" && look());
  const facts = node("div", { class: "wb-facts" });
  const top = node("tr", { "aria-hidden": "true" });
  const bottom = node("tr", { "aria-hidden": "true" });
  const head = node("tr");
  const lines = node("tbody");
  const table = node("table", { class: "wb-rows" }, node("thead", {}, head), lines);
  const scroll = scrolls("Rows", table);
  const why = node("div", { class: "wb-why", hidden: "" });

  const ask = perFrame(() => {
    const first = Math.max(Math.floor(scroll.scrollTop / ROW) - SPARE, 0);
    const wanted = Math.ceil(scroll.clientHeight / ROW) + 2 * SPARE;
    if (first === body.first && body.rows.length >= Math.min(wanted, body.height - first)) return;
    link.do("rows", { first, count: wanted });
  });
  scroll.addEventListener("scroll", ask);

  function drawHead() {
    head.replaceChildren(
      ...body.columns.map(({ name, number }) => {
        const sorted = body.sorted === name;
        const arrow = sorted ? (body.descending ? " ▾" : " ▴") : "";
        const sort = node("button", { type: "button", class: "wb-sort", "data-lm-suppress-shortcuts": "true" }, name + arrow);
        sort.addEventListener("click", () => link.do("sort", { column: name }));
        return node(
          "th",
          { scope: "col", "aria-sort": sorted ? (body.descending ? "descending" : "ascending") : "none", ...(number && { class: "wb-number" }) },
          sort,
        );
      }),
    );
  }

  function draw(flash) {
    const { columns, rows, first, height, numbers } = body;
    const keyed = columns.map(({ name }) => body.by.includes(name));
    const now = new Map();
    const made = rows.map((row, n) => {
      const key = JSON.stringify(row.filter((_, i) => keyed[i]));
      now.set(key, row);
      const old = flash ? before.get(key) : null;
      const line = node("tr", {}, ...row.map((value, i) => cell("td", value, columns[i].number)));
      line.dataset.key = key;
      if (old) row.forEach((value, i) => value !== old[i] && line.children[i].classList.add("wb-changed"));
      if (body.explains) chooses(line, () => link.do("explain", { row: numbers[n], moment: body.moment }));
      return line;
    });
    before = now;
    top.style.height = `${first * ROW}px`;
    bottom.style.height = `${Math.max(height - first - rows.length, 0) * ROW}px`;
    const empty = body.total ? "no row is what was asked for" : "no rows yet";
    const focused = lines.querySelector("tr:focus")?.dataset.key;
    lines.replaceChildren(top, ...(height ? made : [nothing(columns.length, empty)]), bottom);
    made.find((line) => line.dataset.key === focused)?.focus({ preventScroll: true });
    table.setAttribute("aria-rowcount", String(height));
    const rowsText = height === body.total ? count.format(height) : `${count.format(height)} of ${count.format(body.total)}`;
    const position = body.position === body.as_of ? "" : `${body.position} · `;
    facts.textContent = `${rowsText} rows · as of ${body.as_of} · ${position}${body.counts}`;
    facts.title = facts.textContent;
  }

  function drawWhy({ key, columns, rows, total }) {
    const cut = total > rows.length ? `, the newest ${count.format(rows.length)}` : "";
    const close = button("Close", "close", () => (why.hidden = true));
    why.hidden = false;
    why.replaceChildren(
      toolbar("Events", node("strong", {}, `${count.format(total)} events made the row of ${key}${cut}`), node("span", { class: "wb-grow" }), close),
      scrolls(`Events of ${key}`, grid({ columns, rows, label: `Events of ${key}` })),
    );
  }

  const show = {
    picture(found, seq) {
      body = found;
      if (document.activeElement !== search) search.value = body.search;
      if (document.activeElement !== where) where.value = body.where;
      drawHead();
      draw(false);
      el.dataset.seq = seq;
    },
    news(found, seq) {
      if (found.why) drawWhy(found.why);
      if (found.rows) {
        Object.assign(body, found);
        drawHead();
        draw(found.flash);
        ask();
      }
      el.dataset.seq = seq;
    },
    state: (state) => pause?.update(state),
  };
  const link = new Link(model, el, show);
  pause = pauseButton(link);
  el.append(toolbar("Table", pause, search, where), facts, scroll, why);
  return () => {
    ask.cancel();
    clearTimeout(due);
    link.close();
  };
}
