// Tables whose every cell is text.

import { node } from "./link.js";

export function cell(tag, value, number = false) {
  const made = node(tag, number ? { class: "wb-number" } : {});
  if (value === null) made.append(node("span", { class: "wb-null" }, "null"));
  else made.append(value);
  return made;
}

// A whole table; `choose` is called with a row's number.
export function grid({ columns, rows, label, choose = null, mark = null }) {
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
    node("tbody", {}, ...made),
  );
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
