"use strict";

// Drawings: a replay draws the points in order, at the same speed for all drawings; a lifted pen takes no time. If the
// reader prefers reduced motion, each press adds one stroke instead.
const POINTS_PER_SECOND = 120;
const lessMotion = matchMedia("(prefers-reduced-motion: reduce)");

// The strokes of a path, each a list of "x y"; a stroke that continues another path repeats its last point.
function strokesOf(path) {
  const strokes = path.getAttribute("d").split("M").filter(Boolean);
  return strokes.map((stroke) => stroke.split("L"));
}

// A single point is written twice, so that a round cap draws it.
function isDot(stroke) {
  return stroke.length === 2 && stroke[0] === stroke[1];
}

// One step per point: its path, and what it adds to the path.
function stepsOf(paths) {
  const steps = [];
  let last = null;
  for (const path of paths) {
    for (const [index, stroke] of strokesOf(path).entries()) {
      const continues = index === 0 && path !== paths[0] && stroke[0] === last && stroke.length > 1 && !isDot(stroke);
      const points = isDot(stroke) ? [`M${stroke[0]}L${stroke[0]}`] : stroke.map((p, i) => (i ? "L" : "M") + p);
      if (continues) points.splice(0, 2, points[0] + points[1]);
      points.forEach((adds, i) => steps.push({ path, adds, starts: i === 0 && !continues }));
      last = stroke.at(-1);
    }
  }
  return steps;
}

class Replay {
  constructor(controls) {
    this.svg = controls.parentElement.querySelector(".ink");
    this.paths = [...this.svg.querySelectorAll("path")];
    this.whole = this.paths.map((path) => path.getAttribute("d"));
    this.steps = stepsOf(this.paths);
    this.button = controls.querySelector("button");
    this.range = controls.querySelector("input");
    this.count = controls.querySelector(".count");
    this.position = this.steps.length;
    this.started = null;
    this.range.max = this.steps.length;
    this.button.addEventListener("click", () => this.press());
    this.range.addEventListener("input", () => this.pause(Number(this.range.value)));
    lessMotion.addEventListener("change", () => this.pause(this.position));
    controls.hidden = false;
    this.draw();
  }

  get plays() {
    return this.started !== null;
  }

  get ended() {
    return this.position >= this.steps.length;
  }

  press() {
    if (this.plays) return this.pause(this.position);
    const from = this.ended ? 0 : this.position;
    if (lessMotion.matches) return this.pause(this.endOfStroke(from));
    this.started = performance.now() - (1000 * from) / POINTS_PER_SECOND;
    return this.tick(performance.now());
  }

  endOfStroke(from) {
    const next = this.steps.findIndex((step, index) => index > from && step.starts);
    return next < 0 ? this.steps.length : next;
  }

  tick(now) {
    if (!this.plays) return;
    this.position = Math.min(Math.max(Math.floor(((now - this.started) * POINTS_PER_SECOND) / 1000), 0), this.steps.length);
    if (this.ended) this.started = null;
    else requestAnimationFrame((time) => this.tick(time));
    this.draw();
  }

  pause(position) {
    this.started = null;
    this.position = position;
    this.draw();
  }

  draw() {
    const drawn = new Map(this.paths.map((path) => [path, ""]));
    for (const { path, adds } of this.steps.slice(0, this.position)) drawn.set(path, drawn.get(path) + adds);
    this.paths.forEach((path, i) => path.setAttribute("d", this.ended ? this.whole[i] : drawn.get(path)));
    const act = lessMotion.matches ? "Next stroke" : "Resume";
    const idle = this.ended ? (lessMotion.matches ? "Stroke by stroke" : "Replay") : act;
    this.button.querySelector(".act").textContent = this.plays ? "Pause" : idle;
    this.range.value = this.position;
    this.range.setAttribute("aria-valuetext", `${this.position} of ${this.steps.length} points`);
    this.count.textContent = `${this.position} / ${this.steps.length}`;
  }
}

for (const controls of document.querySelectorAll(".replay")) new Replay(controls);
