"use strict";
const entries = [...document.querySelectorAll(".entry")];
const words = new Map(entries.map((entry) => [entry, entry.textContent.toLowerCase()]));
const field = (name) => document.getElementById(name);

function filter() {
  const wanted = field("text").value.toLowerCase().split(/\s+/);
  let shown = 0;
  for (const entry of entries) {
    const fits = ["outcome", "family", "profile", "api"].every(
      (name) => !field(name).value || field(name).value === entry.dataset[name]);
    entry.hidden = !(fits && wanted.every((word) => words.get(entry).includes(word)));
    shown += !entry.hidden;
  }
  field("shown").textContent = `${shown} of ${entries.length}`;
  field("none").hidden = shown > 0;
}

field("filters").addEventListener("input", filter);
field("filters").addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("keydown", (event) => {
  const writing = event.target.matches("input, select");
  if (event.key === "/" && !writing) {
    event.preventDefault();
    field("text").focus();
  } else if (event.key === "Escape" && writing) {
    field("filters").reset();
    filter();
  }
});
filter();
