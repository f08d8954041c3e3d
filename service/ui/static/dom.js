// Builds elements. Texts become text nodes, so labels and file names are never read as HTML.

/**
 * An element with properties and children.
 * `class`, `on…` listeners, `style` (an object), booleans and attributes are understood.
 */
export function h(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.className = value;
    else if (name === "style") Object.entries(value).forEach(([key, each]) => node.style.setProperty(key, each));
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Replace the children of a node. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

let ids = 0;

/** A new id, for labels and descriptions. */
export function newId(prefix = "id") {
  ids += 1;
  return `${prefix}-${ids}`;
}

/** A select of `[value, text]` pairs with its label. */
export function select(label, options, value, onchange) {
  const id = newId("field");
  const control = h("select", { id, onchange: () => onchange(control.value) });
  control.append(...options.map(([key, text]) => h("option", { value: key }, text)));
  control.value = value;
  return { node: h("div", { class: "field" }, h("label", { for: id }, label), control), control };
}

/** A number input with its label. */
export function number(label, value, min, max, onchange) {
  const id = newId("field");
  const control = h("input", {
    id, type: "number", min, max, step: 1, value: String(value), inputmode: "numeric",
    onchange: () => {
      const wanted = Math.round(Number(control.value));
      const chosen = Number.isFinite(wanted) ? Math.min(max, Math.max(min, wanted)) : value;
      control.value = String(chosen);
      onchange(chosen);
    },
  });
  return { node: h("div", { class: "field small" }, h("label", { for: id }, label), control), control };
}

/** Buttons of which one is chosen, for a few `[value, text]` pairs. */
export function segmented(label, options, value, onchange) {
  const group = h("div", { class: "segmented", role: "group", "aria-label": label });
  const choose = (chosen) => {
    for (const button of group.children) button.setAttribute("aria-pressed", String(button.dataset.value === chosen));
  };
  for (const [key, text] of options) {
    group.append(h("button", {
      type: "button", "data-value": key, "aria-pressed": "false",
      onclick: () => { choose(key); onchange(key); },
    }, text));
  }
  choose(value);
  return { node: group, choose };
}

/** A section with a heading. */
export function card(title, ...children) {
  const id = newId("title");
  return h("section", { class: "card", "aria-labelledby": id }, h("h2", { id }, title), ...children);
}

/** A table with a caption; rows are arrays of cells, the first of which is the row's header. */
export function table(caption, head, rows, visible = true) {
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h("table", {},
      h("caption", { class: visible ? undefined : "hidden" }, caption),
      head.length ? h("thead", {}, h("tr", {}, head.map((text) => h("th", { scope: "col" }, text)))) : null,
      h("tbody", {}, rows.map(([first, ...rest]) =>
        h("tr", {}, h("th", { scope: "row" }, first), rest.map((text) => h("td", {}, text)))))));
}

export const percent = (value, digits = 1) =>
  value === null || !Number.isFinite(value) ? "no number" : `${(100 * value).toFixed(digits)} %`;

export const integer = (value) => value.toLocaleString("en");

/** A number with at most `digits` decimals, with a real minus sign. */
export const decimal = (value, digits = 2) => {
  if (!Number.isFinite(value)) return "–";
  const text = value.toFixed(digits).replace(/\.?0+$/, "") || "0";
  return (text === "-0" ? "0" : text).replace("-", "\u2212");
};
