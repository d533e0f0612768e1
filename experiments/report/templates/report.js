
"use strict";
// A column is sorted by its numbers, or by its texts where it has none; cells without either stay last.
function sort(button) {
  const head = button.closest("th");
  const body = head.closest("table").tBodies[0];
  const place = head.cellIndex;
  const descending = head.getAttribute("aria-sort") === "ascending";
  const numeric = head.hasAttribute("data-numeric");
  const keys = Array.from(body.rows, (row) => {
    const cell = row.cells[place];
    const text = numeric ? cell.getAttribute("data-value") : cell.textContent;
    return { row, value: text === null || text === "" ? null : numeric ? Number(text) : text };
  });
  keys.sort((one, other) => {
    if (one.value === null || other.value === null) return (one.value === null) - (other.value === null);
    const order = numeric ? one.value - other.value : one.value.localeCompare(other.value, "en", { numeric: true });
    return descending ? -order : order;
  });
  for (const each of head.parentNode.cells) each.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  body.append(...keys.map((key) => key.row));
}
for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => sort(button));
// What is folded away on the screen is printed all the same.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => { each.open = true; }));
