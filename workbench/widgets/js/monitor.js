// A monitor: figures, charts that can be brushed, alerts that can be clicked.

import { Chart } from "./chart.js";
import { cell, scroll } from "./grid.js";
import { Link, node, pauseButton, toolbar } from "./link.js";

const SVG = "http://www.w3.org/2000/svg";
const count = new Intl.NumberFormat("en");
const precise = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

const time = (ms) => new Date(ms).toISOString().slice(0, 19).replace("T", " ");

function milliseconds(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${precise.format(ms / 1000)} s`;
  if (ms < 7_200_000) return `${precise.format(ms / 60_000)} min`;
  return `${precise.format(ms / 3_600_000)} h`;
}

function figure(label) {
  const value = node("b", {}, "–");
  const made = node("div", { class: "wb-figure" }, value, node("span", {}, label));
  made.set = (text) => {
    made.hidden = text === null;
    if (text !== null) value.textContent = text;
  };
  made.set(null);
  return made;
}

// Events per second over the last minute, as a line without axes.
function sparkline() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 120 28");
  svg.setAttribute("class", "wb-spark");
  svg.setAttribute("role", "img");
  const line = document.createElementNS(SVG, "polyline");
  svg.append(line);
  const seen = [];
  svg.add = (events) => {
    const now = performance.now();
    seen.push([now, events]);
    while (seen[0][0] < now - 60_000) seen.shift();
    const rates = seen.slice(1).map(([at, n], i) => (1000 * (n - seen[i][1])) / Math.max(at - seen[i][0], 1));
    const top = Math.max(...rates, 1);
    line.setAttribute(
      "points",
      rates.map((rate, i) => `${(120 * (seen[i + 1][0] - now)) / 60_000 + 120},${26 - (24 * Math.max(rate, 0)) / top}`).join(" "),
    );
    svg.setAttribute("aria-label", `Events per second over the last minute, at most ${precise.format(top)}`);
  };
  return svg;
}

export function render({ model, el }) {
  const figures = {
    rate: figure("events/s"),
    events: figure("events"),
    latency: figure("event to screen"),
    lag: figure("lag, offsets"),
    age: figure("lag, time"),
    watermark: figure("watermark (UTC)"),
    late: figure("late"),
    undecodable: figure("did not decode"),
    alerts: figure("alerts"),
  };
  const spark = sparkline();
  const heading = node("strong", { class: "wb-title" });
  const facts = node("span", { class: "wb-facts" });
  const plot = node("div", { class: "wb-plot", role: "img", "aria-label": model.get("_title") });
  const waiting = node("p", { class: "wb-facts", hidden: "" }, "No events yet.");
  const leftOut = node("p", { class: "wb-facts", hidden: "" });
  const chosen = node("div", { class: "wb-chosen", role: "status", hidden: "" });
  const alerts = scroll("Alerts");
  alerts.classList.add("wb-alerts");
  alerts.hidden = true;
  let age = null;
  let shown = 0;
  let panels = 1;
  let alertNames = [];
  let picked = null;

  const chart = new Chart(plot, {
    margin: 95,
    labels: () => [...alertNames, ...new Set((chart.data.get("windows") ?? []).map(({ group }) => group))],
    onPainted() {
      el.dataset.seq = shown;
      if (age) figures.latency.set(milliseconds(age.ms + performance.now() - age.at));
      age = null;
    },
    onView(view) {
      let due = null;
      try {
        view.addSignalListener("brush", (_, value) => {
          clearTimeout(due);
          const span = value && Object.values(value)[0];
          due = setTimeout(() => {
            if (span?.length === 2) link.do("brush", { start: Math.floor(+span[0]), end: Math.ceil(+span[1]) });
          }, 250);
        });
      } catch {
        // No panel can be brushed.
      }
    },
  });

  function listAlerts(found, total) {
    alerts.hidden = !found.length;
    if (alerts.hidden) return;
    const focused = alerts.querySelector("tr:focus")?.dataset.id;
    const grouped = found.some(({ group }) => group);
    const rows = found.map((alert) => {
      const row = node(
        "tr",
        { tabindex: "0", "data-id": alert.id, "aria-selected": String(alert.id === picked), "data-lm-suppress-shortcuts": "true", title: "The records behind this alert" },
        node("td", {}, node("span", { class: "wb-severity", "data-severity": alert.severity }, alert.severity)),
        cell("td", alert.name),
        cell("td", time(alert.start)),
        ...(grouped ? [cell("td", alert.group)] : []),
        cell("td", alert.values),
      );
      const choose = () => {
        picked = alert.id;
        for (const other of rows) other.setAttribute("aria-selected", String(other === row));
        link.do("alert", { id: alert.id });
      };
      row.addEventListener("click", choose);
      row.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          choose();
        }
      });
      return row;
    });
    const cut = total > found.length ? `, the newest ${found.length} of ${count.format(total)}` : "";
    const head = ["severity", `alert${cut}`, "window start (UTC)", ...(grouped ? ["group"] : []), "values"];
    alerts.replaceChildren(
      node(
        "table",
        { "aria-label": "Alerts" },
        node("thead", {}, node("tr", {}, ...head.map((name) => node("th", { scope: "col" }, name)))),
        node("tbody", {}, ...rows.slice().reverse()),
      ),
    );
    rows.find((row) => row.dataset.id === focused)?.focus();
  }

  function choose(text) {
    chosen.hidden = !text;
    chosen.replaceChildren();
    if (text) chosen.append("Chosen, and in the monitor's ", node("code", {}, "selection"), ": ", node("span", {}, text));
  }

  function update(body) {
    const { figures: now } = body;
    if (now) {
      figures.rate.set(now.rate === null ? null : precise.format(now.rate));
      figures.events.set(count.format(now.events));
      figures.lag.set(now.live ? count.format(BigInt(now.lag)) : null);
      figures.age.set(now.lag_seconds === null ? null : milliseconds(1000 * now.lag_seconds));
      figures.watermark.set(now.watermark === null ? null : time(now.watermark));
      figures.late.set(now.late ? count.format(now.late) : null);
      figures.undecodable.set(now["did not decode"] ? count.format(now["did not decode"]) : null);
      facts.title = facts.textContent = now.where;
      waiting.hidden = now.events > 0;
      spark.classList.toggle("wb-gone", !now.live);
      spark.add(now.events);
    }
    if (body.alerts) {
      figures.alerts.set(count.format(body.alert_count));
      listAlerts(body.alerts, body.alert_count);
    }
    if ("left_out" in body) {
      leftOut.hidden = !body.left_out;
      leftOut.textContent = body.left_out ?? "";
    }
    if ("chosen" in body) choose(body.chosen);
    if ("age_ms" in body) age = { ms: body.age_ms, at: performance.now() };
  }

  const show = {
    picture(body, seq) {
      shown = seq;
      heading.textContent = body.title;
      panels = body.panels;
      alertNames = body.alert_names;
      update(body);
      const empty = Object.fromEntries([...Array(panels).keys()].map((n) => [`alerts${n}`, []]));
      chart.show(body.spec, { windows: body.windows ?? [], ...empty, ...(body.marks ?? {}) });
    },
    news(body, seq) {
      shown = seq;
      update(body);
      if (body.windows) chart.amend("windows", body.windows, body.gone);
      for (const [name, rows] of Object.entries(body.marks ?? {})) chart.replace(name, rows);
      if (!body.windows && !body.marks) el.dataset.seq = seq;
    },
    state: (state) => pause?.update(state),
  };
  const bar = node("div");
  let pause = null;
  const link = new Link(model, el, show);
  pause = pauseButton(link);
  bar.append(toolbar("Monitor", pause, heading, spark), facts);
  el.append(bar, node("div", { class: "wb-figures" }, ...Object.values(figures)), waiting, plot, leftOut, chosen, alerts);
  return () => {
    link.close();
    chart.close();
  };
}
