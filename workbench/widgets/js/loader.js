// The script of every view: it fetches the modules that this page lacks, then hands over.
// Modules are known by name and digest, so that many views, kernels and versions share a page.

const ASK_AGAIN_MS = 8000;
const SILENT_MS = 5000;
const GIVE_UP_MS = 60000;

const SILENT = "Not live: no kernel answers. Run the cell to see what is there now.";

const { known, sources, asked } = (globalThis[Symbol.for("stream-workbench")] ??= {
  known: new Map(), // from name@digest to the URL of the module
  sources: new Map(), // to its text, until what it imports is known
  asked: new Map(), // from name@digest to the element that asked for it last, and when
});

const key = ([name, digest]) => `${name}@${digest}`;

async function load(model, el) {
  const listed = model.get("_modules");
  let heard = false;
  const hear = (content, buffers) => {
    heard = true;
    if (content.kind === "modules") keep(listed, buffers);
  };
  model.on("msg:custom", hear);
  try {
    const began = performance.now();
    for (;;) {
      settle(listed);
      const missing = listed.filter((one) => !known.has(key(one)));
      const wanted = missing.filter((one) => !sources.has(key(one)));
      if (!missing.length) break;
      const now = performance.now();
      // A notebook opened again may hold this view, and have no kernel.
      if (now - began > SILENT_MS && !heard) el.textContent = SILENT;
      if (now - began > GIVE_UP_MS) throw new Error("the kernel does not answer");
      // What another view of this page has asked for is waited for, as long as that view lives.
      const free = wanted.filter((one) => {
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

function keep(listed, buffers) {
  const text = new TextDecoder();
  const [head, ...found] = buffers.map((buffer) => text.decode(buffer));
  const names = JSON.parse(head);
  for (const one of listed) {
    const place = names.indexOf(one[0]);
    if (place >= 0 && !known.has(key(one))) sources.set(key(one), found[place]);
  }
}

// Gives the modules their URLs; imports are listed before what imports them.
function settle(listed) {
  for (const one of listed) {
    if (known.has(key(one))) continue;
    let source = sources.get(key(one));
    if (source === undefined) return;
    for (const other of listed) {
      const url = known.get(key(other));
      if (url) source = source.replaceAll(`"./${other[0]}"`, JSON.stringify(url));
    }
    known.set(key(one), URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
    sources.delete(key(one));
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
