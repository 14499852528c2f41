// A live chart: an Altair chart to whose data rows are added.

import { Chart } from "./chart.js";
import { Link, node, pauseButton, toolbar } from "./link.js";

const count = new Intl.NumberFormat("en");

export function render({ model, el }) {
  const plot = document.createElement("div");
  const heading = node("strong", { class: "wb-title" }, model.get("_title"));
  const facts = node("span", { class: "wb-facts" });
  const tell = () => {
    const held = chart.data.get(show.name)?.length ?? 0;
    facts.textContent = held ? `${count.format(held)} rows` : "no rows yet";
  };
  const show = {
    name: null,
    picture({ spec, name, most, rows }, seq) {
      this.name = name;
      chart.most = most;
      shown = seq;
      chart.show(spec, { [name]: rows });
      tell();
    },
    news({ rows }, seq) {
      shown = seq;
      chart.add(this.name, rows);
      tell();
    },
    state: (state) => pause.update(state),
  };
  let shown = 0;
  const chart = new Chart(plot, { onPainted: () => (el.dataset.seq = shown) });
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", model.get("_title"));
  const pause = { update() {} };
  const link = new Link(model, el, show);
  Object.assign(pause, { button: pauseButton(link) });
  pause.update = pause.button.update;
  el.append(toolbar("Chart", pause.button, heading, facts), plot);
  return () => {
    link.close();
    chart.close();
  };
}
