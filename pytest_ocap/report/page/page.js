// Filters the runs, and opens and closes them.  The page says everything without it.
"use strict";
(() => {
  const form = document.getElementById("filter");
  const runs = [...document.querySelectorAll(".run")];
  if (!form || !runs.length) return;

  const wanted = [...form.elements.standing.length ? form.elements.standing : [form.elements.standing]];
  const shown = document.getElementById("shown");
  const none = document.getElementById("none");
  const families = [...document.querySelectorAll(".family")];
  const columns = new Map(runs.map((run) => [run.id, [...document.querySelectorAll(`[data-run="${run.id}"]`)]]));
  const texts = new Map();
  const textOf = (run) => {
    if (!texts.has(run)) texts.set(run, run.textContent.toLowerCase());
    return texts.get(run);
  };

  const apply = () => {
    const standings = new Set(wanted.filter((box) => box.checked).map((box) => box.value));
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const run of runs) {
      const fits = standings.has(run.dataset.standing) && words.every((word) => textOf(run).includes(word));
      run.hidden = !fits;
      for (const cell of columns.get(run.id)) cell.hidden = !fits;
      if (fits) count += 1;
    }
    for (const family of families) {
      family.hidden = !family.querySelector("thead th[data-run]:not([hidden])");
    }
    none.hidden = count > 0;
    shown.value = `${count} of ${runs.length} runs shown`;
  };

  const openAll = (open) => {
    for (const run of runs) if (!run.hidden) run.querySelector("details").open = open;
  };

  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("open-all").addEventListener("click", () => openAll(true));
  document.getElementById("close-all").addEventListener("click", () => openAll(false));
  // A link into a run opens it, also in browsers that do not do so by themselves.
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let part = target; part; part = part.parentElement) {
      if (part.matches("article")) part.querySelector("details").open = true;
    }
  };
  addEventListener("hashchange", reveal);

  document.documentElement.classList.add("scripted");
  form.hidden = false;
  reveal();
  apply();
})();
