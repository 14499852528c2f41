// The script of every view: it fetches the modules that this page lacks, then hands over.
// Modules are known by name and digest, so that many views, kernels and versions share a page.

const known = (globalThis[Symbol.for("stream-workbench")] ??= new Map());

async function load(model) {
  const listed = model.get("_modules");
  const key = ([name, digest]) => `${name}@${digest}`;
  const missing = listed.filter((one) => !known.has(key(one)));
  if (missing.length) {
    const sources = fetchSources(model, missing.map(([name]) => name));
    for (const one of missing) {
      const url = sources.then(async (found) => {
        // Imports are listed before what imports them.
        let source = found.get(one[0]);
        for (const other of listed) {
          const specifier = `"./${other[0]}"`;
          if (other !== one && source.includes(specifier)) {
            source = source.replaceAll(specifier, JSON.stringify(await known.get(key(other))));
          }
        }
        return URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
      });
      known.set(key(one), url);
      url.catch(() => known.delete(key(one)));
    }
  }
  return import(/* webpackIgnore: true */ await known.get(key(listed.at(-1))));
}

function fetchSources(model, names) {
  return new Promise((resolve, reject) => {
    const asking = setInterval(() => model.send({ kind: "modules", names }), 5000);
    const giveUp = setTimeout(() => finish(reject, new Error("the kernel does not answer")), 30000);
    const finish = (settle, value) => {
      clearInterval(asking);
      clearTimeout(giveUp);
      model.off("msg:custom", hear);
      settle(value);
    };
    const hear = (content, buffers) => {
      if (content.kind !== "modules") return;
      const text = new TextDecoder();
      const [head, ...sources] = buffers.map((buffer) => text.decode(buffer));
      finish(resolve, new Map(JSON.parse(head).map((name, n) => [name, sources[n]])));
    };
    model.on("msg:custom", hear);
    model.send({ kind: "modules", names });
  });
}

export default {
  async render({ model, el }) {
    el.classList.add("wb-view");
    el.setAttribute("role", "region");
    el.setAttribute("aria-label", model.get("_title"));
    el.textContent = "Loading…";
    let module;
    try {
      module = await load(model);
    } catch (error) {
      el.textContent = `This view could not be loaded: ${error.message}`;
      return () => {};
    }
    el.replaceChildren();
    return module.render({ model, el });
  },
};
