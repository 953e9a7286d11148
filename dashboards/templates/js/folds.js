"use strict";

// Printing unfolds everything except the details of published scores, and folds it again afterwards.
const folds = [...document.querySelectorAll("details:not(.published)")];
let opened = [];

window.addEventListener("beforeprint", () => {
  opened = folds.filter((fold) => !fold.open);
  for (const fold of opened) fold.open = true;
});
window.addEventListener("afterprint", () => {
  for (const fold of opened) fold.open = false;
});
