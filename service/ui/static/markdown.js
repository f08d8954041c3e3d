// Shows the Markdown of model cards: headings, paragraphs, lists, tables, code and emphasis, as elements.
// Everything else stays text, HTML too.

import { h } from "./dom.js";

const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|!?\[([^\]]*)\]\(((?:[^()\s]|\([^()\s]*\))*)\)/g;

function inline(text) {
  const parts = [];
  let at = 0;
  for (const found of text.matchAll(INLINE)) {
    parts.push(text.slice(at, found.index));
    at = found.index + found[0].length;
    if (found[1]) parts.push(h("code", {}, found[1]));
    else if (found[2]) parts.push(h("strong", {}, found[2]));
    else if (/^https:\/\//.test(found[4])) parts.push(h("a", { href: found[4], rel: "noreferrer" }, found[3]));
    else if (!found[0].startsWith("!")) parts.push(found[3]);
  }
  return [...parts, text.slice(at)].filter((part) => part !== "");
}

const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));

function tableOf(lines) {
  const [head, , ...rows] = lines.map(cells);
  const empty = head.every((cell) => cell === "");
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table" }, h("table", {},
    empty ? null : h("thead", {}, h("tr", {}, head.map((cell) => h("th", { scope: "col" }, inline(cell))))),
    h("tbody", {}, rows.map(([first, ...rest]) =>
      h("tr", {}, h("th", { scope: "row" }, inline(first)), rest.map((cell) => h("td", {}, inline(cell))))))));
}

/** Elements of a Markdown text; headings begin at level `level`. */
export function markdown(text, level = 3) {
  const nodes = [];
  for (const block of text.replace(/\r/g, "").split(/\n{2,}/)) {
    const lines = block.split("\n").filter((line) => line.trim() !== "");
    if (lines.length === 0) continue;
    const heading = /^(#{1,6}) (.*)$/.exec(lines[0]);
    if (heading) {
      nodes.push(h(`h${Math.min(6, level + heading[1].length - 1)}`, {}, inline(heading[2])));
      if (lines.length > 1) nodes.push(...markdown(lines.slice(1).join("\n"), level));
    } else if (lines[0].startsWith("|") && lines.length > 1 && /^[\s|:-]+$/.test(lines[1])) {
      nodes.push(tableOf(lines));
    } else if (lines.every((line) => /^([-*] |\s+)/.test(line))) {
      const items = lines.join("\n").split(/^[-*] /m).filter((item) => item.trim() !== "");
      nodes.push(h("ul", { class: "plain" }, items.map((item) => h("li", {}, inline(item.replace(/\s+/g, " "))))));
    } else {
      const parts = inline(lines.join(" "));
      if (parts.length > 0) nodes.push(h("p", {}, parts));
    }
  }
  return nodes;
}
