// Starts the page: the address after # chooses what is shown, and each part is made at its first use.

import { on, useKey } from "./api.js";
import { ClassifyPage } from "./classify.js";
import { fill } from "./dom.js";
import { load, state } from "./models.js";

const main = document.getElementById("main");
const banner = document.getElementById("banner");
const dialog = document.getElementById("key");
const made = new Map();
let current = null;

const PAGES = {
  classify: async () => new ClassifyPage(),
  inside: async () => new (await import("./inside.js")).InsidePage(),
  models: async () => new (await import("./cards.js")).ModelsPage(),
  server: async () => new (await import("./server.js")).ServerPage(),
};
const TITLES = { classify: "Classify", inside: "Look inside", models: "Models", server: "Server" };

async function show() {
  const [name = "classify", ...rest] = location.hash.replace(/^#\//, "").split("/").filter(Boolean).map(decodeURIComponent);
  const page = name in PAGES ? name : "classify";
  if (!made.has(page)) made.set(page, await PAGES[page]());
  for (const [each, view] of made) if (each !== page) view.leave?.();
  const view = made.get(page);
  fill(main, view.node);
  view.enter?.(rest);
  document.title = `${TITLES[page]} – convserve`;
  for (const link of document.querySelectorAll(".top nav a")) {
    if (link.hash === `#/${page}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  // After a change of the page the reader of a screen begins at the new one.
  if (current && current !== view) main.focus({ preventScroll: true });
  current = view;
}

function say(sentence) {
  banner.hidden = sentence === "";
  banner.textContent = sentence;
}

async function refresh() {
  try {
    await load();
    showServerLink();
    say(state.models.length === 0 ? "No model is served." : "");
  } catch (error) {
    if (error.status !== 401 && error.status !== 0) say(error.message);
  }
}

/** The link to the live figures is shown only to those who may read them. */
async function showServerLink() {
  const { mayRead } = await import("./server.js");
  document.querySelector('.top nav a[href="#/server"]').hidden = !(await mayRead());
}

on("down", () => say("The server does not answer. The page tries again until it does."));
on("up", () => {
  say("The server answers again.");
  setTimeout(refresh, 1500);
});
on("key", (sentence) => {
  if (sentence) document.getElementById("key-text").textContent = sentence;
  if (!dialog.open) dialog.showModal();
});
dialog.addEventListener("close", () => {
  const field = dialog.querySelector("input");
  if (field.value) useKey(field.value);
  field.value = "";
  refresh();
});

addEventListener("hashchange", show);
// Not awaited here: the page is complete before a model is known.
show().then(refresh).then(() => { document.documentElement.dataset.ready = "true"; });
