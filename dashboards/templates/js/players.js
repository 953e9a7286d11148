"use strict";

// Audio players: one plays at a time, a line moves over its waveforms and panels, and a click there seeks.
const SEEK_SECONDS = 0.1;

function viewsOf(player) {
  return document.querySelectorAll(`[data-player="${CSS.escape(player.id)}"][data-span]`);
}

function drawPosition(player) {
  for (const view of viewsOf(player)) {
    const at = `${(100 * player.currentTime) / Number(view.dataset.span)}%`;
    view.classList.toggle("playable", player.currentTime > 0);
    for (const head of view.querySelectorAll(".head")) {
      head.setAttribute("x1", at);
      head.setAttribute("x2", at);
    }
    const seek = view.querySelector(".seek");
    if (!seek) continue;
    seek.setAttribute("aria-valuenow", player.currentTime.toFixed(2));
    seek.setAttribute("aria-valuetext", `${player.currentTime.toFixed(2)} s`);
  }
}

function seekTo(player, seconds) {
  player.currentTime = Math.min(Math.max(seconds, 0), player.duration || 0);
}

function togglePlayer(player) {
  if (!player.paused) player.pause();
  else player.play().catch((error) => error.name === "AbortError" || console.error(error));
}

function makeSeekable(seek, player) {
  const span = Number(seek.closest("[data-span]").dataset.span);
  const keys = {
    ArrowLeft: () => player.currentTime - SEEK_SECONDS,
    ArrowDown: () => player.currentTime - SEEK_SECONDS,
    ArrowRight: () => player.currentTime + SEEK_SECONDS,
    ArrowUp: () => player.currentTime + SEEK_SECONDS,
    Home: () => 0,
    End: () => player.duration,
  };
  seek.hidden = false;
  seek.addEventListener("click", (event) => {
    const box = seek.getBoundingClientRect();
    seekTo(player, (span * (event.clientX - box.left)) / box.width);
  });
  seek.addEventListener("keydown", (event) => {
    if (event.key === " " || event.key === "Enter") togglePlayer(player);
    else if (keys[event.key]) seekTo(player, keys[event.key]());
    else return;
    event.preventDefault();
  });
}

function connect(player) {
  const step = () => {
    drawPosition(player);
    if (!player.paused) requestAnimationFrame(step);
  };
  player.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== player) other.pause();
    step();
  });
  for (const name of ["pause", "seeking", "seeked", "ended"]) player.addEventListener(name, () => drawPosition(player));
}

for (const player of document.querySelectorAll("audio")) connect(player);

for (const seek of document.querySelectorAll(".seek")) {
  makeSeekable(seek, document.getElementById(seek.closest("[data-player]").dataset.player));
}

for (const button of document.querySelectorAll(".play")) {
  const player = document.getElementById(button.dataset.player);
  if (!player) continue;
  button.hidden = false;
  button.addEventListener("click", () => togglePlayer(player));
  player.addEventListener("play", () => (button.textContent = "Pause the sequence"));
  player.addEventListener("pause", () => (button.textContent = "Play the sequence"));
}
