"use strict";

// The theme follows the system until the button is pressed; a page that may store nothing forgets it on reload.
const themeKey = "vrnn-bench-theme";
const themeButton = document.querySelector(".theme");

function storedTheme() {
  try {
    return localStorage.getItem(themeKey);
  } catch {
    return null;
  }
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function nameTheTheme() {
  themeButton.textContent = isDark() ? "Light" : "Dark";
  themeButton.setAttribute("aria-label", `Switch to the ${isDark() ? "light" : "dark"} theme`);
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  nameTheTheme();
}

if (["dark", "light"].includes(storedTheme())) setTheme(storedTheme());
nameTheTheme();
themeButton.hidden = false;
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", nameTheTheme);
themeButton.addEventListener("click", () => {
  setTheme(isDark() ? "light" : "dark");
  try {
    localStorage.setItem(themeKey, document.documentElement.dataset.theme);
  } catch {
    // A page within a sandbox has no storage.
  }
});
