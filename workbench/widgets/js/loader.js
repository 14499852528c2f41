// The script of every view: it fetches the modules that this page lacks, then hands over.
// Modules are known by name and digest, so that many views, kernels and versions share a page.

const ASK_AGAIN_MS = 8000;
const GIVE_UP_MS = 60000;

const { known, asked } = (globalThis[Symbol.for("stream-workbench")] ??= {
  known: new Map(), // from name@digest to the URL of the module
  asked: new Map(), // from name@digest to the element that asked for it last, and when
});

const key = ([name, digest]) => `${name}@${digest}`;

async function load(model, el) {
  const listed = model.get("_modules");
  const hear = (content, buffers) => {
    if (content.kind === "modules") keep(listed, buffers);
  };
  model.on("msg:custom", hear);
  try {
    const began = performance.now();
    for (;;) {
      const missing = listed.filter((one) => !known.has(key(one)));
      if (!missing.length) break;
      const now = performance.now();
      if (now - began > GIVE_UP_MS) throw new Error("the kernel does not answer");
      // What another view of this page has asked for is waited for, as long as that view lives.
      const free = missing.filter((one) => {
        const other = asked.get(key(one));
        return !other || now - other.at > ASK_AGAIN_MS || (other.el !== el && !other.el.isConnected);
      });
      if (free.length) {
        for (const one of free) asked.set(key(one), { el, at: now });
        model.send({ kind: "modules", names: free.map(([name]) => name) });
      }
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
  } finally {
    model.off("msg:custom", hear);
  }
  return import(/* webpackIgnore: true */ known.get(key(listed.at(-1))));
}

// Imports are listed before what imports them, so their URLs are known by then.
function keep(listed, buffers) {
  const text = new TextDecoder();
  const [head, ...sources] = buffers.map((buffer) => text.decode(buffer));
  const found = new Map(JSON.parse(head).map((name, n) => [name, sources[n]]));
  for (const one of listed) {
    let source = found.get(one[0]);
    if (source === undefined || known.has(key(one))) continue;
    for (const other of listed) {
      const url = known.get(key(other));
      if (url) source = source.replaceAll(`"./${other[0]}"`, JSON.stringify(url));
    }
    const blob = new Blob([source], { type: "text/javascript" });
    known.set(key(one), URL.createObjectURL(blob));
    asked.delete(key(one));
  }
}

export default {
  async render({ model, el }) {
    el.classList.add("wb-view");
    el.setAttribute("role", "region");
    el.setAttribute("aria-label", model.get("_title"));
    el.textContent = "Loading…";
    let module;
    try {
      module = await load(model, el);
    } catch (error) {
      el.textContent = `This view could not be loaded: ${error.message}`;
      return () => {};
    }
    el.replaceChildren();
    return module.render({ model, el });
  },
};
