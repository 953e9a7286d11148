"use strict";

// Tables: a header button sorts by its column. Cells without a value come last in both directions.
const collator = new Intl.Collator("en", { numeric: true });
const hexadecimal = /^[0-9a-f]{8,}$/;

function compareCells(a, b) {
  if (hexadecimal.test(a) && hexadecimal.test(b)) return a < b ? -1 : a > b ? 1 : 0;
  const numeric = a !== "" && b !== "" && !Number.isNaN(Number(a)) && !Number.isNaN(Number(b));
  return numeric ? Number(a) - Number(b) : collator.compare(a, b);
}

function sortBy(header) {
  const table = header.closest("table");
  const column = header.cellIndex;
  const first = header.dataset.first;
  const opposite = first === "ascending" ? "descending" : "ascending";
  const direction = header.getAttribute("aria-sort") === first ? opposite : first;
  const sign = direction === "ascending" ? 1 : -1;
  const key = (row) => row.cells[column].dataset.value ?? "";
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    return x === "" || y === "" ? (x === "") - (y === "") : sign * compareCells(x, y);
  });
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", direction);
  table.tBodies[0].append(...rows);
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => sortBy(button.closest("th")));
}
