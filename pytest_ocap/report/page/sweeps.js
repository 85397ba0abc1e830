// Leads through the points of a sweep's picture, by pointer and by arrow keys.  The tables say everything without it.
"use strict";
(() => {
  const NEAR = 24; // pixels

  for (const picture of document.querySelectorAll(".picture")) {
    const sweep = picture.closest("article");
    const drawing = picture.querySelector("svg");
    const told = sweep.querySelector(".told");
    const marks = [...drawing.querySelectorAll(".points use")].map((use) => ({
      use,
      left: parseFloat(use.getAttribute("x")),
      top: parseFloat(use.getAttribute("y")),
      words: use.textContent,
    }));
    marks.sort((one, other) => one.left - other.left || one.top - other.top);
    const rows = new Map();
    for (const row of sweep.querySelectorAll("tr[data-point]")) {
      const name = row.dataset.point;
      rows.set(name.slice(name.indexOf(":") + 1), row);
    }
    let here = -1;

    const rowOf = (mark) => rows.get(mark.words.split(/(?: at | \(|: )/, 1)[0]);
    const go = (number) => {
      if (here >= 0) marks[here].use.classList.remove("here");
      here = Math.max(0, Math.min(marks.length - 1, number));
      marks[here].use.classList.add("here");
      told.value = marks[here].words;
    };
    const beside = (event) => {
      const place = drawing.getBoundingClientRect();
      let best = -1;
      let least = NEAR * NEAR;
      marks.forEach((mark, number) => {
        const across = (mark.left / 100) * place.width + place.left - event.clientX;
        const down = mark.top + place.top - event.clientY;
        const far = across * across + down * down;
        // What lies above, and is worse, stands later in the drawing: of two as near it is the one to be told of.
        if (far < least || (far === least && mark.use.compareDocumentPosition(marks[best].use) & 2)) {
          best = number;
          least = far;
        }
      });
      return best;
    };
    const away = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 20, PageUp: -20 };

    told.hidden = false;
    picture.tabIndex = 0;
    picture.addEventListener("focus", () => { if (here < 0) go(0); });
    picture.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      if (event.key in away) go(here + away[event.key]);
      else if (event.key === "Home") go(0);
      else if (event.key === "End") go(marks.length - 1);
      else if (event.key === "Enter") {
        const row = here >= 0 && rowOf(marks[here]);
        if (!row) return;
        location.hash = row.id;
        row.closest(".scroll").focus({ preventScroll: true });
      } else return;
      event.preventDefault();
    });
    for (const kind of ["pointermove", "click"]) {
      drawing.addEventListener(kind, (event) => {
        const number = beside(event);
        if (number >= 0 && number !== here) go(number);
      });
    }
  }

  // A link into a sweep opens it, also in browsers that do not do so by themselves.
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const sweep = target && target.closest("article.sweep");
    if (sweep) sweep.querySelector("details").open = true;
  };
  addEventListener("hashchange", reveal);
  reveal();
})();
