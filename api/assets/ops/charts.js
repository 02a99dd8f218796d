// Small charts of the last minutes: lines over time, as SVG, with the newest figures in words.

import { figure } from "./words.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, TOP, BOTTOM] = [420, 130, 42, 8, 18];

function draw(kind, attributes, text) {
  const element = document.createElementNS(NAMESPACE, kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

/** The next of 1, 2, 5, 10, … */
function rounded(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

export class Chart {
  constructor(title, names, seconds) {
    this.seconds = seconds;
    this.title = title;
    this.names = names;
    this.figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.textContent = title;
    this.svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
    this.legend = document.createElement("ul");
    this.legend.className = "legend";
    this.figure.append(caption, this.svg, this.legend);
  }

  /** Lines: lists of `{ at, value }`, oldest first; a value that is not there is a gap. */
  show(lines, now) {
    const values = lines.flat().map(({ value }) => value).filter((value) => value !== undefined);
    const most = rounded(Math.max(0, ...values));
    const x = (at) => WIDTH - ((now - at) / 1000 / this.seconds) * (WIDTH - LEFT);
    const y = (value) => TOP + (1 - value / most) * (HEIGHT - TOP - BOTTOM);
    const parts = [];
    for (const share of [0, 0.5, 1]) {
      const at = y(share * most);
      parts.push(draw("line", { x1: LEFT, x2: WIDTH, y1: at, y2: at, class: "grid" }));
      const place = { x: LEFT - 5, y: at + 4, "text-anchor": "end" };
      parts.push(draw("text", place, figure(share * most)));
    }
    for (const minutes of [0, 1, 2, 3, 4]) {
      const at = x(now - minutes * 60_000);
      const anchor = minutes === 0 ? "end" : "middle";
      const place = { x: at, y: HEIGHT - 4, "text-anchor": anchor };
      parts.push(draw("text", place, minutes === 0 ? "0" : `−${minutes} min`));
    }
    const kinds = ["one", "two", "three"];
    const newest = [];
    lines.forEach((line, which) => {
      let path = "";
      let open = false;
      for (const { at, value } of line) {
        if (value === undefined || x(at) < LEFT) { open = false; continue; }
        path += `${open ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
        open = true;
      }
      if (path) parts.push(draw("path", { d: path, class: `line ${kinds[which]}` }));
      newest.push(line.at(-1)?.value);
    });
    this.svg.replaceChildren(...parts);
    const told = newest.map((value, at) => `${this.names[at]} ${figure(value)}`);
    this.svg.setAttribute("aria-label", `${this.title}: ${told.join(", ")}`);
    this.legend.replaceChildren(...newest.map((value, at) => {
      const item = document.createElement("li");
      item.className = kinds[at];
      const number = document.createElement("b");
      number.textContent = figure(value);
      item.append(`${this.names[at]} `, number);
      return item;
    }));
  }
}
