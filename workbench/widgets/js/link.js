// A view's line to its kernel: counted messages in, commands out, and a sign when it falls silent.

const SILENT_MS = 4000;
const HERE_MS = 10000;

export class Link {
  // `show` has: picture(content), news(content).  Messages that came out of turn are not shown;
  // the whole picture is asked for instead.
  constructor(model, el, show) {
    this.model = model;
    this.el = el;
    this.show = show;
    // `randomUUID` is there for secure pages only, and a server in the house may have no certificate.
    this.page = crypto.getRandomValues(new Uint32Array(4)).join("-");
    this.seq = null;
    this.here = performance.now();
    this.heard = performance.now();
    this.banner = node("div", { class: "wb-banner", role: "status", hidden: "" });
    el.append(this.banner);
    this.text = new TextDecoder();
    this.onMessage = (content, buffers) => this.receive(content, buffers);
    model.on("msg:custom", this.onMessage);
    this.watch = setInterval(() => this.look(), 1000);
    this.hello();
  }

  hello() {
    this.seq = null;
    this.asked = performance.now();
    this.say({ kind: "hello", page: this.page });
  }

  say(content) {
    try {
      this.model.send(content);
    } catch {
      this.tell("stale", "Stale: the kernel is gone. This is the last picture it sent.");
    }
  }

  do(name, details = {}) {
    this.say({ kind: "do", name, ...details });
  }

  receive(content, buffers) {
    if (this.over) return; // what was on its way when the view was closed
    const now = performance.now();
    this.heard = now;
    if (now - this.here > HERE_MS) {
      this.here = now;
      this.say({ kind: "here" });
    }
    if (content.kind === "modules") {
      if (this.seq !== null) this.seq = content.seq;
      return;
    }
    const body = JSON.parse(this.text.decode(buffers[0]));
    if (content.kind === "over") {
      this.over = true;
      this.tell("over", `This view has ended: ${body.reason}.`);
      return;
    }
    if (content.kind === "picture") {
      this.seq = content.seq;
      this.state(body.state);
      this.show.picture(body, content.seq);
      // Beside a live view the notebook keeps a picture, for when there is no kernel; its own style
      // hides it while the view has this mark.
      this.el.dataset.live = "";
      return;
    }
    if (content.kind === "beat") this.busy(body.busy);
    if (this.seq === null) {
      // The picture is on its way; ask again if it got lost.
      if (now - this.asked > 3000) this.hello();
      return;
    }
    if (content.seq !== this.seq + 1) {
      this.hello();
      return;
    }
    this.seq = content.seq;
    if (content.kind === "news") this.busy(false);
    if (content.kind === "state") this.state(body);
    if (content.kind === "note") {
      this.tell("note", body.sentence);
      setTimeout(() => this.el.dataset.condition === "note" && this.tell(null), 8000);
    }
    // A picture that is held is still searched, sorted and clicked.
    if (content.kind === "answer" || (content.kind === "news" && !this.paused)) this.show.news(body, content.seq);
  }

  // What is asked for is being read: the last picture stands, and need not be asked for again.
  busy(busy) {
    if (busy) this.asked = performance.now();
    if (this.error || this.over) return;
    const told = this.el.dataset.condition === "busy";
    if (busy && !told) this.tell("busy", "Still reading.");
    if (!busy && told) this.tell(null);
  }

  // The picture is held at once, whatever the kernel is busy with.
  pause(paused) {
    this.state({ paused, error: this.error });
    this.say({ kind: paused ? "pause" : "resume" });
  }

  state({ paused, error }) {
    this.paused = paused;
    this.error = error;
    this.el.dataset.paused = paused;
    if (error) {
      this.tell("error", error, () => this.say({ kind: "resume" }));
    } else {
      this.tell(null);
    }
    this.show.state?.({ paused, error });
  }

  look() {
    if (this.over || this.error) return;
    if (performance.now() - this.heard > SILENT_MS) {
      this.tell("stale", "Stale: the kernel has fallen silent. This is the last picture it sent.");
      // Perhaps it rests, and wakes when asked.
      if (performance.now() - (this.asked ?? 0) > 5000) this.hello();
    } else if (this.el.dataset.condition === "stale") {
      this.tell(null);
    }
  }

  tell(condition, sentence = "", again = null) {
    if (condition) this.el.dataset.condition = condition;
    else delete this.el.dataset.condition;
    this.banner.hidden = !condition;
    this.banner.replaceChildren(sentence);
    if (again) this.banner.append(" ", button("Resume", "play", again, { text: true }));
  }

  close() {
    clearInterval(this.watch);
    this.model.off("msg:custom", this.onMessage);
    if (!this.over) {
      try {
        this.model.send({ kind: "bye", page: this.page });
      } catch {
        // The kernel has gone before the page.
      }
    }
  }
}

// An element; texts are text, never HTML.
export function node(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const ICONS = {
  play: "M4 2l10 6-10 6z",
  pause: "M4 2h3v12H4zM9 2h3v12H9z",
  step: "M3 2l7 6-7 6zM11 2h2v12h-2z",
  batch: "M1 3l6 5-6 5zM7 3l6 5-6 5zM13 3h2v10h-2z",
  key: "M5 5a3 3 0 100 6 3 3 0 002.8-2H11v2h2V9h2V7H7.8A3 3 0 005 5zm0 2a1 1 0 110 2 1 1 0 010-2z",
  copy: "M2 2h8v3h4v9H6v-3H2zm2 2v5h2V5h2V4zm4 3v5h4V7z",
  close: "M3 4l1-1 4 4 4-4 1 1-4 4 4 4-1 1-4-4-4 4-1-1 4-4z",
};

export function button(label, icon, onclick, { text = false } = {}) {
  const made = node("button", {
    type: "button",
    class: "wb-button",
    title: label,
    "aria-label": label,
    "data-lm-suppress-shortcuts": "true",
  });
  setIcon(made, icon);
  if (text) made.append(node("span", {}, label));
  made.addEventListener("click", onclick);
  return made;
}

export function setIcon(made, icon) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[icon]);
  svg.append(path);
  made.querySelector("svg")?.remove();
  made.prepend(svg);
}

// A button that holds the picture; the stream behind it goes on.
export function pauseButton(link) {
  const made = button("Pause the picture", "pause", () =>
    link.pause(!link.paused),
  );
  made.update = ({ paused }) => {
    const label = paused ? "Resume" : "Pause the picture";
    made.setAttribute("aria-pressed", String(Boolean(paused)));
    made.setAttribute("aria-label", label);
    made.title = label;
    setIcon(made, paused ? "play" : "pause");
  };
  made.update({ paused: false });
  return made;
}

export function toolbar(label, ...children) {
  return node("div", { class: "wb-toolbar", role: "toolbar", "aria-label": label }, ...children);
}

// Calls back at most once per animation frame, however often it is asked to.
export function perFrame(draw) {
  let due = null;
  const later = () => {
    due ??= requestAnimationFrame(() => {
      due = null;
      draw();
    });
  };
  later.cancel = () => due !== null && cancelAnimationFrame(due);
  return later;
}

// Calls back when the page's theme changes; returns what ends that.
export function onTheme(callback) {
  const observer = new MutationObserver(callback);
  observer.observe(document.body, {
    attributes: true,
    attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class"],
  });
  return () => observer.disconnect();
}

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
