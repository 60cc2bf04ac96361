"use strict";
const entries = [...document.querySelectorAll(".entry")];
const words = new Map(entries.map((entry) => [entry, entry.textContent.toLowerCase()]));
const field = (name) => document.getElementById(name);

function filter() {
  const wanted = field("text").value.toLowerCase();
  let shown = 0;
  for (const entry of entries) {
    const fits = ["outcome", "family", "profile", "api"].every(
      (name) => !field(name).value || field(name).value === entry.dataset[name]);
    entry.hidden = !(fits && words.get(entry).includes(wanted));
    shown += !entry.hidden;
  }
  field("shown").textContent = `${shown} of ${entries.length}`;
}

field("filters").addEventListener("input", filter);
field("filters").addEventListener("submit", (event) => event.preventDefault());
filter();
