"use strict";

// Requests the state of a study repeatedly and updates the page in place. Nodes are reused by key, so that a player
// keeps playing, and a page that is open for days does not grow.
const SECOND = 1000;
const SVG = "http://www.w3.org/2000/svg";
const DASHES = ["none", "6 3", "2 3", "9 3 2 3", "1 2", "12 4", "4 2 1 2", "3 6"];
const STATUS_NAMES = {
  done: "finished",
  running: "running",
  waiting: "waiting",
  diverged: "diverged",
  failed: "failed",
};
const byId = (id) => document.getElementById(id);
let state = null;
let failures = 0;
let timer = 0;
let loading = false;
const announced = new Set();

function node(name, attributes = {}, ...children) {
  const space = ["svg", "path", "polyline", "line", "text", "circle", "g", "title"].includes(name) ? SVG : null;
  const made = space ? document.createElementNS(space, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setAttributes(element, attributes) {
  for (const [key, value] of Object.entries(attributes)) {
    if (element.getAttribute(key) !== String(value)) element.setAttribute(key, value);
  }
}

// Updates the children of `parent` to match `items`: known keys are updated in place, others added, the rest removed.
function reconcile(parent, items, key, make, update) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, index) => {
    const name = String(key(item));
    let child = before.get(name);
    before.delete(name);
    if (!child) {
      child = make(item);
      child.dataset.key = name;
    }
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
    update(child, item);
  });
  for (const child of before.values()) child.remove();
}

function showCounts(counts) {
  const shown = Object.keys(STATUS_NAMES).filter((name) => counts[name] !== null);
  const make = () => node("div", {}, node("dt"), node("dd"));
  reconcile(byId("counts"), shown, (name) => name, make, (child, name) => {
    setText(child.firstChild, STATUS_NAMES[name]);
    setText(child.lastChild, String(counts[name]));
  });
  const ended = counts.done + counts.diverged + counts.failed;
  const overall = byId("overall");
  overall.hidden = counts.total === null;
  setAttributes(overall, { max: counts.total ?? 1, value: ended });
}

function dot(colour) {
  const attributes = { class: "dot", viewBox: "0 0 10 10", "aria-hidden": "true" };
  return node("svg", attributes, node("circle", { cx: 5, cy: 5, r: 4.5, fill: colour }));
}

function showRunning(trials, hidden) {
  const make = (trial) =>
    node("li", {}, node("p", {}, dot(trial.colour), ` ${trial.name}`), node("progress"), node("p", { class: "text" }));
  reconcile(byId("running"), trials, (trial) => trial.id, make, (child, trial) => {
    const bar = child.children[1];
    setAttributes(bar, { "aria-label": trial.name, max: trial.most || 1 });
    if (trial.epoch === null) bar.removeAttribute("value");
    else setAttributes(bar, { value: trial.epoch });
    setText(child.lastChild, trial.text);
  });
  setText(byId("hidden"), hidden ? `${hidden} more are running.` : "");
}

const whole = new Intl.NumberFormat("en-GB");

function showSpeed({ now, trials, points }) {
  const speeds = points.map(([, speed]) => speed);
  const most = Math.max(1, ...speeds);
  const [begin, end] = points.length ? [points[0][0], points[points.length - 1][0]] : [0, 1];
  const x = (at) => (600 * (at - begin)) / Math.max(1, end - begin);
  const drawn = points.map(([at, speed]) => `${x(at).toFixed(1)},${(58 - (56 * speed) / most).toFixed(1)}`);
  setAttributes(byId("speed").firstElementChild, { points: drawn.join(" ") });
  const of = trials === 1 ? "one running trial" : `${trials} running trials added up`;
  const last = now === null ? "No running trial has finished an epoch." : `${whole.format(now)} at the last epoch, ${of}.`;
  setText(byId("speed-sentence"), last);
  const minutes = Math.max(1, Math.round((end - begin) / 60000));
  const range = `The line shows the sum over running trials, from 0 to ${whole.format(most)}, over ${minutes} min.`;
  setText(byId("speed-range"), points.length > 1 ? range : "");
}

function quantile(sorted, share) {
  return sorted[Math.round(share * (sorted.length - 1))];
}

function ticks(low, high, about) {
  const rough = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.max(0, Math.floor(high / step) - first + 1) }, (_, i) => ({
    value: (first + i) * step,
    decimals: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)),
  }));
}

function scales(lines, width) {
  const values = lines.flatMap((line) => line.points.map(([, y]) => y)).sort((a, b) => a - b);
  const [tenth, ninetieth] = [quantile(values, 0.1), quantile(values, 0.9)];
  let [low, high] = [Math.max(values[0], tenth - (ninetieth - tenth)), values[values.length - 1]];
  if (!(high > low)) [low, high] = [low - 0.5, high + 0.5];
  const last = Math.max(2, ...lines.map((line) => line.points[line.points.length - 1][0]));
  const [left, right, top, bottom] = [64, width - 10, 8, 208];
  const x = (epoch) => left + ((right - left) * (epoch - 1)) / (last - 1);
  const y = (value) => bottom - ((bottom - top) * (value - low)) / (high - low);
  return { x, y, low, high, last, left, right, bottom };
}

// A line that leaves the drawing at the bottom is cut at the lower edge.
function polyline(points, { x, y, low }) {
  const parts = [];
  points.forEach(([epoch, value], i) => {
    if (value >= low) {
      const before = points[i - 1];
      if (before && before[1] < low) {
        const share = (low - before[1]) / (value - before[1]);
        parts.push([before[0] + share * (epoch - before[0]), low]);
      }
      parts.push([epoch, value]);
    } else if (i && points[i - 1][1] >= low) {
      const before = points[i - 1];
      const share = (low - before[1]) / (value - before[1]);
      parts.push([before[0] + share * (epoch - before[0]), low]);
    }
  });
  return parts.map(([epoch, value]) => `${x(epoch).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
}

function drawAxes(group, scale) {
  const across = ticks(1, scale.last, 5).filter(({ value }) => Number.isInteger(value));
  const marks = [
    ...ticks(scale.low, scale.high, 4).map((tick) => ({ ...tick, axis: "y" })),
    ...across.map((tick) => ({ ...tick, axis: "x" })),
  ];
  const make = ({ axis }) => node("g", {}, ...(axis === "y" ? [node("line", { class: "grid" })] : []), node("text"));
  const key = ({ axis }, index) => `${axis}${index}`;
  const numbered = marks.map((mark, index) => ({ ...mark, key: key(mark, index) }));
  reconcile(group, numbered, (mark) => mark.key, make, (child, mark) => {
    const label = child.lastChild;
    setText(label, mark.value.toFixed(mark.decimals).replace("-", "\u2212"));
    if (mark.axis === "y") {
      const y = scale.y(mark.value).toFixed(1);
      setAttributes(child.firstChild, { x1: scale.left, x2: scale.right, y1: y, y2: y });
      setAttributes(label, { x: scale.left - 6, y: Number(y) + 4, "text-anchor": "end" });
    } else setAttributes(label, { x: scale.x(mark.value).toFixed(1), y: scale.bottom + 20, "text-anchor": "middle" });
  });
}

function drawPanel(figure, panel) {
  const [title, sentence, drawing, legend] = figure.children;
  setText(title, panel.title);
  setText(sentence, panel.sentence);
  const width = Math.max(240, Math.round(figure.clientWidth));
  const scale = scales(panel.lines, width);
  setAttributes(drawing, { viewBox: `0 0 ${width} 240`, "aria-label": `${panel.title}. ${panel.sentence}` });
  const [axes, lines] = drawing.children;
  drawAxes(axes, scale);
  const make = () => node("polyline", {}, node("title"));
  reconcile(lines, panel.lines, (line) => line.id, make, (child, line) => {
    const [, value] = line.points[line.points.length - 1];
    const name = `${line.name}, ${line.running ? "running" : "ended"}: ${value.toFixed(3)} at the last epoch`;
    setText(child.firstChild, name);
    setAttributes(child, {
      class: line.running ? "running" : "ended",
      points: polyline(line.points, scale),
      stroke: line.colour,
      "stroke-dasharray": DASHES[line.dash % DASHES.length],
    });
  });
  const models = [...new Map(panel.lines.map((line) => [line.model, line])).values()].sort((a, b) => a.dash - b.dash);
  const entry = (line) => {
    const attributes = { x1: 0, x2: 40, y1: 5, y2: 5, stroke: line.colour, "stroke-width": 2 };
    const sample = node("line", { ...attributes, "stroke-dasharray": DASHES[line.dash % DASHES.length] });
    return node("li", {}, node("svg", { viewBox: "0 0 40 10", "aria-hidden": "true" }, sample), line.model);
  };
  reconcile(legend, models, (line) => line.model, entry, () => {});
}

function showPanels(panels, undrawn) {
  const make = () => {
    const drawing = node("svg", { class: "panel", role: "img" }, node("g"), node("g"));
    return node("figure", {}, node("h3"), node("p"), drawing, node("ul", { class: "legend" }));
  };
  reconcile(byId("panels"), panels, (panel) => panel.title, make, drawPanel);
  byId("no-curves").hidden = panels.length > 0;
  setText(byId("undrawn"), undrawn > 0 ? `${undrawn} other trials are not drawn.` : "");
}

function makeSample(sample) {
  const label = `${sample.role}, ${sample.trial}`;
  const caption = node("figcaption", {}, dot(sample.colour), ` ${label}${sample.caption ? `: ${sample.caption}` : ""}`);
  if (sample.kind === "speech") {
    return node("figure", {}, caption, node("audio", { controls: "", preload: "none", src: sample.url, "aria-label": label }));
  }
  if (!sample.path) return node("figure", {}, caption, node("p", { class: "quiet" }, "Too large to draw here."));
  const ink = node("svg", { class: "ink", viewBox: sample.box, role: "img", "aria-label": label });
  ink.append(node("path", { d: sample.path }));
  return node("figure", {}, caption, ink);
}

function showSamples(samples) {
  reconcile(byId("samples"), samples, (sample) => sample.id, makeSample, () => {});
  byId("no-samples").hidden = samples.length > 0;
}

// Screen readers announce only the end of a trial or of the study.
function announce(next, first) {
  const fresh = next.ends.filter((end) => !announced.has(end.id));
  const sentences = fresh.map((end) => `${end.name}: ${STATUS_NAMES[end.status]}.`);
  if (next.phase === "finished" && state?.phase !== "finished") sentences.push("The study is finished.");
  announced.clear();
  for (const end of next.ends) announced.add(end.id);
  if (!first && sentences.length) setText(byId("announcement"), sentences.join(" "));
}

function draw() {
  setText(byId("lead"), state.lead);
  setText(byId("pace"), state.pace);
  showCounts(state.counts);
  showRunning(state.running, state.hidden);
  showSpeed(state.speed);
  showPanels(state.panels, state.undrawn);
  showSamples(state.samples);
  setText(byId("updated"), state.updated);
  byId("report").hidden = state.phase === "running" || state.phase === "idle";
}

function delay() {
  if (failures) return Math.min(60, 2 ** (failures + 1)) * SECOND;
  if (document.hidden) return 20 * SECOND;
  return (state?.phase === "finished" ? 30 : 2) * SECOND;
}

function showInterval(wait) {
  const trouble = byId("trouble");
  trouble.hidden = failures === 0;
  setText(trouble, failures ? "The server does not answer; the page shows its last answer." : "");
  setText(byId("interval"), `Updates every ${Math.round(wait / SECOND)} s.`);
}

async function poll() {
  clearTimeout(timer);
  if (loading) return;
  loading = true;
  try {
    const answer = await fetch("state.json", { cache: "no-store", signal: AbortSignal.timeout(30 * SECOND) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const next = await answer.json();
    announce(next, state === null);
    state = next;
    failures = 0;
    draw();
  } catch {
    if (failures === 0) setText(byId("announcement"), "The server does not answer; retrying less often.");
    failures += 1;
  }
  loading = false;
  const wait = delay();
  showInterval(wait);
  timer = setTimeout(poll, wait);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) poll();
});
addEventListener("resize", () => {
  if (state) draw();
});
poll();
