"use strict";
const rows = [...document.querySelectorAll("tbody tr")];
const box = document.querySelector("input[type=search]");
const shown = document.querySelector("output");
const texts = rows.map((row) => row.textContent.toLowerCase());
box.addEventListener("input", () => {
  const words = box.value.toLowerCase().split(/\s+/);
  rows.forEach((row, at) => {
    row.hidden = !words.every((word) => texts[at].includes(word));
  });
  const left = rows.filter((row) => !row.hidden).length;
  shown.textContent = `${left} of ${rows.length}`;
});
