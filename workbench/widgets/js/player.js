// A player: buttons, a speed, and a bar with the density of events behind it.

import { Link, button, node, perFrame, setIcon, toolbar } from "./link.js";

const SVG = "http://www.w3.org/2000/svg";
const SPEEDS = [0.1, 0.5, 1, 2, 10, 60, 300, 1000];
const STEPS = 1000;
const count = new Intl.NumberFormat("en");
const time = (ms) => new Date(ms).toISOString().slice(0, 23).replace("T", " ");

export function render({ model, el }) {
  let body = {};
  let scrubbing = false;

  const play = button("Play", "play", () => link.do(body.playing ? "hold" : "play"));
  const event = button("Next event", "step", () => link.do("step", { by: "event" }));
  const batch = button("Next batch: all events of one time", "batch", () => link.do("step", { by: "batch" }));
  const key = node("input", { type: "text", size: "10", placeholder: "key", "aria-label": "Key", "data-lm-suppress-shortcuts": "true" });
  const nextOfKey = () => key.value && link.do("key", { key: key.value });
  key.addEventListener("keydown", (pressed) => pressed.key === "Enter" && nextOfKey());
  const ofKey = button("Next event of the key", "key", nextOfKey);
  const speed = node("select", { "aria-label": "Speed", "data-lm-suppress-shortcuts": "true" });
  speed.addEventListener("change", () => link.do("speed", { speed: speed.value === "" ? null : Number(speed.value) }));
  const axis = node(
    "select",
    { "aria-label": "Scrub over", "data-lm-suppress-shortcuts": "true" },
    node("option", { value: "time" }, "over time"),
    node("option", { value: "records" }, "over offsets"),
  );
  axis.addEventListener("change", () => draw());

  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "wb-density");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const bar = node("input", {
    type: "range",
    min: "0",
    max: String(STEPS),
    step: "1",
    "aria-label": "Position",
    "data-lm-suppress-shortcuts": "true",
  });
  const seek = perFrame(() => link.do("seek", { share: Number(bar.value) / STEPS, axis: axis.value }));
  bar.addEventListener("input", () => {
    scrubbing = true;
    seek();
  });
  for (const end of ["change", "blur"]) bar.addEventListener(end, () => (scrubbing = false));
  const ends = node("div", { class: "wb-ends", "aria-hidden": "true" });
  const at = node("b", { class: "wb-at" });
  const where = node("span", { class: "wb-facts" });

  function speeds(now) {
    const listed = [...new Set([...SPEEDS, ...(now === null ? [] : [now])])].sort((a, b) => a - b);
    speed.replaceChildren(
      ...listed.map((one) => node("option", { value: String(one) }, `${one}×`)),
      node("option", { value: "" }, "as fast as possible"),
    );
    speed.value = now === null ? "" : String(now);
  }

  function density() {
    const bins = axis.value === "time" ? body.density : body.pace;
    const top = Math.max(...bins, 1);
    svg.setAttribute("viewBox", `0 0 ${bins.length} 40`);
    const path = document.createElementNS(SVG, "path");
    const parts = bins.map((n, i) => {
      // The square root, so that the few are seen beside the many.
      const height = 38 * Math.sqrt(n / top);
      return n ? `M${i} 40v${-Math.max(height, 1)}h0.9v${Math.max(height, 1)}z` : "";
    });
    path.setAttribute("d", parts.join(""));
    const head = document.createElementNS(SVG, "rect");
    head.setAttribute("class", "wb-head");
    head.setAttribute("height", "40");
    svg.replaceChildren(head, path);
    return head;
  }

  let head = null;
  function draw() {
    if (body.density) head = density();
    const over = axis.value === "time" && body.span;
    const [from, to] = over ? body.span.map((ms) => time(ms).slice(0, 19)) : ["0", count.format(body.total)];
    ends.replaceChildren(node("span", {}, from), node("span", {}, axis.value === "time" ? "events, over time" : "events a second, over records"), node("span", {}, to));
    ends.hidden = !body.total;
    move();
  }

  function share() {
    if (axis.value === "records" || !body.span) return body.total ? body.played / body.total : 0;
    const [first, last] = body.span;
    if (body.at === null) return 0;
    return last > first ? (body.at - first) / (last - first) : 1;
  }

  function move() {
    const label = body.playing ? "Pause" : "Play";
    setIcon(play, body.playing ? "pause" : "play");
    play.setAttribute("aria-label", label);
    play.setAttribute("aria-pressed", String(Boolean(body.playing)));
    play.title = label;
    for (const one of [play, event, batch, ofKey, bar]) one.disabled = !body.total;
    at.textContent = !body.total ? "nothing to play" : body.at === null ? "before the first record" : `${time(body.at)} UTC`;
    where.textContent = `${count.format(body.played)} of ${count.format(body.total)} records · ${body.position}`;
    where.title = where.textContent;
    if (!scrubbing) bar.value = String(Math.round(share() * STEPS));
    bar.setAttribute("aria-valuetext", at.textContent);
    head?.setAttribute("width", String(share() * ((axis.value === "time" ? body.density : body.pace)?.length ?? 0)));
    if (document.activeElement !== speed) speed.value = body.speed === null ? "" : String(body.speed);
  }

  const show = {
    picture(found, seq) {
      body = found;
      speeds(body.speed);
      draw();
      el.dataset.seq = seq;
    },
    news(found, seq) {
      Object.assign(body, found);
      move();
      el.dataset.seq = seq;
    },
  };
  const link = new Link(model, el, show);
  el.append(
    toolbar("Player", play, event, batch, ofKey, key, speed, axis, node("span", { class: "wb-grow" }), at),
    node("div", { class: "wb-bar" }, svg, bar, ends),
    where,
  );
  return () => {
    seek.cancel();
    link.close();
  };
}
