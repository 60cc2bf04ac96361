"use strict";
const told = document.getElementById("told");
const first = told.innerHTML;
const rows = [...document.querySelectorAll("tbody tr")].map(
  (row) => [...row.querySelectorAll(".cell")]);
let chosen = null;

function tell(cell) {
  const title = document.createElement("h3");
  title.textContent = cell.dataset.title;
  const list = document.createElement("ul");
  for (const name of JSON.parse(cell.dataset.cases)) {
    const item = document.createElement("li");
    item.textContent = name;
    list.append(item);
  }
  const note = document.createElement("p");
  note.textContent = cell.dataset.note;
  told.replaceChildren(title, note, list);
  told.scrollTop = 0;
}

function choose(cell) {
  if (chosen) chosen.classList.remove("chosen");
  chosen = cell;
  if (chosen) { chosen.classList.add("chosen"); tell(chosen); }
}

// One stop for Tab; the arrows go from cell to cell, up and down to what is nearest on the screen.
function next(cell, key) {
  const y = rows.findIndex((row) => row.includes(cell));
  const x = rows[y].indexOf(cell);
  if (key === "ArrowLeft" || key === "ArrowRight") return rows[y][x + (key === "ArrowLeft" ? -1 : 1)];
  const row = rows[y + (key === "ArrowUp" ? -1 : 1)];
  const middle = (one) => one.getBoundingClientRect().left;
  const far = (one) => Math.abs(middle(one) - middle(cell));
  return row && row.reduce((best, one) => (far(one) < far(best) ? one : best));
}

for (const cell of rows.flat()) {
  cell.tabIndex = cell === rows[0][0] ? 0 : -1;
  cell.addEventListener("mouseenter", () => { if (!chosen) tell(cell); });
  cell.addEventListener("mouseleave", () => { if (!chosen) told.innerHTML = first; });
  cell.addEventListener("focus", () => { if (!chosen) tell(cell); });
  cell.addEventListener("click", () => choose(chosen === cell ? null : cell));
  cell.addEventListener("keydown", (event) => {
    if (event.key === "Escape") choose(null);
    const other = event.key.startsWith("Arrow") && next(cell, event.key);
    if (!other) return;
    event.preventDefault();
    cell.tabIndex = -1;
    other.tabIndex = 0;
    other.focus();
  });
}
