"use strict";

// Paper cannot be unfolded: printing opens what is folded, but for the reasons of single published figures, and closes
// it again.
const folds = [...document.querySelectorAll("details:not(.published)")];
let opened = [];

window.addEventListener("beforeprint", () => {
  opened = folds.filter((fold) => !fold.open);
  for (const fold of opened) fold.open = true;
});
window.addEventListener("afterprint", () => {
  for (const fold of opened) fold.open = false;
});
