"use strict";

// Charts: each specification lies in a script element of type application/json beside its place, and is read and drawn
// when the place comes near the window, or before the page is printed. Until then the place keeps the height that the
// chart will have. Text and grid are currentColor, so that a change of theme draws nothing again.
const options = {
  actions: false,
  ast: true,
  defaultStyle: false,
  mode: "vega-lite",
  renderer: "svg",
  tooltip: { disableDefaultStyle: true },
};
const nearby = "600px 0px";
const places = [...document.querySelectorAll(".chart")];
const views = new Map();

async function draw(place) {
  if (views.has(place)) return;
  views.set(place, null);
  coming.unobserve(place);
  try {
    const specification = JSON.parse(place.nextElementSibling.textContent);
    const { view } = await vegaEmbed(place, specification, options);
    views.set(place, view);
    place.dataset.drawn = "";
    setFocus(view, focusOf(place));
    widths.observe(place);
  } catch (error) {
    place.textContent = "The chart could not be drawn; the table holds the same figures.";
    console.error(error);
  }
}

// A chart that was drawn without a width, within something closed, gets one when it is opened.
const widths = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const view = views.get(target);
    if (view && contentRect.width > 0) view.width(contentRect.width).runAsync();
  }
});

const coming = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target)),
  { rootMargin: nearby },
);

for (const place of places) coming.observe(place);
window.addEventListener("beforeprint", () => places.forEach(draw));

// Legends: a button brings its model forward in the charts of its part of the page, and pressed again lets it go.
function focusOf(place) {
  return place.closest("article, section")?.querySelector(".legend [aria-pressed='true']")?.dataset.model ?? "";
}

function setFocus(view, model) {
  if ("focus" in view.getState().signals) view.signal("focus", model).runAsync();
}

for (const button of document.querySelectorAll(".legend button")) {
  button.addEventListener("click", () => {
    const part = button.closest("article, section");
    const pressed = button.getAttribute("aria-pressed") === "true";
    for (const other of part.querySelectorAll(".legend button")) other.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", String(!pressed));
    for (const place of part.querySelectorAll(".chart")) {
      if (views.get(place)) setFocus(views.get(place), focusOf(place));
    }
  });
}
