"use strict";

// Charts: the specification is in a script element after the chart's place. A chart is drawn when its place comes near
// the window, or before the page is printed. Until then the place has the height of the chart. Text and grid are
// currentColor, so that a change of theme needs no redraw.
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
  approaching.unobserve(place);
  try {
    const specification = JSON.parse(place.nextElementSibling.textContent);
    const { view } = await vegaEmbed(place, specification, options);
    views.set(place, view);
    place.dataset.drawn = "";
    setFocus(view, focusOf(place));
    widths.observe(place);
  } catch (error) {
    place.textContent = "The chart could not be drawn; the table contains the same values.";
    console.error(error);
  }
}

// A chart that was drawn inside something folded has no width; it gets one when it is unfolded.
const widths = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const view = views.get(target);
    if (view && contentRect.width > 0) view.width(contentRect.width).runAsync();
  }
});

const approaching = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target)),
  { rootMargin: nearby },
);

for (const place of places) approaching.observe(place);
window.addEventListener("beforeprint", () => places.forEach(draw));

// Legends: a button highlights its model in the charts of its part of the page; pressed again, it stops.
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
