// A Vega-Lite chart whose named data change in the running view.

import { vegaEmbed } from "./vega.js";
import { onTheme } from "./link.js";
import { drawThinly } from "./thin.js";

// Nothing is loaded: whatever a specification or an event names, it stays text.
const refuse = async (uri) => {
  throw new Error(`a live chart loads nothing (${uri})`);
};
// Vega keeps what is drawn of rows that have gone, until it is this much; by itself it waits for
// ten thousand pieces in each part of each chart.
const FORGET = 500;

const LOADER = { load: refuse, sanitize: refuse, http: refuse, file: refuse };

function themed(el) {
  const style = getComputedStyle(el);
  const colour = (name) => style.getPropertyValue(name).trim();
  const text = colour("--wb-text");
  const faint = colour("--wb-line");
  const axis = { labelColor: text, titleColor: text, domainColor: faint, tickColor: faint, gridColor: faint, gridOpacity: 0.5 };
  return {
    // A canvas has no elements that could be described; what would say it costs half of a frame.
    aria: false,
    background: null,
    axis,
    legend: { labelColor: text, titleColor: text },
    header: { labelColor: text, titleColor: text },
    title: { color: text, subtitleColor: colour("--wb-faint") },
    view: { stroke: faint },
    style: { "guide-label": { fill: text }, "guide-title": { fill: text } },
  };
}

function merge(base, over) {
  const made = { ...base };
  for (const [name, value] of Object.entries(over)) {
    const both = value && typeof value === "object" && made[name] && typeof made[name] === "object";
    made[name] = both ? merge(made[name], value) : value;
  }
  return made;
}

// The charts of a page that have something to draw.  A frame draws as many as fit into it, one
// after the other: many charts are drawn more seldom, and the page stays as quick as with one.
const BUDGET_MS = 12;
const due = new Set();
let frame = null;

function schedule(chart) {
  due.add(chart);
  frame ??= requestAnimationFrame(draw);
}

async function draw() {
  const began = performance.now();
  try {
    for (const chart of due) {
      due.delete(chart);
      await chart.flush();
      if (performance.now() - began > BUDGET_MS) break;
    }
  } finally {
    frame = due.size ? requestAnimationFrame(draw) : null;
  }
}

export class Chart {
  // `most`: how many rows each data set holds; the oldest go first.
  // `margin`: what the panels of a stacked chart leave beside them for axes; without it the width
  // is that of the specification.  `labels`: what their legends will say.
  constructor(el, { most = Infinity, margin = null, labels = () => [], onView = null, onPainted = null } = {}) {
    this.el = el;
    this.margin = margin;
    this.labels = labels;
    this.most = most;
    this.onView = onView;
    this.onPainted = onPainted;
    this.data = new Map();
    this.waiting = new Map();
    this.endTheme = onTheme(() => this.spec && this.embed());
    this.sizes = new ResizeObserver(() => this.view && this.refit());
    this.sizes.observe(el);
  }

  width() {
    return Math.max(Math.min(this.el.clientWidth - this.margin, 1000), 240);
  }

  // Draws anew where there is more or less room than what is drawn takes.
  refit() {
    clearTimeout(this.resizing);
    if (this.margin !== null && this.width() !== this.drawnWidth) {
      this.resizing = setTimeout(() => this.embed(), 300);
    }
  }

  // The panels as wide as there is room, and the legends above them.
  fit(spec) {
    if (this.margin === null) return;
    const width = (this.drawnWidth = this.width());
    const set = (part) => {
      if (part.width) part.width = width;
      for (const inner of part.vconcat ?? []) set(inner);
    };
    set(spec);
    const longest = Math.max(14, ...this.labels().map((label) => label.length));
    const columns = Math.max(Math.floor(width / Math.min(7 * longest + 30, 240)), 1);
    const legend = { orient: "top", columns, labelLimit: Math.floor(width / columns) - 30 };
    spec.config = { ...spec.config, legend: { ...spec.config?.legend, ...legend } };
  }

  // A whole new picture: a specification, and the rows of each of its data sets.
  async show(spec, datasets) {
    this.waiting.clear();
    this.data = new Map(Object.entries(datasets));
    if (this.view && JSON.stringify(spec) === JSON.stringify(this.spec)) {
      for (const [name, rows] of this.data) this.waiting.set(name, { all: rows });
      schedule(this);
      return;
    }
    this.spec = spec;
    await this.embed();
  }

  async embed() {
    const asked = (this.asked = {});
    const whole = structuredClone(this.spec);
    this.fit(whole);
    const { config = {}, ...spec } = whole;
    const base = merge(config, themed(this.el));
    // A legend of nothing says NaN: it comes with the first rows.
    this.bare = [...this.data.values()].every((rows) => !rows.length);
    if (this.bare) base.legend = { ...base.legend, disable: true };
    spec.datasets = Object.fromEntries([...this.data].map(([n, rows]) => [n, structuredClone(rows)]));
    this.view?.finalize();
    this.view = null;
    this.waiting.clear();
    try {
      const { view } = await vegaEmbed(this.el, spec, {
        actions: false,
        config: base,
        loader: LOADER,
        renderer: "canvas",
      });
      if (asked !== this.asked) {
        view.finalize();
        return;
      }
      this.view = view;
      view.cleanThreshold = FORGET;
      drawThinly(view);
      this.onView?.(view);
      this.onPainted?.();
      schedule(this);
      // A change of themes takes the room away for a moment, which may be over before a frame.
      requestAnimationFrame(() => this.view && this.refit());
    } catch (error) {
      if (asked === this.asked) this.el.textContent = `The chart cannot be drawn: ${error.message}`;
    }
  }

  // More rows.
  add(name, rows) {
    let held = (this.data.get(name) ?? []).concat(rows);
    if (held.length > this.most) held = held.slice(held.length - this.most);
    this.data.set(name, held);
    this.waiting.set(name, this.queued(name, rows));
    schedule(this);
  }

  // Rows that take the place of those with the same `id`, and ids whose rows go.
  // The others stay as they are: Vega keeps something of each row that a picture of groups ever had.
  amend(name, rows, gone) {
    const out = new Set([...rows.map((row) => row.id), ...gone]);
    const others = (held) => held.filter((row) => !out.has(row.id));
    this.data.set(name, others(this.data.get(name) ?? []).concat(rows));
    const before = this.waiting.get(name);
    this.waiting.set(
      name,
      before?.all
        ? { all: this.data.get(name) }
        : { more: others(before?.more ?? []).concat(rows), out: new Set([...out, ...(before?.out ?? [])]) },
    );
    schedule(this);
  }

  replace(name, rows) {
    this.data.set(name, rows);
    this.waiting.set(name, { all: rows });
    schedule(this);
  }

  queued(name, rows) {
    const before = this.waiting.get(name);
    if (before?.all) return { all: this.data.get(name) };
    return { more: (before?.more ?? []).concat(rows), out: before?.out };
  }

  // At most once per frame, whatever has come since the last.
  async flush() {
    const { view } = this;
    if (!view || !this.waiting.size) return;
    if (this.bare && [...this.data.values()].some((rows) => rows.length)) return this.embed();
    for (const [name, { all, more, out }] of this.waiting) {
      let held;
      try {
        held = view.data(name);
      } catch {
        continue; // a data set that the specification does not draw
      }
      if (all || more.length >= this.most) {
        const rows = all ?? more.slice(-this.most);
        view.change(name, view.changeset().remove(() => true).insert(structuredClone(rows)));
        continue;
      }
      const change = view.changeset().insert(structuredClone(more));
      if (out) change.remove((row) => out.has(row.id));
      const over = held.length + more.length - this.most;
      if (over > 0) change.remove(held.slice(0, over));
      view.change(name, change);
    }
    this.waiting.clear();
    try {
      view.resize(); // Labels grow and shrink with the data, and the canvas with them.
      await view.runAsync();
      this.onPainted?.();
    } catch (error) {
      if (view !== this.view) return; // drawn anew meanwhile
      this.el.textContent = `The chart cannot be drawn: ${error.message}`;
    }
  }

  close() {
    due.delete(this);
    this.endTheme();
    this.sizes.disconnect();
    clearTimeout(this.resizing);
    this.view?.finalize();
    this.view = null;
  }
}
