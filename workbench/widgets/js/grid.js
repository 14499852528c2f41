// Tables whose every cell is text.

import { node } from "./link.js";

// From how many rows on a list beside others is folded away.
const SHORT = 12;

export function cell(tag, value, number = false) {
  const made = node(tag, number ? { class: "wb-number" } : {});
  if (value === null) made.append(node("span", { class: "wb-null" }, "null"));
  else made.append(value);
  // What a narrow column cuts off is told when it is pointed at.
  if (value?.length > 24) made.title = value;
  return made;
}

// Where there are no rows, that is said.
export function nothing(columns, words) {
  return node("tr", { class: "wb-nothing" }, node("td", { colspan: String(Math.max(columns, 1)) }, words));
}

// A whole table; `choose` is called with a row's number.
export function grid({ columns, rows, label, choose = null, mark = null, empty = "none" }) {
  const head = columns.map(({ name, number }) => node("th", { scope: "col", ...(number && { class: "wb-number" }) }, name));
  const made = rows.map((row, n) => {
    const line = node("tr", {}, ...row.map((value, i) => cell("td", value, columns[i].number)));
    if (choose) chooses(line, () => choose(n, line));
    mark?.(line, n);
    return line;
  });
  return node(
    "table",
    { "aria-label": label },
    node("thead", {}, node("tr", {}, ...head)),
    node("tbody", {}, ...(made.length ? made : [nothing(columns.length, empty)])),
  );
}

// A part that scrolls, also by keyboard.
export function scroll(label, ...children) {
  const attributes = { class: "wb-scroll", tabindex: "0", role: "group", "aria-label": label, "data-lm-suppress-shortcuts": "true" };
  return node("div", attributes, ...children);
}

// A list with a heading that folds it away; a long one is folded to begin with.
export function folded(heading, rows, made) {
  const count = new Intl.NumberFormat("en").format(rows.length);
  const summary = node("summary", { "data-lm-suppress-shortcuts": "true" }, `${heading} (${count})`);
  return node("details", { class: "wb-fold", ...(rows.length <= SHORT && { open: "" }) }, summary, scroll(heading, made));
}

// A row that can be chosen with a click, Enter or Space.
export function chooses(line, choose) {
  line.setAttribute("tabindex", "0");
  line.setAttribute("data-lm-suppress-shortcuts", "true");
  line.addEventListener("click", choose);
  line.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    choose();
  });
}

export function select(line) {
  for (const other of line.parentElement.children) other.setAttribute("aria-selected", String(other === line));
}
