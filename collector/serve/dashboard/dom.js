// Elements. Text is inserted as text, never parsed as markup.

export const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

/** Create an element. Properties that begin with "on" are listeners, names with dashes are attributes, others are properties. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "role" || name.includes("-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Create an element of SVG; all properties are attributes. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined && value !== null) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A short piece of a line, in its colour and dashes. */
export function swatch({ stroke, dash = [] }, width = 22) {
  return svg("svg", { class: "swatch", width, height: 8, "aria-hidden": "true" }, svg("line", { x1: 0, x2: width, y1: 4, y2: 4, stroke, "stroke-width": 2.5, "stroke-dasharray": dash.join(" ") || null }));
}

/** A link to another site, or plain text if the address is not http or https. */
export function link(address, text) {
  let url = null;
  try {
    url = new URL(address);
  } catch {
    return document.createTextNode("");
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") return document.createTextNode("");
  return h("a", { href: url.href, rel: "noopener noreferrer", target: "_blank" }, text);
}

/** Replace the children of an element, unless its content is the same: then a focus inside it is kept. */
export function fill(element, content, build) {
  const text = JSON.stringify(content);
  if (element.dataset.shown === text) return;
  element.dataset.shown = text;
  element.replaceChildren(...build());
}

/** Run *work*, which replaces elements inside *box*, and keep the focus on the button with the same `data-key`. */
export function keepingFocus(box, work) {
  const key = box.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  work();
  if (key !== undefined) [...box.querySelectorAll("[data-key]")].find((one) => one.dataset.key === key)?.focus({ preventScroll: true });
}

const known = new Map();
/** Forget the colours of the other scheme. */
export const forgetColours = () => known.clear();

/** The colour of a custom property in the current scheme. */
export function colour(name) {
  if (known.has(name)) return known.get(name);
  const probe = h("span", { class: "probe" });
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  known.set(name, getComputedStyle(probe).color);
  probe.remove();
  return known.get(name);
}

const parts = (text) => text.match(/[\d.]+/g).map(Number);

/** The same colour, more transparent; *text* is a result of `colour`. */
export function faint(text, alpha) {
  const [r, g, b] = parts(text);
  return `rgba(${r}, ${g}, ${b}, ${alpha})`;
}

/** A share of one colour in another, opaque. */
export function mixed(text, ground, share) {
  const [one, other] = [parts(text), parts(ground)];
  return `rgb(${[0, 1, 2].map((i) => Math.round(one[i] * share + other[i] * (1 - share))).join(", ")})`;
}
