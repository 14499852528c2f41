// A log: its topics, its groups, and a peek at one topic's newest records.

import { grid, select } from "./grid.js";
import { Link, button, node, pauseButton, toolbar } from "./link.js";

export function render({ model, el }) {
  let pause = null;
  let open = null;
  const heading = node("strong", { class: "wb-title" });
  const topics = node("div", { class: "wb-scroll" });
  const groups = node("div");
  const peek = node("div", { class: "wb-why", hidden: "" });

  function draw(body) {
    const choose = (n, line) => {
      open = body.names[n];
      select(line);
      link.do("peek", { topic: open });
    };
    const mark = (line, n) => body.names[n] === open && line.setAttribute("aria-selected", "true");
    const focused = topics.contains(document.activeElement) ? [...topics.querySelectorAll("tbody tr")].indexOf(document.activeElement) : -1;
    topics.replaceChildren(grid({ ...body.topics, label: "Topics", choose, mark, empty: "no topics yet" }));
    topics.querySelectorAll("tbody tr")[focused]?.focus();
    groups.replaceChildren();
    if (body.groups.rows.length) {
      groups.append(node("p", { class: "wb-facts" }, "Consumer groups"), grid({ ...body.groups, label: "Consumer groups" }));
    }
  }

  function drawPeek({ topic, partitions, records }) {
    const close = button("Close", "close", () => (peek.hidden = true));
    peek.hidden = false;
    peek.replaceChildren(
      toolbar("Peek", node("strong", {}, topic), node("span", { class: "wb-facts" }, "the newest records"), node("span", { class: "wb-grow" }), close),
      node("div", { class: "wb-scroll" }, grid({ ...records, label: `Newest records of ${topic}`, empty: "no records yet" })),
      node("p", { class: "wb-facts" }, "Partitions"),
      grid({ ...partitions, label: `Partitions of ${topic}` }),
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
  el.append(toolbar("Log", pause, heading), topics, groups, peek);
  return () => link.close();
}
