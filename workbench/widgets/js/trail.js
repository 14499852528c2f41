// A trail: a time line, and below it what each event changed.

import { Chart } from "./chart.js";
import { cell, chooses, grid, nothing, scroll, select } from "./grid.js";
import { Link, button, node, pauseButton, toolbar } from "./link.js";

const count = new Intl.NumberFormat("en");

export function render({ model, el }) {
  let lines = [];
  let events = [];
  let datasets = {};
  let drawnFuture = null;
  let pause = null;
  let shownRaw = null;
  const heading = node("strong", { class: "wb-title" });
  const facts = node("div");
  const plot = node("div", { class: "wb-plot", role: "img", "aria-label": model.get("_title") });
  const list = scroll("Events");
  const details = node("div", { class: "wb-why", hidden: "" });
  const gaps = node("div");
  const chart = new Chart(plot, { margin: 160 });

  function open(event, number) {
    const raw = node("div");
    shownRaw = { number, raw };
    const address = button("Copy the address", "copy", () => link.do("address", { number }), { text: true });
    const close = button("Close", "close", () => (details.hidden = true));
    const change = (row) => (line) => row[3] && line.classList.add("wb-changed");
    const columns = ["field", "before", "after"].map((name) => ({ name, number: false }));
    details.hidden = false;
    details.replaceChildren(
      toolbar("Event", node("strong", {}, event.place), button("Raw value", "key", () => link.do("raw", { number }), { text: true }), address, node("span", { class: "wb-grow" }), close),
      grid({ columns, rows: event.rows.map((row) => row.slice(0, 3)), label: "Before and after", mark: (line, n) => change(event.rows[n])(line) }),
      raw,
    );
  }

  function wide(made) {
    made.classList.add("wb-wide");
    return made;
  }

  function drawEvents(total) {
    const head = ["time", "record", "changes", "marks"].map((name) => node("th", { scope: "col" }, name));
    lines = events.map((event, number) => {
      const marks = event.marks.map(([kind, words]) => node("span", { class: "wb-mark", "data-mark": kind }, words));
      const line = node("tr", {}, cell("td", event.time), cell("td", event.place), wide(cell("td", event.changes)), node("td", {}, ...marks));
      chooses(line, () => {
        select(line);
        open(event, number);
      });
      return line;
    });
    const cut = total > events.length ? [node("p", { class: "wb-facts" }, `The first ${count.format(events.length)} of ${count.format(total)} events.`)] : [];
    list.replaceChildren(node("table", { "aria-label": "Events" }, node("thead", {}, node("tr", {}, ...head)), node("tbody", {}, ...(lines.length ? lines : [nothing(4, "no events")]))), ...cut);
  }

  // Up to where a player has come: what is to come is grey, and its numbers are not drawn.
  function play(played) {
    if (!played) return;
    const coming = ({ place }) => {
      const cut = place.lastIndexOf(":");
      return BigInt(place.slice(cut + 1)) >= BigInt(played[place.slice(0, cut)] ?? 0);
    };
    events.forEach((event, n) => lines[n].classList.toggle("wb-future", coming(event)));
    // The position passes many records between two of these.
    const left = datasets.events.filter(coming).length;
    if (left === drawnFuture) return;
    drawnFuture = left;
    for (const [name, rows] of Object.entries(datasets)) {
      const drawn = name === "events" ? rows.map((row) => ({ ...row, future: coming(row) })) : rows.filter((row) => !coming(row));
      chart.replace(name, drawn);
    }
  }

  async function copy(address) {
    try {
      await navigator.clipboard.writeText(address);
      link.tell("note", "The address is copied: wb.open_slice(address) opens this record.");
    } catch {
      link.tell("note", `The address: ${address}`);
    }
    setTimeout(() => el.dataset.condition === "note" && link.tell(null), 6000);
  }

  function drawRaw({ number, key, value, headers, size, cut }) {
    if (shownRaw?.number !== number) return;
    const said = cut ? `the first ${count.format(cut)} of ${count.format(size)} bytes` : `${count.format(size)} bytes, whole`;
    const texts = [["key", key], ...headers.map(([name, content]) => [`header ${name}`, content])];
    const block = value === null ? node("p", {}, "The value is null: a tombstone.") : node("pre", { class: "wb-raw", tabindex: "0" }, value);
    shownRaw.raw.replaceChildren(
      grid({ columns: [{ name: "part" }, { name: "content" }], rows: texts, label: "Key and headers" }),
      ...(value === null ? [] : [node("p", { class: "wb-facts" }, `value: ${said}`)]),
      block,
    );
  }

  const show = {
    picture(body, seq) {
      heading.textContent = body.title;
      facts.replaceChildren(...body.facts.map((fact) => node("div", { class: "wb-facts", title: fact }, fact)));
      chart.show(body.spec, body.datasets);
      ({ events, datasets } = body);
      drawnFuture = null;
      drawEvents(body.total);
      play(body.played);
      gaps.replaceChildren();
      if (body.gaps.rows.length) gaps.append(node("p", { class: "wb-facts" }, "Offsets without a record:"), grid({ ...body.gaps, label: "Gaps" }));
      el.dataset.seq = seq;
    },
    news(body, seq) {
      play(body.played);
      if (body.raw) drawRaw(body.raw);
      if (body.address) copy(body.address);
      el.dataset.seq = seq;
    },
    state: (state) => pause?.update(state),
  };
  const link = new Link(model, el, show);
  pause = pauseButton(link);
  el.append(toolbar("Trail", pause, heading), facts, plot, list, details, gaps);
  return () => {
    link.close();
    chart.close();
  };
}
