"use strict";
const told = document.getElementById("told");
const first = told.innerHTML;
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
}

for (const cell of document.querySelectorAll(".cell")) {
  cell.addEventListener("mouseenter", () => { if (!chosen) tell(cell); });
  cell.addEventListener("mouseleave", () => { if (!chosen) told.innerHTML = first; });
  cell.addEventListener("focus", () => { if (!chosen) tell(cell); });
  cell.addEventListener("click", () => {
    if (chosen) chosen.classList.remove("chosen");
    chosen = chosen === cell ? null : cell;
    if (chosen) { chosen.classList.add("chosen"); tell(chosen); }
  });
}
