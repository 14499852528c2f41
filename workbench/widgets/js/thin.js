// Lines and areas are drawn as finely as their pen: what a canvas costs then goes by its width,
// and not by how many points lie side by side in one pixel.  The points themselves all stay.

// Of neighbours in one column as wide as the pen: the first, the last, and those that reach out
// furthest, in their order.  They are as many as the columns, so they cover the same ground.
export function thin(items, width) {
  if (items.length < 4) return items;
  const kept = [];
  let start = 0;
  const keep = (end) => {
    if (end - start <= 4) {
      for (let n = start; n < end; n += 1) kept.push(items[n]);
    } else {
      const edge = (item) => (item.y || 0) + (item.height || 0);
      let [top, bottom, low, high] = [start, start, start, start];
      for (let n = start + 1; n < end; n += 1) {
        const item = items[n];
        if (item.y < items[top].y) top = n;
        if (item.y > items[bottom].y) bottom = n;
        if (edge(item) < edge(items[low])) low = n;
        if (edge(item) > edge(items[high])) high = n;
      }
      const wanted = [...new Set([start, top, bottom, low, high, end - 1])];
      for (const n of wanted.sort((a, b) => a - b)) kept.push(items[n]);
    }
    start = end;
  };
  const column = (item) => (item.defined === false ? NaN : Math.floor(item.x / width));
  let at = column(items[0]);
  for (let n = 1; n < items.length; n += 1) {
    const next = column(items[n]);
    if (next === at) continue; // what is not defined is no column, and stays
    keep(n);
    at = next;
  }
  keep(items.length);
  return kept;
}

// Vega has no public place for this; where its renderer changes, all points are drawn.
export function drawThinly(view) {
  const renderer = view._renderer;
  const draw = renderer?.draw;
  if (!draw) return;
  renderer.draw = function (context, scene, ...others) {
    const { items, marktype } = scene;
    const across = items?.[0]?.orient !== "horizontal";
    if (across && (marktype === "line" || marktype === "area")) {
      const pen = Math.max(items[0]?.strokeWidth ?? 1, 1);
      return draw.call(this, context, Object.create(scene, { items: { value: thin(items, pen) } }), ...others);
    }
    return draw.call(this, context, scene, ...others);
  };
}
