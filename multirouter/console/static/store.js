// What the page knows, and one repaint for any number of changes.

export const state = {
  sections: {},
  connection: "connecting",
  admin: undefined,
  hasKeys: false,
  signInError: "",
  route: { name: "overview", argument: "" },
  ui: {},
};

let repaint = () => {};
let due = false;

export function onChange(paint) {
  repaint = paint;
}

export function changed() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    repaint();
  });
}

/** Sets a value of the page's own, such as a filter. */
export function set(name, value) {
  state.ui[name] = value;
  changed();
}

/** Says something to a screen reader. */
export function announce(text) {
  document.getElementById("announcements").textContent = text;
}
