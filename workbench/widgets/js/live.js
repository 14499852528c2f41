// A live chart: an Altair chart to whose data rows are added.

import { Chart } from "./chart.js";
import { Link, pauseButton, toolbar } from "./link.js";

export function render({ model, el }) {
  const plot = document.createElement("div");
  const show = {
    name: null,
    picture({ spec, name, most, rows }, seq) {
      this.name = name;
      chart.most = most;
      shown = seq;
      chart.show(spec, { [name]: rows });
    },
    news({ rows }, seq) {
      shown = seq;
      chart.add(this.name, rows);
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
  el.append(toolbar("Chart", pause.button), plot);
  return () => {
    link.close();
    chart.close();
  };
}
