"use strict";

// Charts: each specification lies in a script element of type application/json beside its place.
const options = {
  actions: false,
  ast: true,
  defaultStyle: false,
  mode: "vega-lite",
  renderer: "svg",
  tooltip: { disableDefaultStyle: true },
};

for (const place of document.querySelectorAll(".chart")) {
  const specification = JSON.parse(place.nextElementSibling.textContent);
  vegaEmbed(place, specification, options).catch((error) => {
    place.textContent = "The chart could not be drawn; the table holds the same figures.";
    console.error(error);
  });
}
