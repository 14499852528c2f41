// A log: its topics, its groups, and a peek at one topic's newest records.

import { folded, grid, scroll, select } from "./grid.js";
import { Link, button, node, pauseButton, toolbar } from "./link.js";

// How many topics are listed; the others are found by their names.
const MOST = 200;
const count = new Intl.NumberFormat("en");

export function render({ model, el }) {
  let pause = null;
  let open = null;
  let told = null;
  let groupsOpen = null;
  const heading = node("strong", { class: "wb-title" });
  const topics = scroll("Topics");
  const groups = node("div");
  const narrow = node("input", { type: "search", placeholder: "topic", "aria-label": "Topics with this in their name", "data-lm-suppress-shortcuts": "true" });
  const cut = node("p", { class: "wb-facts", role: "status", hidden: "" });
  narrow.addEventListener("input", () => told && draw(told));
  const peek = node("div", { class: "wb-why", hidden: "" });

  function draw(body) {
    told = body;
    const found = [...body.names.keys()].filter((n) => body.names[n].toLowerCase().includes(narrow.value.toLowerCase()));
    const listed = found.slice(0, MOST);
    cut.hidden = found.length === listed.length && !narrow.value;
    cut.textContent = `${count.format(listed.length)} of ${count.format(body.names.length)} topics`;
    narrow.hidden = body.names.length <= 12;
    const names = listed.map((n) => body.names[n]);
    const choose = (n, line) => {
      open = names[n];
      select(line);
      link.do("peek", { topic: open });
    };
    const mark = (line, n) => names[n] === open && line.setAttribute("aria-selected", "true");
    const focused = topics.contains(document.activeElement) ? [...topics.querySelectorAll("tbody tr")].indexOf(document.activeElement) : -1;
    const rows = listed.map((n) => body.topics.rows[n]);
    const empty = body.names.length ? "no topic has this in its name" : "no topics yet";
    topics.replaceChildren(grid({ ...body.topics, rows, label: "Topics", choose, mark, empty }));
    topics.querySelectorAll("tbody tr")[focused]?.focus();
    groups.replaceChildren();
    if (body.groups.rows.length) {
      const list = folded("Consumer groups", body.groups.rows, grid({ ...body.groups, label: "Consumer groups" }));
      if (groupsOpen !== null) list.open = groupsOpen;
      list.addEventListener("toggle", () => (groupsOpen = list.open));
      groups.append(list);
    }
  }

  function drawPeek({ topic, partitions, records }) {
    const close = button("Close", "close", () => (peek.hidden = true));
    peek.hidden = false;
    peek.replaceChildren(
      toolbar("Peek", node("strong", {}, topic), node("span", { class: "wb-facts" }, "the newest records"), node("span", { class: "wb-grow" }), close),
      scroll("Newest records", grid({ ...records, label: `Newest records of ${topic}`, empty: "no records yet" })),
      folded("Partitions", partitions.rows, grid({ ...partitions, label: `Partitions of ${topic}` })),
    );
  }

  const show = {
    picture(body, seq) {
      heading.textContent = body.title;
      draw(body);
      el.dataset.seq = seq;
    },
    news(body, seq) {
      if (body.topics) draw(body);
      if (body.peek) drawPeek(body.peek);
      el.dataset.seq = seq;
    },
    state: (state) => pause?.update(state),
  };
  const link = new Link(model, el, show);
  pause = pauseButton(link);
  el.append(toolbar("Log", pause, heading, narrow), topics, cut, groups, peek);
  return () => link.close();
}
