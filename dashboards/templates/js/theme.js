"use strict";

// The theme is that of the system until the button is pressed. Without storage the choice is lost on reload.
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

function labelButton() {
  themeButton.textContent = isDark() ? "Light" : "Dark";
  themeButton.setAttribute("aria-label", `Switch to the ${isDark() ? "light" : "dark"} theme`);
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  labelButton();
}

if (["dark", "light"].includes(storedTheme())) setTheme(storedTheme());
labelButton();
themeButton.hidden = false;
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", labelButton);
themeButton.addEventListener("click", () => {
  setTheme(isDark() ? "light" : "dark");
  try {
    localStorage.setItem(themeKey, document.documentElement.dataset.theme);
  } catch {
    // A sandboxed page has no storage.
  }
});
