// Light or dark: as the system says, or as chosen here.

const NAMES = ["auto", "light", "dark"];
const STORED = "multirouter-theme";

let chosen = "auto";

export const themeName = () => chosen;

export function useTheme() {
  try {
    chosen = NAMES.find((name) => name === localStorage.getItem(STORED)) ?? "auto";
  } catch {
    // Storage may be forbidden; the choice then lasts as long as the page.
  }
  apply();
}

export function nextTheme() {
  chosen = NAMES[(NAMES.indexOf(chosen) + 1) % NAMES.length];
  try {
    localStorage.setItem(STORED, chosen);
  } catch {
    // See above.
  }
  apply();
}

function apply() {
  if (chosen === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", chosen);
}
