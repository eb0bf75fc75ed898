// Elements. Text is inserted as text, never parsed as markup.

export const $ = (id) => document.getElementById(id);

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

/** The colour of a custom property in the current scheme. */
export function colour(name) {
  const probe = h("span", { class: "probe" });
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** The same colour, more transparent; *found* is a result of `colour`. */
export function faint(found, alpha) {
  const [r, g, b] = found.match(/[\d.]+/g);
  return `rgba(${r}, ${g}, ${b}, ${alpha})`;
}
